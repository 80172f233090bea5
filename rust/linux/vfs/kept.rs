// SPDX-License-Identifier: GPL-2.0

//! Layer linux: inodes that nobody uses any more, and for which something has to be done, or to be
//! waited for, before they can be evicted. The file system keeps the last reference to them, and lets
//! go of it later, when the VFS asks again.
//!
//! The list is pushed to by anybody, under `i_lock`, and taken as a whole. An inode is on it at most once: it is put there when
//! its last reference goes, and has one as long as it is there.
//!
//! C header: [`include/linux/fs.h`](srctree/include/linux/fs.h) (`drop_inode`)

use core::ptr;

use kernel::sync::aref::ARef;
use kernel::sync::atomic::{Acquire, Atomic, Full, Relaxed};

use super::slab::Slot;
use super::{Inode, Type};
use crate::linux::bindings;

/// In the place of the first inode: nothing is kept any more.
const CLOSED: *mut bindings::inode = ptr::dangling_mut();

/// The inodes of one super block.
///
/// # Invariants
///
/// `first`, unless null or [`CLOSED`], and the `next` of each inode on the list lead to inodes of `T`, of each of which the list
/// owns a reference.
pub(super) struct List<T: Type> {
    first: Atomic<*mut bindings::inode>,
    _p: core::marker::PhantomData<fn() -> T>,
}

impl<T: Type> List<T> {
    pub(super) fn new() -> Self {
        Self { first: Atomic::new(ptr::null_mut()), _p: core::marker::PhantomData }
    }

    /// Takes a reference to an inode that has none, and puts it on the list. `false`: the list is closed.
    ///
    /// # Safety
    ///
    /// `inode` is of `T`, its last reference has gone just now, and its `i_lock` is held.
    pub(super) unsafe fn keep(&self, inode: *mut bindings::inode) -> bool {
        let slot: *const Slot<T> = inode.cast();
        let mut first = self.first.load(Relaxed);
        // INVARIANT: The reference that is taken here is given to the list; it goes if that does not take it.
        // SAFETY: By the function's contract.
        unsafe { bindings::pfnfs_inode_hold_locked(inode) };
        while first != CLOSED {
            // SAFETY: The inode lives in a slot; it is on no list, or it would have had a reference.
            unsafe { (*slot).head.next.store(first, Relaxed) };
            match self.first.cmpxchg(first, inode, Full) {
                Ok(_) => return true,
                Err(now) => first = now,
            }
        }
        // SAFETY: Taken above; `i_lock` is held all the time.
        unsafe { bindings::pfnfs_inode_unhold_locked(inode) };
        false
    }

    /// Lets go of all inodes, after a call of `f` for each. They are kept anew, or evicted. With `close` nothing is kept from now on.
    pub(super) fn release(&self, close: bool, f: impl Fn(&Inode<T>)) {
        let mut at = self.first.xchg(if close { CLOSED } else { ptr::null_mut() }, Full);
        while !at.is_null() && at != CLOSED {
            // SAFETY: By the type invariant a live inode of `T`, whose reference is ours now.
            let (next, inode) = unsafe {
                let slot: *const Slot<T> = at.cast();
                ((*slot).head.next.load(Acquire), ARef::<Inode<T>>::from_raw(ptr::NonNull::new_unchecked(at.cast())))
            };
            f(&inode);
            drop(inode);
            at = next;
        }
    }
}
