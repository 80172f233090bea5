// SPDX-License-Identifier: GPL-2.0

//! Layer linux: `struct inode` with the file system's part behind it, and the slab both live in.
//!
//! States: [`NewInode`] is locked and unread, dropping it fails the read; [`Inode`] is live; [`Locked`] is live
//! with `i_rwsem` held for writing; [`Evicting`] has no reference left. The VFS's copy of an inode ([`Attr`]) is a copy of the
//! file system's own, which sets it here ([`Inode::set_attr`]) whenever that has changed, and nobody else does.
//!
//! C header: [`include/linux/fs.h`](srctree/include/linux/fs.h)

use core::marker::PhantomData;
use core::ops::Deref;
use core::ptr::NonNull;

use kernel::error::to_result;
use kernel::prelude::*;
use kernel::sync::aref::{ARef, AlwaysRefCounted};
use kernel::types::Opaque;

use super::sb::Super;
use super::slab::{Head, Slot};
use super::spare::Filled;
use super::{Ops, Type};
use crate::linux::bindings;

/// A moment, in seconds and nanoseconds since 1970.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Debug)]
pub(crate) struct Time {
    /// Seconds since 1970-01-01 00:00 UTC; may be negative.
    pub(crate) sec: i64,
    /// 0 to 999,999,999.
    pub(crate) nsec: u32,
}

impl Time {
    pub(super) fn from_raw(t: bindings::timespec64) -> Self {
        Self { sec: t.tv_sec, nsec: t.tv_nsec as u32 }
    }

    fn raw(self) -> bindings::timespec64 {
        bindings::timespec64 { tv_sec: self.sec, tv_nsec: self.nsec as c_long }
    }
}

/// The portable form of a device number (`new_encode_dev`).
pub(crate) const fn encode_dev(dev: u32) -> u32 {
    let (major, minor) = (dev >> 20, dev & 0xfffff);
    (minor & 0xff) | (major << 8) | ((minor & !0xff) << 12)
}

/// The kernel's form of a device number (`new_decode_dev`).
pub(crate) const fn decode_dev(dev: u32) -> u32 {
    let (major, minor) = ((dev & 0xfff00) >> 8, (dev & 0xff) | ((dev >> 12) & 0xfff00));
    (major << 20) | minor
}

/// What the VFS keeps of an inode.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Attr {
    /// Type and permissions, `S_IF*` and below.
    pub(crate) mode: u16,
    /// Owner, as an id of the initial user namespace.
    pub(crate) uid: u32,
    /// Group, as an id of the initial user namespace.
    pub(crate) gid: u32,
    /// Names it has; 0 for an orphan.
    pub(crate) links: u32,
    /// Bytes.
    pub(crate) size: u64,
    /// Tells this use of the inode's number from earlier ones.
    pub(crate) generation: u32,
    /// Last read.
    pub(crate) atime: Time,
    /// Last change of the contents.
    pub(crate) mtime: Time,
    /// Last change of contents or attributes.
    pub(crate) ctime: Time,
}

/// Which tables an inode gets.
pub(crate) enum Kind<T: Type> {
    /// A directory.
    Directory(Ops<bindings::inode_operations, T>, Ops<bindings::file_operations, T>),
    /// A regular file whose mapping holds PFN entries.
    Regular(
        Ops<bindings::inode_operations, T>,
        Ops<bindings::file_operations, T>,
        Ops<bindings::address_space_operations, T>,
    ),
    /// A symbolic link.
    Symlink(Ops<bindings::inode_operations, T>),
    /// A device node (its number in the kernel's form), a fifo or a socket.
    Special(Ops<bindings::inode_operations, T>, u32),
}

/// A live inode of a super block of `T`.
///
/// # Invariants
///
/// It is the `inode` of a [`Slot<T>`] whose `data` is initialised, and its super block is a [`Super<T>`].
#[repr(transparent)]
pub(crate) struct Inode<T: Type>(Opaque<bindings::inode>, PhantomData<T>);

// SAFETY: References are counted atomically; methods take the locks that C demands.
unsafe impl<T: Type> Send for Inode<T> {}
// SAFETY: As above, and `T::Inode` is `Sync`.
unsafe impl<T: Type> Sync for Inode<T> {}

// SAFETY: `i_count` keeps it; `ihold` and `iput` count.
unsafe impl<T: Type> AlwaysRefCounted for Inode<T> {
    fn inc_ref(&self) {
        // SAFETY: A live reference exists.
        unsafe { bindings::ihold(self.as_raw()) };
    }

    /// # Safety
    ///
    /// As the trait says.
    unsafe fn dec_ref(obj: NonNull<Self>) {
        // SAFETY: The caller gives up a reference that it owns.
        unsafe { bindings::iput(obj.as_ref().as_raw()) };
    }
}

/// Reads a word-sized field that others may write at once (`READ_ONCE`).
macro_rules! read {
    ($inode:expr, $($field:tt)+) => {
        // SAFETY: The inode is live, and the field is a word of it.
        unsafe { (&raw const (*$inode.as_raw()).$($field)+).read_volatile() }
    };
}

/// Writes such a field if it is another (`WRITE_ONCE`).
macro_rules! write_if {
    ($inode:expr, $($field:ident).+, $old:expr, $new:expr) => {
        if $old != $new {
            // SAFETY: The inode is live, the field is a word of it, and nobody else writes it now.
            unsafe { (&raw mut (*$inode.as_raw()).$($field).+).write_volatile($new) };
        }
    };
}

impl<T: Type> Inode<T> {
    /// # Safety
    ///
    /// `raw` fulfils the type invariant and is live for `'a`.
    pub(in crate::linux) unsafe fn from_raw<'a>(raw: *mut bindings::inode) -> &'a Self {
        // SAFETY: By the function's contract; the type is transparent.
        unsafe { &*raw.cast() }
    }

    /// The C inode.
    pub(in crate::linux) fn as_raw(&self) -> *mut bindings::inode {
        self.0.get()
    }

    /// The file system's part.
    pub(crate) fn data(&self) -> &T::Inode {
        let slot: *const Slot<T> = self.as_raw().cast();
        // SAFETY: By the type invariant; it is only changed through shared references.
        unsafe { (*(*slot).data.get()).assume_init_ref() }
    }

    /// The super block.
    pub(crate) fn sb(&self) -> &Super<T> {
        // SAFETY: By the type invariant. `i_sb` never changes.
        unsafe { Super::from_raw((*self.as_raw()).i_sb) }
    }

    /// The inode's number.
    pub(crate) fn ino(&self) -> u64 {
        read!(self, i_ino)
    }

    /// Tells this use of the number from earlier ones.
    pub(crate) fn generation(&self) -> u32 {
        read!(self, i_generation)
    }

    /// Type and permissions.
    pub(crate) fn mode(&self) -> u16 {
        read!(self, i_mode)
    }

    /// Whether it is a directory.
    pub(crate) fn is_dir(&self) -> bool {
        u32::from(self.mode()) & bindings::S_IFMT == bindings::S_IFDIR
    }

    /// Whether it is a regular file.
    pub(crate) fn is_file(&self) -> bool {
        u32::from(self.mode()) & bindings::S_IFMT == bindings::S_IFREG
    }

    /// Whether reading it failed: nothing in it means anything.
    pub(crate) fn is_bad(&self) -> bool {
        // SAFETY: It is live.
        unsafe { bindings::is_bad_inode(self.as_raw()) }
    }

    /// Names it has.
    pub(crate) fn links(&self) -> u32 {
        read!(self, __bindgen_anon_1.__i_nlink)
    }

    /// Bytes. May change at once unless `i_rwsem` is held.
    pub(crate) fn size(&self) -> u64 {
        // SAFETY: It is live.
        unsafe { bindings::pfnfs_i_size_read(self.as_raw()) as u64 }
    }

    /// The VFS's copy. What of it changes without `i_rwsem` the file system has a lock for.
    pub(crate) fn attr(&self) -> Attr {
        Attr {
            mode: self.mode(),
            uid: read!(self, i_uid.val),
            gid: read!(self, i_gid.val),
            links: self.links(),
            size: self.size(),
            generation: self.generation(),
            atime: Time { sec: read!(self, i_atime_sec), nsec: read!(self, i_atime_nsec) },
            mtime: Time { sec: read!(self, i_mtime_sec), nsec: read!(self, i_mtime_nsec) },
            ctime: Time { sec: read!(self, i_ctime_sec), nsec: read!(self, i_ctime_nsec) },
        }
    }

    /// The clock, as coarse as the inode's super block keeps time.
    pub(crate) fn now(&self) -> Time {
        // SAFETY: It is live.
        Time::from_raw(unsafe { bindings::current_time(self.as_raw()) })
    }

    /// Sets the VFS's copy, where it is another. One caller at a time, under the file system's lock; `i_rwsem` is held as well, but
    /// for times. The VFS reads without a lock. The generation stays as it is.
    pub(crate) fn set_attr(&self, new: &Attr) {
        let old = self.attr();
        if old == *new {
            return;
        }
        write_if!(self, i_mode, old.mode, new.mode);
        write_if!(self, i_uid.val, old.uid, new.uid);
        write_if!(self, i_gid.val, old.gid, new.gid);
        if old.links != new.links {
            // SAFETY: It is live. `set_nlink(0)` is `clear_nlink`.
            unsafe { bindings::set_nlink(self.as_raw(), new.links) };
        }
        if old.size != new.size {
            // SAFETY: Live; the file system sees to it that there is one caller at a time.
            unsafe { bindings::pfnfs_i_size_write(self.as_raw(), new.size as i64) };
        }
        // SAFETY: Live, and the times are valid.
        unsafe { bindings::pfnfs_set_times(self.as_raw(), new.atime.raw(), new.mtime.raw(), new.ctime.raw()) };
    }

    /// Says that there are times to write: [`Type::write_inode`] will be called, with `lazytime` only when somebody waits for it.
    pub(crate) fn mark_times(&self) {
        // SAFETY: It is live.
        unsafe { bindings::pfnfs_mark_times(self.as_raw()) };
    }

    /// Takes `i_rwsem` for writing.
    pub(crate) fn lock(&self) -> Guard<'_, T> {
        // SAFETY: It is live.
        unsafe { bindings::pfnfs_inode_lock(self.as_raw()) };
        // INVARIANT: Held since the line above.
        Guard(Locked(self))
    }

    /// Takes `i_rwsem` for reading: the size does not shrink, blocks stay.
    pub(crate) fn lock_shared(&self) -> SharedGuard<'_, T> {
        // SAFETY: It is live.
        unsafe { bindings::pfnfs_inode_lock_shared(self.as_raw()) };
        SharedGuard(self)
    }

    /// Whether the VFS has times (or pages) to write.
    pub(crate) fn is_dirty(&self) -> bool {
        // SAFETY: It is live.
        unsafe { bindings::pfnfs_inode_is_dirty(self.as_raw()) }
    }

    /// Whether somebody has a reference besides the caller's one, at this moment.
    pub(crate) fn is_shared(&self) -> bool {
        // SAFETY: It is live.
        unsafe { bindings::pfnfs_inode_shared(self.as_raw()) }
    }

    /// Writes the inode if it is dirty, and waits: [`Type::write_inode`] runs.
    pub(crate) fn sync_metadata(&self) -> Result {
        // SAFETY: It is live.
        to_result(unsafe { bindings::sync_inode_metadata(self.as_raw(), 1) })
    }

    /// Takes a reference.
    pub(crate) fn aref(&self) -> ARef<Self> {
        self.into()
    }
}

/// An inode whose `i_rwsem` is held for writing, by the VFS or by a [`Guard`].
///
/// # Invariants
///
/// Held as long as this exists.
pub(crate) struct Locked<'a, T: Type>(&'a Inode<T>);

impl<T: Type> Deref for Locked<'_, T> {
    type Target = Inode<T>;

    fn deref(&self) -> &Inode<T> {
        self.0
    }
}

impl<'a, T: Type> Locked<'a, T> {
    /// # Safety
    ///
    /// The inode fulfils [`Inode`]'s invariant, and its `i_rwsem` is held for writing for `'a`.
    pub(super) unsafe fn from_raw(raw: *mut bindings::inode) -> Self {
        // INVARIANT: By the function's contract.
        // SAFETY: As above.
        Self(unsafe { Inode::from_raw(raw) })
    }

    /// Whether the file may become that large: the caller's limit, the file system's, swap files.
    pub(crate) fn check_new_size(&self, size: u64) -> Result {
        // SAFETY: Live and locked.
        to_result(unsafe { bindings::inode_newsize_ok(self.as_raw(), i64::try_from(size)?) })
    }
}

/// Holds `i_rwsem` of an inode for writing.
pub(crate) struct Guard<'a, T: Type>(Locked<'a, T>);

impl<'a, T: Type> Deref for Guard<'a, T> {
    type Target = Locked<'a, T>;

    fn deref(&self) -> &Locked<'a, T> {
        &self.0
    }
}

impl<T: Type> Drop for Guard<'_, T> {
    fn drop(&mut self) {
        // SAFETY: Taken in `Inode::lock`.
        unsafe { bindings::pfnfs_inode_unlock(self.0.as_raw()) };
    }
}

/// Holds `i_rwsem` of an inode for reading.
pub(crate) struct SharedGuard<'a, T: Type>(&'a Inode<T>);

impl<T: Type> Drop for SharedGuard<'_, T> {
    fn drop(&mut self) {
        // SAFETY: Taken in `Inode::lock_shared`.
        unsafe { bindings::pfnfs_inode_unlock_shared(self.0.as_raw()) };
    }
}

/// The outcome of looking for an inode by number.
pub(crate) enum Cached<T: Type> {
    /// It is in memory.
    Live(ARef<Inode<T>>),
    /// It has to be read; others who look for it wait.
    New(NewInode<T>),
}

impl<T: Type> Cached<T> {
    /// # Safety
    ///
    /// `sb` is a live [`Super<T>`].
    pub(super) unsafe fn get(sb: *mut bindings::super_block, ino: u64) -> Result<Self> {
        // SAFETY: By the function's contract. A freed inode with this number is waited for.
        let inode = NonNull::new(unsafe { bindings::iget_locked(sb, ino) }).ok_or(ENOMEM)?;
        // SAFETY: We own a reference to it.
        Ok(match unsafe { bindings::pfnfs_inode_is_new(inode.as_ptr()) } {
            // INVARIANT: New, and the reference is ours.
            true => Self::New(NewInode(inode, PhantomData)),
            // SAFETY: Live, of this type, and the reference is ours.
            false => Self::Live(unsafe { ARef::from_raw(inode.cast()) }),
        })
    }
}

/// An inode that is hashed and locked, and not read yet. Dropping it makes the read fail for all who wait.
///
/// # Invariants
///
/// `I_NEW` is set, and we own a reference.
pub(crate) struct NewInode<T: Type>(pub(super) NonNull<bindings::inode>, pub(super) PhantomData<T>);

impl<T: Type> NewInode<T> {
    /// The inode's number.
    pub(crate) fn ino(&self) -> u64 {
        // SAFETY: By the type invariant.
        unsafe { (*self.0.as_ptr()).i_ino }
    }

    /// The file system's part, to be filled before [`NewInode::init`].
    pub(crate) fn data(&self) -> &T::Inode {
        // SAFETY: By the type invariant; the part is initialised since the allocation.
        unsafe { Inode::<T>::from_raw(self.0.as_ptr()) }.data()
    }

    /// Fills it.
    pub(crate) fn init(self, a: &Attr, kind: Kind<T>) -> Filled<T> {
        let raw = core::mem::ManuallyDrop::new(self).0;
        // SAFETY: By the type invariant nobody else reads it until it is unlocked below.
        let inode = unsafe { &mut *raw.as_ptr() };
        inode.i_mode = a.mode;
        inode.i_uid.val = a.uid;
        inode.i_gid.val = a.gid;
        inode.i_generation = a.generation;
        inode.i_size = a.size as i64;
        (inode.i_atime_sec, inode.i_atime_nsec) = (a.atime.sec, a.atime.nsec);
        (inode.i_mtime_sec, inode.i_mtime_nsec) = (a.mtime.sec, a.mtime.nsec);
        (inode.i_ctime_sec, inode.i_ctime_nsec) = (a.ctime.sec, a.ctime.nsec);
        // SAFETY: As above.
        unsafe { bindings::set_nlink(inode, a.links) };
        match kind {
            Kind::Directory(ops, files) => {
                inode.i_op = ops.get();
                inode.__bindgen_anon_3.i_fop = files.get();
            }
            Kind::Regular(ops, files, mapping) => {
                inode.i_op = ops.get();
                inode.__bindgen_anon_3.i_fop = files.get();
                inode.i_data.a_ops = mapping.get();
                // SAFETY: Inodes of ours begin heads, and nobody uses this one yet.
                unsafe { (*raw.as_ptr().cast::<Head>()).front.set_up() };
                // Value entries in `i_pages` are PFNs, not shadows.
                inode.i_flags |= bindings::S_DAX;
            }
            Kind::Symlink(ops) => inode.i_op = ops.get(),
            Kind::Special(ops, rdev) => {
                // SAFETY: As above.
                unsafe { bindings::init_special_inode(inode, a.mode, rdev) };
                inode.i_op = ops.get();
            }
        }
        // SAFETY: Filled above; `I_NEW` and the reference are those of the new inode.
        unsafe { Filled::from_raw(raw) }
    }
}

impl<T: Type> Drop for NewInode<T> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant. Marks it bad, unlocks it, and takes the reference.
        unsafe { bindings::iget_failed(self.0.as_ptr()) };
    }
}

/// An inode that nobody can reach any more.
pub(crate) struct Evicting<'a, T: Type>(&'a Inode<T>);

/// Proof that an inode's mapping was emptied and the VFS's part is done with.
pub(crate) struct Cleared<'a, T: Type>(PhantomData<&'a Inode<T>>);

impl<'a, T: Type> Evicting<'a, T> {
    /// # Safety
    ///
    /// Called by the VFS's eviction, once for this inode.
    pub(super) unsafe fn from_raw(raw: *mut bindings::inode) -> Self {
        // SAFETY: By the function's contract.
        Self(unsafe { Inode::from_raw(raw) })
    }

    /// Whether it is a live inode without a name: what it occupies is to be freed.
    pub(crate) fn is_orphan(&self) -> bool {
        self.0.links() == 0 && !self.0.is_bad()
    }

    /// Throws away what is left in the mapping. PFN entries must be gone: see `dax::Cache`.
    pub(crate) fn clear(self) -> Cleared<'a, T> {
        // SAFETY: Nobody else can reach it, and this consumes the one right to do so.
        unsafe {
            bindings::truncate_inode_pages_final(&raw mut (*self.0.as_raw()).i_data);
            bindings::clear_inode(self.0.as_raw());
        }
        Cleared(PhantomData)
    }
}

impl<'a, T: Type> Evicting<'a, T> {
    /// The inode. It must not be given a new reference.
    pub(crate) fn inode(&self) -> &'a Inode<T> {
        self.0
    }
}

// Not wrapped: `i_version`, leases, `i_dio_count`; `ilookup`.
