// SPDX-License-Identifier: GPL-2.0

//! Layer linux: an inode that is allocated before it is known which one it will be, and in its place before the file is made on
//! the media: nothing can fail once that is done, and nobody reads the inode while it is being done.
//!
//! C source: [`fs/inode.c`](srctree/fs/inode.c) (`new_inode`, `inode_insert5`)

use core::marker::PhantomData;
use core::ptr::NonNull;

use kernel::prelude::*;
use kernel::sync::aref::ARef;

use super::inode::{Inode, NewInode};
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
    /// Makes it the inode with this number, to be filled: whoever looks for the number waits from now on. Waits itself for who has
    /// found already that there is no such inode, and for the end of the last one that had the number. `None`: somebody has
    /// an inode of this number, live.
    pub(crate) fn insert(self, ino: u64) -> Option<NewInode<T>> {
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
                    return Some(NewInode(inode, PhantomData));
                }
                Some(inode) => {
                    // SAFETY: It is live, and the reference is ours.
                    unsafe { bindings::iput(inode.as_ptr()) };
                    return None;
                }
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

/// An inode that is hashed, locked and filled: who looks for its number waits. Dropping it gives up the reference.
///
/// # Invariants
///
/// `I_NEW` is set, we own a reference, and it fulfils the invariant of [`Inode`].
pub(crate) struct Filled<T: Type>(NonNull<bindings::inode>, PhantomData<T>);

impl<T: Type> Filled<T> {
    /// # Safety
    ///
    /// `raw` fulfils the type invariant; the reference is passed on.
    pub(super) unsafe fn from_raw(raw: NonNull<bindings::inode>) -> Self {
        // INVARIANT: By the function's contract.
        Self(raw, PhantomData)
    }

    /// Gives it to those who wait.
    pub(crate) fn unlock(self) -> ARef<Inode<T>> {
        let raw = self.into_raw();
        // SAFETY: By the type invariant; the reference is passed on.
        unsafe {
            bindings::unlock_new_inode(raw.as_ptr());
            ARef::from_raw(raw.cast())
        }
    }

    /// The C inode; who takes it has to unlock it, and owns the reference.
    pub(super) fn into_raw(self) -> NonNull<bindings::inode> {
        core::mem::ManuallyDrop::new(self).0
    }
}

impl<T: Type> Drop for Filled<T> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant; the reference is given up.
        unsafe {
            bindings::unlock_new_inode(self.0.as_ptr());
            bindings::iput(self.0.as_ptr());
        }
    }
}
