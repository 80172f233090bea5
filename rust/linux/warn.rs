// SPDX-License-Identifier: GPL-2.0

//! Layer: linux. Says in the kernel's log that an invariant of the module does not hold.
//!
//! C header: [`include/asm-generic/bug.h`](srctree/include/asm-generic/bug.h)

use kernel::warn_on;

/// Leaves a warning there, with a stack.
pub(crate) fn warn() {
    warn_on!(true);
}
