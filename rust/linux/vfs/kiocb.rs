// SPDX-License-Identifier: GPL-2.0

//! Layer linux: `struct kiocb`, one read or write in flight.
//!
//! C header: [`include/linux/fs.h`](srctree/include/linux/fs.h)

use core::marker::PhantomData;

use kernel::iov::IovIterSource;
use kernel::prelude::*;

use super::file::File;
use super::inode::{Inode, Locked};
use super::Type;
use crate::linux::bindings;

/// One read or write of a file of `T`, with its position.
///
/// # Invariants
///
/// `raw` is a kiocb in flight whose file is of a super block of `T`, used by nobody else.
pub(crate) struct Kiocb<'a, T: Type> {
    raw: *mut bindings::kiocb,
    _p: PhantomData<&'a mut Inode<T>>,
}

impl<'a, T: Type> Kiocb<'a, T> {
    /// # Safety
    ///
    /// As the type invariant says, for `'a`.
    pub(super) unsafe fn from_raw(raw: *mut bindings::kiocb) -> Self {
        // INVARIANT: By the function's contract.
        Self { raw, _p: PhantomData }
    }

    /// The file's inode.
    pub(crate) fn inode(&self) -> &'a Inode<T> {
        // SAFETY: The kiocb is in flight, so its file and the file's inode live for `'a`.
        unsafe { Inode::from_raw((*(*self.raw).ki_filp).f_inode) }
    }

    /// The position in bytes.
    pub(crate) fn pos(&self) -> u64 {
        // SAFETY: By the type invariant. The VFS refuses negative positions for regular files.
        unsafe { (*self.raw).ki_pos as u64 }
    }

    /// Moves on by `n` bytes.
    pub(crate) fn advance(&mut self, n: usize) {
        // SAFETY: By the type invariant nobody else uses it. A position never passes `s_maxbytes`.
        unsafe { (*self.raw).ki_pos = (*self.raw).ki_pos.wrapping_add(n as bindings::loff_t) };
    }

    /// Whether a write's times are to be durable at return as well as its data (`O_SYNC`, `RWF_SYNC`).
    pub(crate) fn is_sync(&self) -> bool {
        // SAFETY: By the type invariant.
        unsafe { (*self.raw).ki_flags as u32 & bindings::IOCB_SYNC != 0 }
    }

    /// The file.
    pub(crate) fn file(&self) -> File<'a, T> {
        // SAFETY: The kiocb is in flight, so its file is open for `'a`.
        unsafe { File::from_raw((*self.raw).ki_filp) }
    }

    /// Checks a write against the limits (file size, seals, flags), applies `O_APPEND`, shortens `from`. Returns
    /// the number of bytes to write.
    pub(crate) fn write_checks(&mut self, _inode: &Locked<'_, T>, from: &mut IovIterSource<'_>) -> Result<usize> {
        // SAFETY: Both are valid and ours, and `i_rwsem` is held.
        let n = unsafe { bindings::generic_write_checks(self.raw, from.as_raw()) };
        if n < 0 {
            return Err(Error::from_errno(n as i32));
        }
        Ok(n as usize)
    }

    /// A read has happened: updates atime as the mount's options say.
    pub(crate) fn accessed(&self) {
        // SAFETY: By the type invariant the file is live.
        unsafe { bindings::pfnfs_file_accessed((*self.raw).ki_filp) };
    }
}

/// A part of a write that may have to be taken back: remembers how much the source had.
pub(crate) struct Attempt<'i, 'd> {
    source: &'i mut IovIterSource<'d>,
    len: usize,
}

impl<'i, 'd> Attempt<'i, 'd> {
    /// From here on.
    pub(crate) fn new(source: &'i mut IovIterSource<'d>) -> Self {
        let len = source.len();
        Self { source, len }
    }

    /// Where the data comes from.
    pub(crate) fn source(&mut self) -> &mut IovIterSource<'d> {
        self.source
    }

    /// Only the first `n` bytes of what was taken since count as taken.
    pub(crate) fn keep(self, n: usize) {
        let taken = self.len.saturating_sub(self.source.len());
        if let Some(back) = taken.checked_sub(n) {
            // SAFETY: At least `taken` bytes were taken from this very source.
            unsafe { self.source.revert(back) };
        }
    }
}

/// Takes at most `n` bytes from the source, in place of what `out` has, and returns how many there were. (To resize a vector clears
/// it byte by byte, which takes longer than all else that a small write does.)
pub(crate) fn fetch(out: &mut KVVec<u8>, n: usize, source: &mut IovIterSource<'_>) -> Result<usize> {
    out.clear();
    out.reserve(n, GFP_KERNEL)?;
    let len = source.copy_from_iter_raw(out.spare_capacity_mut().get_mut(..n).ok_or(EINVAL)?).len();
    // SAFETY: It is empty, and the first `len` bytes of its spare capacity were initialized by the copy.
    unsafe { out.inc_len(len) };
    Ok(len)
}

// Not wrapped: completion of asynchronous requests; every operation here is done at return.
