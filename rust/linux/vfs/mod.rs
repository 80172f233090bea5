// SPDX-License-Identifier: GPL-2.0

//! Layer linux: the VFS, one C object a file. Safe types over `struct super_block`, `inode`, `dentry`, `file`
//! and their operation tables, for a file system that lives in memory-mapped media.
//!
//! A file system implements [`Type`] once, and one trait for each C table it fills ([`dir::Operations`],
//! [`attr::Operations`], [`file::Operations`], [`export::Operations`]). The adapters here turn raw pointers into
//! witnesses ([`inode::Locked`] is `i_rwsem` held for writing) before they call it.
//!
//! C headers: [`include/linux/fs.h`](srctree/include/linux/fs.h),
//! [`include/linux/fs_context.h`](srctree/include/linux/fs_context.h)

#![allow(dead_code, reason = "complete for the file system that is built on it")]

pub(crate) mod attr;
pub(crate) mod context;
pub(crate) mod dentry;
pub(crate) mod dir;
pub(crate) mod export;
pub(crate) mod file;
pub(crate) mod inode;
mod kept;
pub(crate) mod kiocb;
pub(crate) mod path;
pub(crate) mod sb;
pub(in crate::linux) mod slab;
pub(crate) mod spare;

use core::marker::PhantomData;
use core::ptr;

use kernel::error::to_result;
use kernel::prelude::*;
use kernel::str::CStr;
use kernel::types::Opaque;

use crate::linux::bindings;

/// The C table of an inode.
pub(crate) type InodeTable = bindings::inode_operations;
/// The C table of an open file.
pub(crate) type FileTable = bindings::file_operations;
/// The C table of a super block's file handles.
pub(crate) type ExportTable = bindings::export_operations;
/// The C table of a mapping.
pub(crate) type MappingTable = bindings::address_space_operations;

pub(crate) use self::inode::Inode;
pub(crate) use self::sb::SuperBlock;

/// A type of file system: what `mount -t NAME` finds.
///
/// Every function runs in process context and may sleep.
pub(crate) trait Type: Sized + Send + Sync + 'static {
    /// The name that `mount -t` takes.
    const NAME: &'static CStr;

    /// Mount options, filled by [`Type::parse`].
    type Options: Default + Send;

    /// What the source of a mount names. Equal keys ([`Type::same`]) share one super block.
    type Key: Send + Sync + 'static;

    /// The file system's part of a super block; dropped after the last inode is gone, and after [`Type::put_super`].
    type Super: Send + Sync + 'static;

    /// The file system's part of an inode.
    type Inode: Send + Sync + 'static;

    /// Takes one mount option. `Ok(false)`: it is not one of ours (the VFS then tries `source` and complains).
    fn parse(options: &mut Self::Options, key: &CStr, value: Option<&CStr>) -> Result<bool>;

    /// Finds the device that `source` names. Says why not in `log`.
    fn find(source: &CStr, options: &Self::Options, log: &context::Log<'_>) -> Result<Self::Key>;

    /// Whether two keys are one device. Runs under a spinlock: compare, nothing else.
    fn same(a: &Self::Key, b: &Self::Key) -> bool;

    /// Fills a new super block and gives it a root. Says why not in `log`.
    fn fill_super<'a>(
        sb: SuperBlock<'a, Self, sb::New>,
        key: &Self::Key,
        options: Self::Options,
        log: &context::Log<'_>,
    ) -> Result<SuperBlock<'a, Self, sb::Ready>>;

    /// Makes the file system's part of an inode that is not read yet.
    fn inode() -> impl PinInit<Self::Inode>;

    /// Figures for `statfs(2)`.
    fn statfs(sb: &sb::Super<Self>) -> Result<sb::Statfs>;

    /// `sync(2)`, and the step before unmount: with `wait`, all is durable at return.
    fn sync(sb: &sb::Super<Self>, wait: bool) -> Result;

    /// `FIFREEZE`: no write is in flight and none begins until [`Type::thaw`].
    fn freeze(sb: &sb::Super<Self>, unfrozen: sb::Unfrozen<'_>) -> Result;

    /// `FITHAW`.
    fn thaw(sb: &sb::Super<Self>) -> Result;

    /// `mount -o remount`: the mount becomes read-only or read-write.
    fn remount(sb: &sb::Super<Self>, read_only: bool, log: &context::Log<'_>) -> Result;

    /// Whether an inode that nobody uses any more is to be kept until [`sb::Super::release_kept`]: not
    /// evicted, if it has no links, nor left to the kernel's list of unused inodes. Runs under a
    /// spinlock.
    fn keep(inode: &Inode<Self>) -> bool;

    /// Unmount begins, nobody uses the file system: no more is done in the background.
    fn leave(sb: &sb::Super<Self>);

    /// Waits for those who keep inodes from being evicted. No lock is held; then inodes are no longer kept.
    fn await_users(sb: &sb::Super<Self>);

    /// Unmount: no inode is left. [`Type::Super`] is dropped when it returns; what is given back by then is found
    /// free by the next mount.
    fn put_super(sb: &sb::Super<Self>);

    /// Writes the inode's times, which the VFS has changed, to the media.
    fn write_inode(inode: &Inode<Self>) -> Result;

    /// The last reference is gone: empty the mapping, [`inode::Evicting::clear`], then free what a file without
    /// a name occupied.
    fn evict(inode: inode::Evicting<'_, Self>) -> inode::Cleared<'_, Self>;
}

/// A registered file system type. Unregistered when dropped; the module's reference count keeps that from
/// happening while a super block lives.
///
/// # Invariants
///
/// `fst` is registered, and `cache` outlives every inode of a super block of this type.
#[pin_data(PinnedDrop)]
pub(crate) struct Registration<T: Type> {
    #[pin]
    fst: Opaque<bindings::file_system_type>,
    cache: slab::Cache<T>,
}

// SAFETY: The C side synchronises the list of types; the cache is a thread-safe slab.
unsafe impl<T: Type> Send for Registration<T> {}
// SAFETY: As above; there is no method that changes it through a shared reference.
unsafe impl<T: Type> Sync for Registration<T> {}

impl<T: Type> Registration<T> {
    /// Registers `T`.
    pub(crate) fn new(module: &'static ThisModule) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            cache: slab::Cache::new()?,
            fst <- Opaque::try_ffi_init(|slot: *mut bindings::file_system_type| {
                let fst = bindings::file_system_type {
                    name: T::NAME.as_char_ptr(),
                    // Ids of an idmapped mount reach the file system as `attr::Idmap`.
                    fs_flags: bindings::FS_ALLOW_IDMAP as c_int,
                    init_fs_context: Some(context::Table::<T>::init_fs_context),
                    kill_sb: Some(sb::Table::<T>::kill_sb),
                    owner: module.as_ptr(),
                    ..pin_init::zeroed()
                };
                // SAFETY: `slot` is valid for writing, by the contract of `try_ffi_init`.
                unsafe { slot.write(fst) };
                // SAFETY: `slot` is initialised, pinned, and stays until `drop` unregisters it.
                to_result(unsafe { bindings::register_filesystem(slot) })
            }),
        })
    }

    /// The slab that inodes of this type come from.
    ///
    /// # Safety
    ///
    /// `fst` must be the `fst` field of a live `Registration<T>`.
    unsafe fn cache_of<'a>(fst: *mut bindings::file_system_type) -> &'a slab::Cache<T> {
        // SAFETY: By the function's contract `fst` is inside a `Registration<T>`; `Opaque` is transparent.
        let this = unsafe { kernel::container_of!(Opaque::cast_from(fst), Self, fst) };
        // SAFETY: The registration is live and `cache` is never changed after it is made.
        unsafe { &*ptr::addr_of!((*this).cache) }
    }
}

#[pinned_drop]
impl<T: Type> PinnedDrop for Registration<T> {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: By the type invariant it is registered. The error is for a type that is not.
        unsafe { bindings::unregister_filesystem(self.fst.get()) };
        // The slab is destroyed next: inodes may still wait for a grace period.
        // SAFETY: No precondition; this is process context.
        unsafe { bindings::rcu_barrier() };
    }
}

/// A C table of operations that is made for the file system type `T`, and only fits its inodes.
///
/// # Invariants
///
/// Every function in the table may be called for any object of a super block of type `T`.
pub(crate) struct Ops<C: 'static, T: Type>(&'static C, PhantomData<fn() -> T>);

impl<C, T: Type> Clone for Ops<C, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<C, T: Type> Copy for Ops<C, T> {}

impl<C, T: Type> Ops<C, T> {
    /// Vouches for a table.
    ///
    /// # Safety
    ///
    /// As the type invariant says.
    pub(in crate::linux) const unsafe fn new(table: &'static C) -> Self {
        // INVARIANT: By the function's contract.
        Self(table, PhantomData)
    }

    /// The C table.
    pub(in crate::linux) fn get(self) -> &'static C {
        self.0
    }
}

// Not wrapped: quota, posix ACLs, extended attributes, leases, `atomic_open`, `fileattr`, `fiemap`.
