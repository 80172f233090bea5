// SPDX-License-Identifier: GPL-2.0

//! Layer: linux. Random numbers that nobody can guess.
//!
//! C header: [`include/linux/random.h`](srctree/include/linux/random.h)

use super::bindings;

/// 64 random bits.
pub(crate) fn u64() -> u64 {
    // SAFETY: No precondition.
    unsafe { bindings::get_random_u64() }
}
