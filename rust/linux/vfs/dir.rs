// SPDX-License-Identifier: GPL-2.0

//! Layer linux: `struct inode_operations` of a directory: names come and go.
//!
//! The VFS holds `i_rwsem` of each directory that changes, and of what is linked, unlinked or replaced.
//!
//! C header: [`include/linux/fs.h`](srctree/include/linux/fs.h)

use core::marker::PhantomData;

use kernel::build_error;
use kernel::error::{from_result, VTABLE_DEFAULT_ERROR};
use kernel::prelude::*;
use kernel::str::CStr;

use super::attr;
use super::dentry::{self, Made, Negative, Spliced, Unhashed};
use super::inode::{Inode, Locked};
use super::spare::Filled;
use super::{Ops, Type};
use crate::linux::bindings;

/// Whose a new inode is, and what may be done with it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Owner {
    /// Type and permissions, after the umask and the directory's set-group-id bit.
    pub(crate) mode: u16,
    /// Id in the initial user namespace.
    pub(crate) uid: u32,
    /// Id in the initial user namespace.
    pub(crate) gid: u32,
}

impl Owner {
    /// # Safety
    ///
    /// Arguments of a call that creates an inode in `dir`.
    unsafe fn new(idmap: *mut bindings::mnt_idmap, dir: *mut bindings::inode, mode: u32) -> Self {
        let (mut mode, mut uid, mut gid) = (mode as u16, 0, 0);
        // SAFETY: By the function's contract; the other pointers are to locals.
        unsafe { bindings::pfnfs_new_owner(idmap, dir, &mut mode, &mut uid, &mut gid) };
        Self { mode, uid, gid }
    }
}

/// One rename.
pub(crate) struct Rename<'a, T: Type> {
    /// The directory it leaves.
    pub(crate) from: Locked<'a, T>,
    /// Its old name.
    pub(crate) old: &'a [u8],
    /// The directory it enters; may be the same.
    pub(crate) to: Locked<'a, T>,
    /// Its new name.
    pub(crate) new: &'a [u8],
    /// What is renamed. Locked by the VFS, but for a directory that stays in its parent.
    pub(crate) inode: &'a Inode<T>,
    /// What bears the new name now, and is replaced or exchanged.
    pub(crate) target: Option<&'a Inode<T>>,
    /// The two change places; `target` is there.
    pub(crate) exchange: bool,
}

impl<'a, T: Type> Rename<'a, T> {
    /// The inode that loses the new name. The VFS has locked it, be it a file or a directory.
    pub(crate) fn replaced(&self) -> Option<Locked<'a, T>> {
        let target = self.target.filter(|_| !self.exchange)?;
        // SAFETY: `vfs_rename` locks an existing target.
        Some(unsafe { Locked::from_raw(target.as_raw()) })
    }
}

/// What a directory can do. Errors are what the system call returns.
#[vtable]
pub(crate) trait Operations: Sized + Send + Sync + 'static {
    /// The file system type.
    type Fs: Type;

    /// Finds a name. `i_rwsem` is held, for reading at least.
    fn lookup(dir: &Inode<Self::Fs>, d: Unhashed<'_, Self::Fs>) -> Result<Spliced>;

    /// Makes a regular file.
    fn create(dir: &Locked<'_, Self::Fs>, d: Negative<'_, Self::Fs>, o: Owner) -> Result<Made>;

    /// Makes a device node, fifo or socket (`o.mode` says which). `rdev` is the kernel's form of the number.
    fn mknod(dir: &Locked<'_, Self::Fs>, d: Negative<'_, Self::Fs>, o: Owner, rdev: u32) -> Result<Made>;

    /// Makes a directory.
    fn mkdir(dir: &Locked<'_, Self::Fs>, d: Negative<'_, Self::Fs>, o: Owner) -> Result<Made>;

    /// Makes a symbolic link.
    fn symlink(dir: &Locked<'_, Self::Fs>, d: Negative<'_, Self::Fs>, o: Owner, target: &[u8]) -> Result<Made>;

    /// Makes a file without a name. `dir` is not locked.
    fn tmpfile(_dir: &Inode<Self::Fs>, _o: Owner) -> Result<Filled<Self::Fs>> {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Gives an inode another name.
    fn link(inode: &Locked<'_, Self::Fs>, dir: &Locked<'_, Self::Fs>, d: Negative<'_, Self::Fs>) -> Result<Made>;

    /// Takes a name from something that is not a directory.
    fn unlink(dir: &Locked<'_, Self::Fs>, name: &[u8], victim: &Locked<'_, Self::Fs>) -> Result;

    /// Takes a directory away, if it is empty.
    fn rmdir(dir: &Locked<'_, Self::Fs>, name: &[u8], victim: &Locked<'_, Self::Fs>) -> Result;

    /// Moves a name. The VFS has checked permissions, ancestry and kinds.
    fn rename(r: Rename<'_, Self::Fs>) -> Result;
}

/// The table of a directory.
pub(crate) const fn table<D, A>() -> Ops<bindings::inode_operations, D::Fs>
where
    D: Operations,
    A: attr::Operations<Fs = D::Fs>,
{
    // SAFETY: Each adapter below may be called for any directory of `D::Fs`.
    unsafe { Ops::new(&Adapter::<D, A>::TABLE) }
}

struct Adapter<D, A>(PhantomData<(D, A)>);

/// Turns a result into what `->mkdir` and `->lookup` return.
fn dentry_or_error(r: Result<*mut bindings::dentry>) -> *mut bindings::dentry {
    r.unwrap_or_else(|e| e.to_ptr())
}

/// Adapters, called by the VFS with live objects of a super block of `D::Fs`, locked as `Operations` says.
impl<D: Operations, A: attr::Operations<Fs = D::Fs>> Adapter<D, A> {
    const TABLE: bindings::inode_operations = bindings::inode_operations {
        lookup: Some(Self::lookup),
        create: Some(Self::create),
        mknod: Some(Self::mknod),
        mkdir: Some(Self::mkdir),
        symlink: Some(Self::symlink),
        tmpfile: if D::HAS_TMPFILE { Some(Self::tmpfile) } else { None },
        link: Some(Self::link),
        unlink: Some(Self::unlink),
        rmdir: Some(Self::rmdir),
        rename: Some(Self::rename),
        getattr: Some(attr::Adapter::<A>::getattr),
        setattr: Some(attr::Adapter::<A>::setattr),
        update_time: Some(attr::Adapter::<A>::update_time),
        ..pin_init::zeroed()
    };

    /// # Safety
    ///
    /// Called by the VFS, as the documentation of the adapters says.
    unsafe extern "C" fn lookup(
        dir: *mut bindings::inode,
        d: *mut bindings::dentry,
        _flags: c_uint,
    ) -> *mut bindings::dentry {
        // SAFETY: A live directory, and a dentry that is being looked up in it.
        let (dir, d) = unsafe { (Inode::from_raw(dir), Unhashed::from_raw(d)) };
        dentry_or_error(D::lookup(dir, d).map(|s| s.0))
    }

    /// # Safety
    ///
    /// Called by the VFS, as the documentation of the adapters says.
    unsafe extern "C" fn create(
        idmap: *mut bindings::mnt_idmap,
        dir: *mut bindings::inode,
        d: *mut bindings::dentry,
        mode: bindings::umode_t,
        _excl: bool,
    ) -> c_int {
        from_result(|| {
            // SAFETY: The VFS holds the directory's lock; the dentry is negative.
            let (l, n) = unsafe { (Locked::from_raw(dir), Negative::from_raw(d)) };
            let mode = u32::from(mode) | bindings::S_IFREG;
            // SAFETY: The arguments of this call.
            D::create(&l, n, unsafe { Owner::new(idmap, dir, mode) }).map(|_| 0)
        })
    }

    /// # Safety
    ///
    /// Called by the VFS, as the documentation of the adapters says.
    unsafe extern "C" fn mknod(
        idmap: *mut bindings::mnt_idmap,
        dir: *mut bindings::inode,
        d: *mut bindings::dentry,
        mode: bindings::umode_t,
        rdev: bindings::dev_t,
    ) -> c_int {
        from_result(|| {
            // SAFETY: The VFS holds the directory's lock; the dentry is negative.
            let (l, n) = unsafe { (Locked::from_raw(dir), Negative::from_raw(d)) };
            // SAFETY: The arguments of this call.
            let o = unsafe { Owner::new(idmap, dir, mode.into()) };
            match u32::from(mode) & bindings::S_IFMT {
                bindings::S_IFREG => D::create(&l, n, o),
                _ => D::mknod(&l, n, o, rdev),
            }
            .map(|_| 0)
        })
    }

    /// # Safety
    ///
    /// Called by the VFS, as the documentation of the adapters says.
    unsafe extern "C" fn mkdir(
        idmap: *mut bindings::mnt_idmap,
        dir: *mut bindings::inode,
        d: *mut bindings::dentry,
        mode: bindings::umode_t,
    ) -> *mut bindings::dentry {
        // SAFETY: The VFS holds the directory's lock; the dentry is negative.
        let (l, n) = unsafe { (Locked::from_raw(dir), Negative::from_raw(d)) };
        let mode = u32::from(mode) | bindings::S_IFDIR;
        // SAFETY: The arguments of this call.
        let o = unsafe { Owner::new(idmap, dir, mode) };
        dentry_or_error(D::mkdir(&l, n, o).map(|_| core::ptr::null_mut()))
    }

    /// # Safety
    ///
    /// Called by the VFS, as the documentation of the adapters says.
    unsafe extern "C" fn symlink(
        idmap: *mut bindings::mnt_idmap,
        dir: *mut bindings::inode,
        d: *mut bindings::dentry,
        target: *const c_char,
    ) -> c_int {
        from_result(|| {
            // SAFETY: The VFS holds the directory's lock; the dentry is negative.
            let (l, n) = unsafe { (Locked::from_raw(dir), Negative::from_raw(d)) };
            // SAFETY: The VFS passes a C string.
            let target = unsafe { CStr::from_char_ptr(target) };
            // SAFETY: The arguments of this call.
            let o = unsafe { Owner::new(idmap, dir, bindings::S_IFLNK | 0o777) };
            D::symlink(&l, n, o, target.to_bytes()).map(|_| 0)
        })
    }

    /// # Safety
    ///
    /// Called by the VFS, as the documentation of the adapters says.
    unsafe extern "C" fn tmpfile(
        idmap: *mut bindings::mnt_idmap,
        dir: *mut bindings::inode,
        file: *mut bindings::file,
        mode: bindings::umode_t,
    ) -> c_int {
        from_result(|| {
            let m = u32::from(mode) | bindings::S_IFREG;
            // SAFETY: A live directory, and the arguments of this call.
            let (dir, o) = unsafe { (Inode::from_raw(dir), Owner::new(idmap, dir, m)) };
            let inode = D::tmpfile(dir, o)?.into_raw();
            // SAFETY: The file's dentry is negative and nameless; takes over the reference to the new inode, and unlocks it.
            Ok(unsafe { bindings::pfnfs_finish_tmpfile(file, inode.as_ptr()) })
        })
    }

    /// # Safety
    ///
    /// Called by the VFS, as the documentation of the adapters says.
    unsafe extern "C" fn link(
        old: *mut bindings::dentry,
        dir: *mut bindings::inode,
        d: *mut bindings::dentry,
    ) -> c_int {
        from_result(|| {
            // SAFETY: `vfs_link` holds the locks of the inode and the directory; `d` is negative.
            let (i, l, n) = unsafe { (Locked::from_raw((*old).d_inode), Locked::from_raw(dir), Negative::from_raw(d)) };
            D::link(&i, &l, n).map(|_| 0)
        })
    }

    /// # Safety
    ///
    /// Called by the VFS, as the documentation of the adapters says.
    unsafe extern "C" fn unlink(dir: *mut bindings::inode, d: *mut bindings::dentry) -> c_int {
        // SAFETY: `vfs_unlink` holds the locks of both inodes, and the name is stable under the first.
        let (l, name, v) = unsafe { (Locked::from_raw(dir), dentry::name(d), Locked::from_raw((*d).d_inode)) };
        from_result(|| D::unlink(&l, name, &v).map(|()| 0))
    }

    /// # Safety
    ///
    /// Called by the VFS, as the documentation of the adapters says.
    unsafe extern "C" fn rmdir(dir: *mut bindings::inode, d: *mut bindings::dentry) -> c_int {
        // SAFETY: `vfs_rmdir` holds the locks of both inodes, and the name is stable under the first.
        let (l, name, v) = unsafe { (Locked::from_raw(dir), dentry::name(d), Locked::from_raw((*d).d_inode)) };
        from_result(|| D::rmdir(&l, name, &v).map(|()| 0))
    }

    /// # Safety
    ///
    /// Called by the VFS, as the documentation of the adapters says.
    unsafe extern "C" fn rename(
        _idmap: *mut bindings::mnt_idmap,
        from: *mut bindings::inode,
        old: *mut bindings::dentry,
        to: *mut bindings::inode,
        new: *mut bindings::dentry,
        flags: c_uint,
    ) -> c_int {
        from_result(|| {
            // That the target does not exist has been checked by the VFS.
            if flags & !(bindings::RENAME_NOREPLACE | bindings::RENAME_EXCHANGE) != 0 {
                return Err(EINVAL);
            }
            // SAFETY: `vfs_rename` holds the locks of both directories, so the names are stable, and `old` is
            // positive.
            let r = unsafe {
                Rename {
                    from: Locked::from_raw(from),
                    old: dentry::name(old),
                    to: Locked::from_raw(to),
                    new: dentry::name(new),
                    inode: Inode::from_raw((*old).d_inode),
                    target: (*new).d_inode.as_mut().map(|i| Inode::from_raw(i)),
                    exchange: flags & bindings::RENAME_EXCHANGE != 0,
                }
            };
            D::rename(r).map(|()| 0)
        })
    }
}

// Not wrapped: `atomic_open` (lookup and create are cheap here), `permission` (mode bits are enough).
