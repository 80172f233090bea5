// SPDX-License-Identifier: GPL-2.0

//! Layer linux: `struct super_block` in its three states, and `struct super_operations`.
//!
//! [`New`] has nothing but flags; [`NeedsRoot`] has its parameters and can read inodes; [`Ready`] has a root.
//! [`Super`] is a mounted one, as every inode sees it.
//!
//! C header: [`include/linux/fs.h`](srctree/include/linux/fs.h)

use core::cell::UnsafeCell;
use core::marker::PhantomData;
use core::ptr::NonNull;

use kernel::error::{from_result, to_result};
use kernel::prelude::*;
use kernel::sync::aref::ARef;
use kernel::sync::{new_mutex, Arc, Mutex};
use kernel::types::{NotThreadSafe, Opaque};

use super::inode::{self, Cached, Inode};
use super::kept::List;
use super::slab::{Cache, Head};
use super::{Ops, Type};
use crate::linux::bindings;

/// What `s_fs_info` points to: the key of the mount, then the file system's own part.
pub(super) struct Mount<T: Type> {
    pub(super) key: T::Key,
    data: UnsafeCell<Option<Arc<T::Super>>>,
    handle: UnsafeCell<Option<Arc<Handle<T>>>>,
    kept: List<T>,
}

impl<T: Type> Mount<T> {
    pub(super) fn new(key: T::Key) -> Self {
        Self { key, data: UnsafeCell::new(None), handle: UnsafeCell::new(None), kept: List::new() }
    }
}

/// A super block of `T` that has its parameters.
///
/// # Invariants
///
/// `s_fs_info` is a [`Mount<T>`] whose `data` is there and does not change.
#[repr(transparent)]
pub(crate) struct Super<T: Type>(Opaque<bindings::super_block>, PhantomData<T>);

// SAFETY: Methods read fields that do not change while it lives, or take the lock that C demands.
unsafe impl<T: Type> Sync for Super<T> {}
// SAFETY: Only ever used by reference.
unsafe impl<T: Type> Send for Super<T> {}

impl<T: Type> Super<T> {
    /// # Safety
    ///
    /// `raw` is live for `'a` and fulfils the type invariant.
    pub(in crate::linux) unsafe fn from_raw<'a>(raw: *mut bindings::super_block) -> &'a Self {
        // SAFETY: By the function's contract; the type is transparent.
        unsafe { &*raw.cast() }
    }

    /// The C super block.
    pub(in crate::linux) fn as_raw(&self) -> *mut bindings::super_block {
        self.0.get()
    }

    fn mount(&self) -> &Mount<T> {
        // SAFETY: By the type invariant.
        unsafe { &*(*self.as_raw()).s_fs_info.cast() }
    }

    /// The file system's own part.
    pub(crate) fn data(&self) -> &Arc<T::Super> {
        // SAFETY: By the type invariant it is there.
        unsafe { (*self.mount().data.get()).as_ref().unwrap_unchecked() }
    }

    /// What the source of the mount named.
    pub(crate) fn key(&self) -> &T::Key {
        &self.mount().key
    }

    /// Whether it is mounted read-only now.
    pub(crate) fn read_only(&self) -> bool {
        // SAFETY: It is live; the flag is read once.
        unsafe { (&raw const (*self.as_raw()).s_flags).read_volatile() as u32 & bindings::SB_RDONLY != 0 }
    }

    /// The inode with this number, from memory or to be read.
    pub(crate) fn iget(&self, ino: u64) -> Result<Cached<T>> {
        // SAFETY: It is live and has its operations.
        unsafe { Cached::get(self.as_raw(), ino) }
    }

    /// Keeps the file system from being frozen: for writes that no system call has announced. `None` if it is frozen. (To wait
    /// is not offered: a thaw needs `s_umount`, which a shrinker holds.)
    pub(crate) fn try_writing(&self) -> Option<Writing<'_, T>> {
        // SAFETY: It is live.
        let begun = unsafe { bindings::pfnfs_try_intwrite(self.as_raw()) };
        // Made only then: to drop one ends what was begun.
        begun.then(|| Writing(self))
    }

    /// Whether it is frozen. To be asked in [`Handle::with`] only, within which that does not change.
    pub(crate) fn is_frozen(&self) -> bool {
        // SAFETY: It is live.
        unsafe { bindings::pfnfs_super_frozen(self.as_raw()) }
    }

    /// Lets go of the inodes that [`Type::keep`] has kept, after a call of `f` for each: those that must wait on are kept again.
    pub(crate) fn release_kept(&self, f: impl Fn(&Inode<T>)) {
        self.mount().kept.release(false, f);
    }

    /// Writes out all that is dirty, and waits, as `syncfs(2)` does. For a remount, which holds `s_umount`, and which the VFS does not do
    /// it for.
    pub(crate) fn sync(&self) -> Result {
        // SAFETY: It is live, and `s_umount` is held.
        to_result(unsafe { bindings::sync_filesystem(self.as_raw()) })
    }

    /// Writes out all dirty inodes and waits. To be called in [`Handle::with`] only.
    pub(crate) fn sync_inodes(&self) {
        // SAFETY: It is live, and `s_umount` held as `sync_inodes_sb` demands: nobody else has a handle's super block.
        unsafe { bindings::pfnfs_sync_inodes(self.as_raw()) };
    }
}

/// A super block that may be unmounted at any time.
#[pin_data]
pub(crate) struct Handle<T: Type> {
    /// `None` once all inodes are gone.
    #[pin]
    sb: Mutex<Option<Pointer>>,
    _p: PhantomData<fn() -> T>,
}

struct Pointer(NonNull<bindings::super_block>);

// SAFETY: Only followed under the lock of a `Handle`.
unsafe impl Send for Pointer {}

impl<T: Type> Handle<T> {
    /// Calls `f` with the super block, which is not unmounted meanwhile. Returns without a call when there is no inode
    /// any more; an unmount that is under way is waited for.
    pub(crate) fn with(&self, f: impl FnOnce(&Super<T>)) {
        loop {
            let guard = self.sb.lock();
            let Some(Pointer(sb)) = &*guard else { return };
            // Unmounting holds `s_umount` when it takes our lock in `forget`, hence only a try.
            // SAFETY: The super block is live until `forget` has had the lock.
            if unsafe { bindings::pfnfs_super_trylock(sb.as_ptr()) } {
                // SAFETY: Live, and mounted: `SB_ACTIVE` is set and `s_umount` held.
                f(unsafe { Super::from_raw(sb.as_ptr()) });
                // SAFETY: Taken above.
                unsafe { bindings::pfnfs_super_unlock(sb.as_ptr()) };
                return;
            }
            drop(guard);
            kernel::time::delay::fsleep(kernel::time::Delta::from_millis(1));
        }
    }

    /// As [`Handle::with`], but gives up where that waits: the super block is being unmounted, remounted or frozen, or another call
    /// is under way.
    pub(crate) fn try_with(&self, f: impl FnOnce(&Super<T>)) {
        let Some(guard) = self.sb.try_lock() else { return };
        let Some(Pointer(sb)) = &*guard else { return };
        // SAFETY: As in `with`.
        unsafe {
            if bindings::pfnfs_super_trylock(sb.as_ptr()) {
                f(Super::from_raw(sb.as_ptr()));
                bindings::pfnfs_super_unlock(sb.as_ptr());
            }
        }
    }

    fn forget(&self) {
        *self.sb.lock() = None;
    }
}

/// Proof that the file system of a call is not frozen, nor will be before the call has ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unfrozen<'a>(PhantomData<&'a ()>, NotThreadSafe);

impl Unfrozen<'_> {
    /// # Safety
    ///
    /// The proof holds for the lifetime.
    pub(in crate::linux) unsafe fn new() -> Self {
        Self(PhantomData, NotThreadSafe)
    }
}

/// The file system is not frozen as long as this exists.
#[must_use]
pub(crate) struct Writing<'a, T: Type>(&'a Super<T>);

impl<T: Type> Drop for Writing<'_, T> {
    fn drop(&mut self) {
        // SAFETY: Begun in `Super::try_writing`.
        unsafe { bindings::pfnfs_end_intwrite(self.0.as_raw()) };
    }
}

/// No parameters yet.
pub(crate) enum New {}
/// Parameters, no root.
pub(crate) enum NeedsRoot {}
/// All there.
pub(crate) enum Ready {}

/// A super block being filled, in state `S`.
pub(crate) struct SuperBlock<'a, T: Type, S> {
    raw: *mut bindings::super_block,
    _p: PhantomData<(&'a (), T, S)>,
}

/// What a super block must have before it can read inodes.
pub(crate) struct Params<T: Type> {
    /// `f_type` of `statfs(2)`.
    pub(crate) magic: u32,
    /// The largest file in bytes.
    pub(crate) max_bytes: i64,
    /// The most links of one inode.
    pub(crate) max_links: u32,
    /// The name of the device, for messages of the VFS; cut at 31 bytes.
    pub(crate) id: [u8; 32],
    /// The volume's UUID.
    pub(crate) uuid: [u8; 16],
    /// The media cannot or must not be written, whatever the user asked for.
    pub(crate) read_only: bool,
    /// File handles.
    pub(crate) export: Ops<bindings::export_operations, T>,
}

impl<'a, T: Type> SuperBlock<'a, T, New> {
    /// # Safety
    ///
    /// `raw` is a super block without a root, `s_umount` is held by the caller for `'a`, and `s_fs_info` is a
    /// [`Mount<T>`].
    pub(super) unsafe fn from_raw(raw: *mut bindings::super_block) -> Self {
        Self { raw, _p: PhantomData }
    }

    /// Whether the user asked for a read-only mount.
    pub(crate) fn read_only(&self) -> bool {
        // SAFETY: By the contract of `from_raw`.
        unsafe { (*self.raw).s_flags as u32 & bindings::SB_RDONLY != 0 }
    }

    /// Sets the parameters and the file system's part.
    pub(crate) fn init(self, p: Params<T>, data: Arc<T::Super>) -> Result<SuperBlock<'a, T, NeedsRoot>> {
        // SAFETY: By the contract of `from_raw` the super block is ours alone.
        let sb = unsafe { &mut *self.raw };
        let handle = Arc::pin_init(
            pin_init!(Handle { sb <- new_mutex!(NonNull::new(self.raw).map(Pointer), "pfnfs_handle"), _p: PhantomData }),
            GFP_KERNEL,
        )?;
        // SAFETY: By the contract of `from_raw`; nobody looks at them before there is a root.
        unsafe {
            let mount = &*sb.s_fs_info.cast::<Mount<T>>();
            *mount.data.get() = Some(data);
            *mount.handle.get() = Some(handle);
        }
        sb.s_magic = p.magic as c_ulong;
        sb.s_maxbytes = p.max_bytes;
        sb.s_max_links = p.max_links;
        sb.s_blocksize = kernel::page::PAGE_SIZE;
        sb.s_blocksize_bits = kernel::page::PAGE_SHIFT as u8;
        sb.s_time_gran = 1;
        sb.s_op = &Table::<T>::OPS;
        sb.s_export_op = core::ptr::from_ref(p.export.get()).cast();
        if p.read_only {
            sb.s_flags |= bindings::SB_RDONLY as c_ulong;
        }
        for (to, from) in sb.s_id.iter_mut().take(31).zip(p.id) {
            *to = from as c_char;
        }
        // SAFETY: The super block is ours alone. A UUID has 16 bytes. Without a bdi of its own, sync(2) and
        // unmount would not write dirty mappings back.
        unsafe {
            bindings::pfnfs_set_uuid(self.raw, p.uuid.as_ptr());
            to_result(bindings::super_setup_bdi(self.raw))?;
        }
        Ok(SuperBlock { raw: self.raw, _p: PhantomData })
    }
}

impl<'a, T: Type> SuperBlock<'a, T, NeedsRoot> {
    /// The super block as inodes see it.
    pub(crate) fn sb(&self) -> &Super<T> {
        // SAFETY: `init` has populated the data.
        unsafe { Super::from_raw(self.raw) }
    }

    /// A way to the super block for those who are not called by the VFS.
    pub(crate) fn handle(&self) -> Arc<Handle<T>> {
        // SAFETY: `init` has made it, and it goes when the super block does.
        unsafe { (*self.sb().mount().handle.get()).clone().unwrap_unchecked() }
    }

    /// Makes `inode` the root.
    pub(crate) fn root(self, inode: ARef<Inode<T>>) -> Result<SuperBlock<'a, T, Ready>> {
        // SAFETY: `d_make_root` takes over the reference, also when it fails.
        let root = unsafe { bindings::d_make_root(ARef::into_raw(inode).as_ref().as_raw()) };
        if root.is_null() {
            return Err(ENOMEM);
        }
        // SAFETY: The super block is ours alone until it is active.
        unsafe { (*self.raw).s_root = root };
        Ok(SuperBlock { raw: self.raw, _p: PhantomData })
    }
}

/// Figures for `statfs(2)`, in blocks of a page.
pub(crate) struct Statfs {
    /// `f_type`.
    pub(crate) magic: u32,
    /// Blocks that files and metadata can use.
    pub(crate) blocks: u64,
    /// Blocks that are free.
    pub(crate) free: u64,
    /// Blocks that are free for users without privileges.
    pub(crate) available: u64,
    /// Inodes that can exist.
    pub(crate) files: u64,
    /// Inodes that are free.
    pub(crate) files_free: u64,
    /// An id that no other file system has: taken from the UUID, the same after each mount.
    pub(crate) fsid: u64,
}

/// The longest name in a directory, in bytes.
pub(crate) const NAME_MAX: usize = bindings::NAME_MAX as usize;

/// The callbacks of a super block of `T`.
pub(super) struct Table<T>(PhantomData<T>);

impl<T: Type> Table<T> {
    const OPS: bindings::super_operations = bindings::super_operations {
        alloc_inode: Some(Cache::<T>::alloc_inode),
        destroy_inode: Some(Cache::<T>::destroy_inode),
        free_inode: Some(Cache::<T>::free_inode),
        write_inode: Some(Self::write_inode),
        drop_inode: Some(Self::drop_inode),
        evict_inode: Some(Self::evict_inode),
        put_super: Some(Self::put_super),
        sync_fs: Some(Self::sync_fs),
        freeze_fs: Some(Self::freeze_fs),
        unfreeze_fs: Some(Self::unfreeze_fs),
        statfs: Some(Self::statfs),
        ..pin_init::zeroed()
    };

    /// # Safety
    ///
    /// Called by the VFS once for each super block that `sget_fc` made for this type.
    pub(super) unsafe extern "C" fn kill_sb(sb: *mut bindings::super_block) {
        // SAFETY: `sget_fc` has put our `Mount` there.
        let mount = unsafe { (*sb).s_fs_info };
        // SAFETY: As above; nobody but the VFS uses the super block now, which it has locked.
        unsafe {
            if !(*sb).s_root.is_null() {
                T::leave(Super::from_raw(sb));
                // What takes as long as a user likes, before the VFS begins to take apart what `sync(2)`, for one, comes by with
                // this lock. Nobody can mount it, open a file of it or freeze it any more.
                bindings::pfnfs_umount_leave(sb);
                T::await_users(Super::from_raw(sb));
                bindings::pfnfs_umount_enter(sb);
            }
            (*mount.cast::<Mount<T>>()).kept.release(true, |_| ());
        }
        // SAFETY: By the function's contract. After it no `test` of `get_tree` sees the super block.
        unsafe { bindings::kill_anon_super(sb) };
        // SAFETY: From `KBox::into_raw` in `get_tree`; nobody else can reach it now.
        let mut mount = unsafe { KBox::from_raw(mount.cast::<Mount<T>>()) };
        // If it never had a root there was no `put_super`.
        if let Some(handle) = mount.handle.get_mut().take() {
            handle.forget();
        }
    }

    /// # Safety
    ///
    /// Called by the VFS for an inode of a live super block of this type, as are the functions below.
    unsafe extern "C" fn write_inode(
        inode: *mut bindings::inode,
        _wbc: *mut kernel::bindings::writeback_control,
    ) -> c_int {
        // SAFETY: By the function's contract.
        from_result(|| T::write_inode(unsafe { Inode::from_raw(inode) }).map(|()| 0))
    }

    /// # Safety
    ///
    /// Called by the VFS when the last reference has gone, with `i_lock` held.
    unsafe extern "C" fn drop_inode(inode: *mut bindings::inode) -> c_int {
        // SAFETY: By the function's contract.
        unsafe {
            let i = Inode::<T>::from_raw(inode);
            let drop = bindings::pfnfs_inode_drops(inode);
            let stays = bindings::pfnfs_inode_stays(inode);
            let kept = stays && T::keep(i) && i.sb().mount().kept.keep(inode);
            (drop && !kept).into()
        }
    }

    /// # Safety
    ///
    /// Called by the VFS, as the documentation of the adapters says.
    unsafe extern "C" fn evict_inode(inode: *mut bindings::inode) {
        // SAFETY: An inode of ours lives in a slot.
        if let Some(link) = unsafe { (*inode.cast::<Head>()).link.as_ref() } {
            link.cut();
        }
        // SAFETY: The VFS evicts an inode once, when nobody else can reach it; nor by its link any more.
        T::evict(unsafe { inode::Evicting::from_raw(inode) });
    }

    /// # Safety
    ///
    /// Called by the VFS, as the documentation of the adapters says.
    unsafe extern "C" fn put_super(sb: *mut bindings::super_block) {
        // SAFETY: It had a root, so its data is there.
        let s = unsafe { Super::<T>::from_raw(sb) };
        // SAFETY: As above; nobody else uses a super block without inodes, but through the handle.
        let (data, handle) = unsafe { (&mut *s.mount().data.get(), &mut *s.mount().handle.get()) };
        if let Some(handle) = handle.take() {
            handle.forget();
        }
        T::put_super(s);
        *data = None;
    }

    /// # Safety
    ///
    /// Called by the VFS, as the documentation of the adapters says.
    unsafe extern "C" fn sync_fs(sb: *mut bindings::super_block, wait: c_int) -> c_int {
        // SAFETY: It is mounted.
        from_result(|| T::sync(unsafe { Super::from_raw(sb) }, wait != 0).map(|()| 0))
    }

    /// # Safety
    ///
    /// Called by the VFS, as the documentation of the adapters says.
    unsafe extern "C" fn freeze_fs(sb: *mut bindings::super_block) -> c_int {
        // SAFETY: `s_umount` is held, and the file system is not frozen before this call has ended.
        let unfrozen = unsafe { Unfrozen::new() };
        // SAFETY: It is mounted.
        from_result(|| T::freeze(unsafe { Super::from_raw(sb) }, unfrozen).map(|()| 0))
    }

    /// # Safety
    ///
    /// Called by the VFS, as the documentation of the adapters says.
    unsafe extern "C" fn unfreeze_fs(sb: *mut bindings::super_block) -> c_int {
        // SAFETY: It is mounted.
        from_result(|| T::thaw(unsafe { Super::from_raw(sb) }).map(|()| 0))
    }

    /// # Safety
    ///
    /// Called by the VFS, as the documentation of the adapters says.
    unsafe extern "C" fn statfs(dentry: *mut bindings::dentry, buf: *mut kernel::bindings::kstatfs) -> c_int {
        from_result(|| {
            // SAFETY: The dentry is of a mounted super block of this type.
            let s = T::statfs(unsafe { Super::from_raw((*dentry).d_sb) })?;
            // SAFETY: The VFS gives a buffer to fill, zeroed.
            let buf = unsafe { &mut *buf.cast::<bindings::kstatfs>() };
            buf.f_type = s.magic as c_long;
            buf.f_bsize = kernel::page::PAGE_SIZE as c_long;
            buf.f_frsize = kernel::page::PAGE_SIZE as c_long;
            buf.f_blocks = s.blocks;
            buf.f_bfree = s.free;
            buf.f_bavail = s.available;
            buf.f_files = s.files;
            buf.f_ffree = s.files_free;
            buf.f_namelen = NAME_MAX as c_long;
            buf.f_fsid.val = [s.fsid as c_int, (s.fsid >> 32) as c_int];
            Ok(0)
        })
    }
}

// Not wrapped: quota, `show_options` (the only option is not worth a line), `umount_begin`, `shutdown`.
