// SPDX-License-Identifier: GPL-2.0

//! Layer: linux. Errnos that the kernel crate has no name for.
//!
//! C headers: [`include/uapi/asm-generic/errno.h`](srctree/include/uapi/asm-generic/errno.h)

use kernel::error::Error;

use super::bindings;

/// A number that becomes an [`Error`] by `into()`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Code(u32);

impl From<Code> for Error {
    fn from(c: Code) -> Self {
        Error::from_errno((c.0 as i32).wrapping_neg())
    }
}

/// The directory has entries.
pub(crate) const ENOTEMPTY: Code = Code(bindings::ENOTEMPTY);
/// A name is too long.
pub(crate) const ENAMETOOLONG: Code = Code(bindings::ENAMETOOLONG);
/// A file handle names nothing any more.
pub(crate) const ESTALE: Code = Code(bindings::ESTALE);
/// What is on the media cannot be right.
pub(crate) const EUCLEAN: Code = Code(bindings::EUCLEAN);
