// SPDX-License-Identifier: GPL-2.0

//! Layer linux: the slab that inodes live in: a C inode and the file system's part behind it.
//!
//! C header: [`include/linux/slab.h`](srctree/include/linux/slab.h)

use core::cell::UnsafeCell;
use core::marker::PhantomData;
use core::mem::MaybeUninit;
use core::ptr::{self, NonNull};

use kernel::prelude::*;
use kernel::sync::atomic::Atomic;
use kernel::sync::{Arc, SetOnce};
use kernel::types::Opaque;

use super::{Registration, Type};
use crate::linux::bindings;
use crate::linux::mm::front::Front;
use crate::linux::mm::link::Link;

/// How a slot begins, whatever the type of its file system: the C inode first, so that the two have one address.
#[repr(C)]
pub(in crate::linux) struct Head {
    inode: Opaque<bindings::inode>,
    /// The next one in the list of [`super::kept`].
    pub(super) next: Atomic<*mut bindings::inode>,
    /// The way to its mapping for others than the VFS. Cut when the eviction begins.
    pub(in crate::linux) link: SetOnce<Arc<Link>>,
    /// What open files and VMAs have in place of its mapping.
    pub(in crate::linux) front: Front,
}

impl Head {
    /// Runs once for each slot of a fresh slab page.
    ///
    /// # Safety
    ///
    /// `head` is valid for writing, and nobody uses it.
    pub(in crate::linux) unsafe fn once(head: *mut Self) {
        // SAFETY: By the function's contract; the inode comes first.
        unsafe {
            bindings::inode_init_once(head.cast());
            Front::once(&raw mut (*head).front, head.cast());
        }
    }

    /// Makes it ready for an inode.
    ///
    /// # Safety
    ///
    /// [`Head::once`] has run, and nobody uses it; if it was ready before, the link was dropped.
    pub(in crate::linux) unsafe fn renew(head: *mut Self) {
        // SAFETY: By the function's contract.
        unsafe {
            (&raw mut (*head).next).write(Atomic::new(ptr::null_mut()));
            (&raw mut (*head).link).write(SetOnce::new());
            Front::renew(&raw mut (*head).front);
        }
    }
}

/// What the slab hands out.
#[repr(C)]
pub(super) struct Slot<T: Type> {
    pub(super) head: Head,
    pub(super) data: UnsafeCell<MaybeUninit<T::Inode>>,
}

/// The slab of inodes of `T`.
pub(super) struct Cache<T: Type>(NonNull<bindings::kmem_cache>, PhantomData<T>);

impl<T: Type> Cache<T> {
    pub(super) fn new() -> Result<Self> {
        // SAFETY: The name is static, and `once` fits the size.
        let cache = unsafe {
            bindings::pfnfs_inode_cache(
                T::NAME.as_char_ptr(),
                size_of::<Slot<T>>() as u32,
                align_of::<Slot<T>>() as u32,
                Some(Self::once),
            )
        };
        NonNull::new(cache).map(|c| Self(c, PhantomData)).ok_or(ENOMEM)
    }

    /// Runs once for each slot of a fresh slab page.
    ///
    /// # Safety
    ///
    /// Called by the VFS, as the documentation of the adapters says.
    unsafe extern "C" fn once(slot: *mut c_void) {
        // SAFETY: A slot begins with a head.
        unsafe { Head::once(slot.cast()) };
    }

    /// # Safety
    ///
    /// Called by the VFS for a super block of this type.
    pub(super) unsafe extern "C" fn alloc_inode(sb: *mut bindings::super_block) -> *mut bindings::inode {
        // SAFETY: The type of a live super block is registered.
        let cache = unsafe { Registration::<T>::cache_of((*sb).s_type) };
        // SAFETY: The cache is live.
        let slot: *mut Slot<T> = unsafe { bindings::pfnfs_inode_alloc(sb, cache.0.as_ptr()) }.cast();
        if slot.is_null() {
            return ptr::null_mut();
        }
        // SAFETY: A slot that the slab has just handed out; `destroy_inode` drops its link.
        unsafe { Head::renew(&raw mut (*slot).head) };
        // SAFETY: As above; the part is pinned, as the slot stays where it is until it is freed.
        match unsafe { T::inode().__pinned_init((*slot).data.get().cast()) } {
            Ok(()) => slot.cast(),
            Err(never) => match never {},
        }
    }

    /// # Safety
    ///
    /// Called by the VFS for an inode from [`Self::alloc_inode`] that nobody uses but under RCU, which never
    /// looks at the file system's part.
    pub(super) unsafe extern "C" fn destroy_inode(inode: *mut bindings::inode) {
        let slot: *mut Slot<T> = inode.cast();
        // SAFETY: By the function's contract the parts are initialised and dropped once.
        unsafe {
            (&raw mut (*slot).head.link).drop_in_place();
            (*(*slot).data.get()).assume_init_drop();
        }
    }

    /// # Safety
    ///
    /// Called by the VFS after a grace period, for an inode from [`Self::alloc_inode`]. The slab is known from the address:
    /// the super block that would lead to it may be gone.
    pub(super) unsafe extern "C" fn free_inode(inode: *mut bindings::inode) {
        // SAFETY: The module, and with it the registration, outlives the grace period (`rcu_barrier`).
        unsafe { bindings::kfree(inode.cast()) };
    }
}

impl<T: Type> Drop for Cache<T> {
    fn drop(&mut self) {
        // SAFETY: All inodes are freed: the type is unregistered and a grace period has passed.
        unsafe { bindings::kmem_cache_destroy(self.0.as_ptr()) };
    }
}
