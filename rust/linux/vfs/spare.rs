// SPDX-License-Identifier: GPL-2.0

//! Layer linux: an inode that is allocated before it is known which one it will be, so that nothing can fail once the file is
//! made on the media.
//!
//! C source: [`fs/inode.c`](srctree/fs/inode.c) (`new_inode`, `inode_insert5`)

use core::marker::PhantomData;
use core::ptr::NonNull;

use kernel::prelude::*;
use kernel::sync::aref::ARef;

use super::inode::{Cached, Inode, NewInode};
use super::sb::Super;
use super::Type;
use crate::linux::bindings;

/// An inode without a number, that nobody finds.
///
/// # Invariants
///
/// It is an inode of a super block of `T`, not hashed, and we own its only reference.
pub(crate) struct Spare<T: Type>(NonNull<bindings::inode>, PhantomData<T>);

impl<T: Type> Super<T> {
    /// Allocates an inode. `ENOMEM`.
    pub(crate) fn spare(&self) -> Result<Spare<T>> {
        // SAFETY: It is live and has its operations.
        let inode = unsafe { bindings::new_inode(self.as_raw()) };
        // INVARIANT: It is new.
        NonNull::new(inode).map(|inode| Spare(inode, PhantomData)).ok_or(ENOMEM)
    }
}

impl<T: Type> Spare<T> {
    /// Makes it the inode with this number, to be filled. Somebody may have looked for the number already, and read the inode:
    /// that one it is then.
    pub(crate) fn insert(self, ino: u64) -> Cached<T> {
        let mut ino = ino;
        loop {
            let data: *mut c_void = (&raw mut ino).cast();
            // SAFETY: By the type invariant; `test` and `set` get the number. An inode of this number that is being freed is
            // waited for.
            let found =
                unsafe { bindings::inode_insert5(self.0.as_ptr(), ino, Some(Self::test), Some(Self::set), data) };
            match NonNull::new(found) {
                Some(inode) if inode == self.0 => {
                    core::mem::forget(self);
                    // INVARIANT: New since the call, and the reference is the one we had.
                    return Cached::New(NewInode(inode, PhantomData));
                }
                // SAFETY: Live, of this type, and the reference is ours.
                Some(inode) => return Cached::Live(unsafe { ARef::<Inode<T>>::from_raw(inode.cast()) }),
                // Somebody is making an inode of this number in a way that this file system does not use.
                None => {}
            }
        }
    }

    /// # Safety
    ///
    /// Called by `inode_insert5` with an inode and the number that `insert` gave.
    unsafe extern "C" fn test(inode: *mut bindings::inode, data: *mut c_void) -> c_int {
        // SAFETY: By the function's contract.
        unsafe { ((*inode).i_ino == *data.cast::<u64>()).into() }
    }

    /// # Safety
    ///
    /// As of `test`, for our own inode.
    unsafe extern "C" fn set(inode: *mut bindings::inode, data: *mut c_void) -> c_int {
        // SAFETY: By the function's contract; nobody else looks at it yet.
        unsafe { (*inode).i_ino = *data.cast::<u64>() };
        0
    }
}

impl<T: Type> Drop for Spare<T> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant.
        unsafe { bindings::iput(self.0.as_ptr()) };
    }
}
