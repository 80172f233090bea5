// SPDX-License-Identifier: GPL-2.0

//! Layer linux: `struct inode_operations` of everything that is not a directory, and the part that all inodes
//! share: `stat(2)`, `chmod(2)` and their kin; the target of a symbolic link.
//!
//! C header: [`include/linux/fs.h`](srctree/include/linux/fs.h), [`include/linux/stat.h`](srctree/include/linux/stat.h)

use core::marker::PhantomData;

use kernel::error::{from_result, to_result};
use kernel::prelude::*;

use super::inode::{Inode, Locked, Time};
use super::{Ops, Type};
use crate::linux::bindings;

/// What `stat(2)` tells beyond the VFS's own copy.
pub(crate) struct Extra {
    /// Bytes that the media gives to the inode.
    pub(crate) allocated: u64,
    /// When it was made.
    pub(crate) born: Time,
}

/// Which times are to be the present.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Moved {
    /// atime: it was read.
    Access,
    /// mtime and ctime: its contents were changed.
    Change,
}

/// What a time is to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum When {
    /// The present.
    Now,
    /// This.
    At(Time),
}

impl When {
    /// The time, if the present is `now`.
    pub(crate) fn or(self, now: Time) -> Time {
        match self {
            When::Now => now,
            When::At(t) => t,
        }
    }
}

/// A change of attributes that the VFS has allowed.
pub(crate) struct Change<'a> {
    raw: &'a bindings::iattr,
    mode: u16,
    uid: u32,
    gid: u32,
}

impl Change<'_> {
    fn is(&self, bit: u32) -> bool {
        self.raw.ia_valid & bit != 0
    }

    fn time(&self, bit: u32, set: u32, at: bindings::timespec64) -> Option<When> {
        self.is(bit).then(|| if self.is(set) { When::At(Time::from_raw(at)) } else { When::Now })
    }

    /// New type and permissions.
    pub(crate) fn mode(&self) -> Option<u16> {
        self.is(bindings::ATTR_MODE).then_some(self.mode)
    }

    /// New owner, in the initial user namespace.
    pub(crate) fn uid(&self) -> Option<u32> {
        self.is(bindings::ATTR_UID).then_some(self.uid)
    }

    /// New group, in the initial user namespace.
    pub(crate) fn gid(&self) -> Option<u32> {
        self.is(bindings::ATTR_GID).then_some(self.gid)
    }

    /// New size in bytes.
    pub(crate) fn size(&self) -> Option<u64> {
        self.is(bindings::ATTR_SIZE).then_some(self.raw.ia_size as u64)
    }

    /// New time of the last read.
    pub(crate) fn atime(&self) -> Option<When> {
        self.time(bindings::ATTR_ATIME, bindings::ATTR_ATIME_SET, self.raw.ia_atime)
    }

    /// New time of the last change of the contents.
    pub(crate) fn mtime(&self) -> Option<When> {
        self.time(bindings::ATTR_MTIME, bindings::ATTR_MTIME_SET, self.raw.ia_mtime)
    }

    /// New time of the last change. Given by a server's client who has kept time himself, it is never taken back, nor is it in
    /// the future.
    pub(crate) fn ctime(&self) -> Option<When> {
        // The second goes without the first.
        let either = bindings::ATTR_CTIME | bindings::ATTR_CTIME_SET;
        self.time(either, bindings::ATTR_CTIME_SET, self.raw.ia_ctime)
    }
}

/// What every inode can do.
pub(crate) trait Operations: Sized + Send + Sync + 'static {
    /// The file system type.
    type Fs: Type;

    /// `stat(2)`.
    fn getattr(inode: &Inode<Self::Fs>) -> Result<Extra>;

    /// Commits a change to the media, and sets the VFS's copy.
    fn setattr(inode: &Locked<'_, Self::Fs>, change: &Change<'_>) -> Result;

    /// Makes times the present, in the VFS's copy as well.
    fn update_time(inode: &Inode<Self::Fs>, which: Moved) -> Result;
}

/// The target of a symbolic link.
pub(crate) trait Link: Operations {
    /// Reads it. Without a terminating zero.
    fn target(inode: &Inode<Self::Fs>) -> Result<KVec<u8>>;
}

/// The table of a regular file or a special one.
pub(crate) const fn table<A: Operations>() -> Ops<bindings::inode_operations, A::Fs> {
    // SAFETY: Each adapter below may be called for any inode of `A::Fs`.
    unsafe { Ops::new(&Adapter::<A>::TABLE) }
}

/// The table of a symbolic link.
pub(crate) const fn link_table<L: Link>() -> Ops<bindings::inode_operations, L::Fs> {
    // SAFETY: Each adapter below may be called for any symbolic link of `L::Fs`.
    unsafe { Ops::new(&Adapter::<L>::LINK_TABLE) }
}

/// Adapters, called by the VFS with live objects of a super block of `A::Fs`.
pub(super) struct Adapter<A>(PhantomData<A>);

impl<A: Operations> Adapter<A> {
    const TABLE: bindings::inode_operations = bindings::inode_operations {
        getattr: Some(Self::getattr),
        setattr: Some(Self::setattr),
        update_time: Some(Self::update_time),
        ..pin_init::zeroed()
    };

    /// # Safety
    ///
    /// Called by the VFS, as the documentation of the adapters says.
    pub(super) unsafe extern "C" fn getattr(
        idmap: *mut bindings::mnt_idmap,
        path: *const bindings::path,
        stat: *mut bindings::kstat,
        mask: u32,
        _flags: c_uint,
    ) -> c_int {
        from_result(|| {
            // SAFETY: The path's dentry is positive, and held by the caller.
            let inode: &Inode<A::Fs> = unsafe { Inode::from_raw((*(*path).dentry).d_inode) };
            let extra = A::getattr(inode)?;
            // SAFETY: Live objects; `stat` is the caller's to fill.
            unsafe { bindings::generic_fillattr(idmap, mask, inode.as_raw(), stat) };
            // SAFETY: As above.
            let stat = unsafe { &mut *stat };
            stat.blocks = extra.allocated >> 9;
            stat.btime = bindings::timespec64 { tv_sec: extra.born.sec, tv_nsec: extra.born.nsec as c_long };
            stat.result_mask |= bindings::STATX_BTIME;
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// Called by the VFS, as the documentation of the adapters says.
    pub(super) unsafe extern "C" fn setattr(
        idmap: *mut bindings::mnt_idmap,
        dentry: *mut bindings::dentry,
        attr: *mut bindings::iattr,
    ) -> c_int {
        from_result(|| {
            // SAFETY: Live objects; `notify_change` holds `i_rwsem` of the dentry's inode.
            to_result(unsafe { bindings::setattr_prepare(idmap, dentry, attr) })?;
            // SAFETY: As above.
            let inode = unsafe { Locked::<A::Fs>::from_raw((*dentry).d_inode) };
            let (mut uid, mut gid) = (0, 0);
            // SAFETY: As above; the rest are locals.
            unsafe { bindings::pfnfs_attr_owner(idmap, inode.as_raw(), attr, &mut uid, &mut gid) };
            // SAFETY: As above.
            let mode = unsafe { bindings::pfnfs_attr_mode(idmap, inode.as_raw(), attr) };
            // SAFETY: As above; the change lives no longer than this call.
            A::setattr(&inode, &Change { raw: unsafe { &*attr }, mode, uid, gid }).map(|()| 0)
        })
    }

    /// # Safety
    ///
    /// Called by the VFS, as the documentation of the adapters says. (No flags: no file is opened for requests that do not wait.)
    pub(super) unsafe extern "C" fn update_time(
        inode: *mut bindings::inode,
        which: bindings::fs_update_time,
        _flags: c_uint,
    ) -> c_int {
        from_result(|| {
            let which = if which == bindings::fs_update_time_FS_UPD_ATIME { Moved::Access } else { Moved::Change };
            // SAFETY: A live inode.
            A::update_time(unsafe { Inode::from_raw(inode) }, which).map(|()| 0)
        })
    }
}

impl<L: Link> Adapter<L> {
    const LINK_TABLE: bindings::inode_operations = bindings::inode_operations {
        get_link: Some(Self::get_link),
        getattr: Some(Self::getattr),
        setattr: Some(Self::setattr),
        update_time: Some(Self::update_time),
        ..pin_init::zeroed()
    };

    /// # Safety
    ///
    /// Called by the VFS, as the documentation of the adapters says.
    unsafe extern "C" fn get_link(
        dentry: *mut bindings::dentry,
        inode: *mut bindings::inode,
        done: *mut bindings::delayed_call,
    ) -> *const c_char {
        // No dentry: a walk under RCU, where the media must not be read. It comes again.
        if dentry.is_null() {
            return ECHILD.to_ptr();
        }
        // SAFETY: A live symbolic link.
        let target = L::target(unsafe { Inode::from_raw(inode) }).and_then(|mut t| {
            t.push(0, GFP_KERNEL)?;
            Ok(t.into_raw_parts().0)
        });
        match target {
            // SAFETY: `done` is the caller's; it frees the string, which came from `kmalloc`, when it is done.
            Ok(t) => unsafe {
                (*done).fn_ = Some(bindings::kfree_link);
                (*done).arg = t.cast();
                t.cast()
            },
            Err(e) => e.to_ptr(),
        }
    }
}

// Not wrapped: `fileattr_get` and `fileattr_set`, `fiemap`, extended attributes and ACLs, `sync_lazytime`.
