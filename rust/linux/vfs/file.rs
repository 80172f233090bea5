// SPDX-License-Identifier: GPL-2.0

//! Layer linux: `struct file` and `struct file_operations`, of regular files ([`Operations`]) and of
//! directories ([`Entries`]).
//!
//! C header: [`include/linux/fs.h`](srctree/include/linux/fs.h)

use core::marker::PhantomData;
use core::ops::Range;

use kernel::error::{from_result, to_result};
use kernel::iov::{IovIterDest, IovIterSource};
use kernel::prelude::*;

use super::inode::{Inode, Locked};
use super::kiocb::Kiocb;
use super::sb::Unfrozen;
use super::{Ops, Type};
use crate::linux::bindings;
use crate::linux::mm::front;
use crate::linux::mm::vma::Desc;

/// An open file of a super block of `T`.
pub(crate) struct File<'a, T: Type>(*mut bindings::file, PhantomData<(&'a (), T)>);

impl<'a, T: Type> File<'a, T> {
    /// # Safety
    ///
    /// `raw` is an open file, for `'a`, whose inode is of a super block of `T`.
    pub(in crate::linux) unsafe fn from_raw(raw: *mut bindings::file) -> Self {
        Self(raw, PhantomData)
    }

    /// The C file.
    pub(in crate::linux) fn as_raw(&self) -> *mut bindings::file {
        self.0
    }

    /// The inode.
    pub(crate) fn inode(&self) -> &'a Inode<T> {
        // SAFETY: By the contract of `from_raw`.
        unsafe { Inode::from_raw((*self.0).f_inode) }
    }

    /// The file is about to be changed: drops set-user-id and capabilities.
    pub(crate) fn remove_privs(&self, _inode: &Locked<'_, T>) -> Result {
        // SAFETY: It is open and `i_rwsem` is held.
        to_result(unsafe { bindings::file_remove_privs(self.0) })
    }

    /// The error of writing back, or losing, what the inode's mapping had, if this open file has not said so yet.
    pub(crate) fn check_written(&self) -> Result {
        // SAFETY: It is open.
        to_result(unsafe { bindings::file_check_and_advance_wb_err(self.0) })
    }
}

/// `SEEK_DATA` and `SEEK_HOLE`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Seek {
    /// The next byte that was written.
    Data,
    /// The next hole; the end of the file counts as one.
    Hole,
}

/// What `fallocate(2)` is to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fallocate {
    /// Give blocks to the range; the file grows to its end unless `keep_size`.
    Allocate {
        /// The size stays.
        keep_size: bool,
    },
    /// Take blocks from the range; it reads as zeroes.
    Punch,
    /// The range reads as zeroes; it may keep its blocks.
    Zero {
        /// The size stays.
        keep_size: bool,
    },
}

/// What an open regular file can do.
pub(crate) trait Operations: Sized + Send + Sync + 'static {
    /// The file system type.
    type Fs: Type;

    /// Reads from the position of `k` and moves it on. Nothing is locked.
    fn read_iter(k: &mut Kiocb<'_, Self::Fs>, to: &mut IovIterDest<'_>) -> Result<usize>;

    /// Writes at the position of `k` and moves it on. Nothing is locked.
    fn write_iter(k: &mut Kiocb<'_, Self::Fs>, from: &mut IovIterSource<'_>, unfrozen: Unfrozen<'_>) -> Result<usize>;

    /// `SEEK_DATA`, `SEEK_HOLE`: the answer for a position before the end of the file.
    fn seek(inode: &Inode<Self::Fs>, at: u64, what: Seek) -> Result<u64>;

    /// Makes the bytes of `range` durable, and with `!datasync` the times. Must not take `i_rwsem`.
    fn fsync(file: &File<'_, Self::Fs>, range: Range<u64>, datasync: bool) -> Result;

    /// `fallocate(2)`. Nothing is locked.
    fn fallocate(file: &File<'_, Self::Fs>, how: Fallocate, range: Range<u64>) -> Result;

    /// `mmap(2)`: looks at the inode's state, and gives `desc` its handler (`dax::mmap`). `mmap_lock` is held.
    fn mmap(inode: &Inode<Self::Fs>, desc: &mut Desc<'_>) -> Result;
}

/// What an open directory can do.
pub(crate) trait Entries: Sized + Send + Sync + 'static {
    /// The file system type.
    type Fs: Type;

    /// Gives entries to `out` from its position on, until it is full. `i_rwsem` is held for reading.
    fn iterate(dir: &Inode<Self::Fs>, out: &mut Reader<'_>) -> Result;

    /// `fsync(2)` of a directory.
    fn fsync(dir: &Inode<Self::Fs>, datasync: bool) -> Result;
}

/// Where a directory's entries go: `struct dir_context`. Positions 0 and 1 are `.` and `..`.
pub(crate) struct Reader<'a> {
    ctx: &'a mut bindings::dir_context,
    file: *mut bindings::file,
}

impl Reader<'_> {
    /// Where to go on: what was set last, by this call or by `seekdir(3)`.
    pub(crate) fn pos(&self) -> u64 {
        self.ctx.pos as u64
    }

    /// Whether positions have to fit 31 bits: the reader's program has 32, or a server says so.
    pub(crate) fn is_narrow(&self) -> bool {
        // SAFETY: The open directory of this call.
        unsafe { bindings::pfnfs_dir_is_narrow(self.file) }
    }

    /// Gives `.` and `..` if they are due. `false`: full.
    pub(crate) fn dots(&mut self) -> bool {
        // SAFETY: The open directory and context of this call.
        unsafe { bindings::pfnfs_dir_emit_dots(self.file, self.ctx) }
    }

    /// Says that the next entry given is at `pos`, at most `i64::MAX`.
    pub(crate) fn set_pos(&mut self, pos: u64) {
        self.ctx.pos = pos as i64;
    }

    /// Gives the entry at the position. `mode`: the type as in `S_IF*`. `false`: full.
    pub(crate) fn emit(&mut self, name: &[u8], ino: u64, mode: u16) -> bool {
        // SAFETY: The context of this call; the name is copied.
        unsafe {
            bindings::pfnfs_dir_emit(
                self.ctx,
                name.as_ptr().cast(),
                name.len() as c_int,
                ino,
                u32::from(mode) >> 12 & 15,
            )
        }
    }
}

/// The table of a regular file.
pub(crate) const fn table<F: Operations>() -> Ops<bindings::file_operations, F::Fs> {
    // SAFETY: Each adapter below may be called for any regular file of `F::Fs`.
    unsafe { Ops::new(&Adapter::<F>::TABLE) }
}

/// The table of a directory.
pub(crate) const fn dir_table<E: Entries>() -> Ops<bindings::file_operations, E::Fs> {
    // SAFETY: Each adapter below may be called for any directory of `E::Fs`.
    unsafe { Ops::new(&EntriesAdapter::<E>::TABLE) }
}

/// Adapters, called by the VFS with open regular files of a super block of `F::Fs`.
struct Adapter<F>(PhantomData<F>);

/// The byte range of a call; `fsync` gives its end inclusively.
fn range(start: i64, end: i64) -> Result<Range<u64>> {
    Ok(u64::try_from(start)?..u64::try_from(end)?)
}

impl<F: Operations> Adapter<F> {
    const TABLE: bindings::file_operations = bindings::file_operations {
        fop_flags: bindings::FOP_MMAP_SYNC,
        open: Some(Self::open),
        llseek: Some(Self::llseek),
        read_iter: Some(Self::read_iter),
        write_iter: Some(Self::write_iter),
        splice_read: Some(bindings::copy_splice_read),
        splice_write: Some(bindings::iter_file_splice_write),
        fsync: Some(Self::fsync),
        fallocate: Some(Self::fallocate),
        mmap_prepare: Some(Self::mmap_prepare),
        get_unmapped_area: Some(bindings::thp_get_unmapped_area),
        setlease: Some(bindings::generic_setlease),
        ..pin_init::zeroed()
    };

    /// # Safety
    ///
    /// Called by the VFS, as the documentation of the adapters says.
    unsafe extern "C" fn open(inode: *mut bindings::inode, file: *mut bindings::file) -> c_int {
        // SAFETY: The arguments of this call, a regular file of `F::Fs`. Says that `O_DIRECT` is
        // welcome: every access is direct.
        unsafe {
            front::show(file);
            bindings::pfnfs_file_open(inode, file)
        }
    }

    /// # Safety
    ///
    /// Called by the VFS, as the documentation of the adapters says.
    unsafe extern "C" fn llseek(file: *mut bindings::file, at: i64, whence: c_int) -> i64 {
        let what = match whence as u32 {
            bindings::SEEK_DATA => Seek::Data,
            bindings::SEEK_HOLE => Seek::Hole,
            // SAFETY: An open file.
            _ => return unsafe { bindings::generic_file_llseek(file, at, whence) },
        };
        from_result(|| {
            // SAFETY: An open regular file of `F::Fs`.
            let f: File<'_, F::Fs> = unsafe { File::from_raw(file) };
            let from = u64::try_from(at).map_err(|_| ENXIO)?;
            if from >= f.inode().size() {
                return Err(ENXIO);
            }
            let to = F::seek(f.inode(), from, what)?;
            // SAFETY: As above.
            let max = unsafe { (*(*(*file).f_inode).i_sb).s_maxbytes };
            // SAFETY: As above. It checks the bounds.
            Ok(unsafe { bindings::vfs_setpos(file, i64::try_from(to)?, max) })
        })
    }

    /// # Safety
    ///
    /// Called by the VFS, as the documentation of the adapters says.
    unsafe extern "C" fn read_iter(k: *mut bindings::kiocb, to: *mut bindings::iov_iter) -> isize {
        // SAFETY: A request in flight, and where its data goes.
        let (mut k, to) = unsafe { (Kiocb::<F::Fs>::from_raw(k), IovIterDest::from_raw(to)) };
        from_result(|| F::read_iter(&mut k, to).map(|n| n as isize))
    }

    /// # Safety
    ///
    /// Called by the VFS, as the documentation of the adapters says.
    unsafe extern "C" fn write_iter(k: *mut bindings::kiocb, from: *mut bindings::iov_iter) -> isize {
        // SAFETY: A request in flight, and where its data comes from.
        let (mut k, from) = unsafe { (Kiocb::<F::Fs>::from_raw(k), IovIterSource::from_raw(from)) };
        // SAFETY: All callers have announced the write (`kiocb_start_write`, `file_start_write`).
        let unfrozen = unsafe { Unfrozen::new() };
        from_result(|| F::write_iter(&mut k, from, unfrozen).map(|n| n as isize))
    }

    /// # Safety
    ///
    /// Called by the VFS, as the documentation of the adapters says.
    unsafe extern "C" fn fsync(file: *mut bindings::file, start: i64, end: i64, datasync: c_int) -> c_int {
        from_result(|| {
            // SAFETY: An open regular file of `F::Fs`.
            let f = unsafe { File::from_raw(file) };
            F::fsync(&f, range(start, end.saturating_add(1))?, datasync != 0).map(|()| 0)
        })
    }

    /// # Safety
    ///
    /// Called by the VFS, as the documentation of the adapters says.
    unsafe extern "C" fn fallocate(file: *mut bindings::file, mode: c_int, at: i64, len: i64) -> c_long {
        from_result(|| {
            let mode = mode as u32;
            let keep_size = mode & bindings::FALLOC_FL_KEEP_SIZE != 0;
            let how = match mode & !bindings::FALLOC_FL_KEEP_SIZE {
                0 => Fallocate::Allocate { keep_size },
                bindings::FALLOC_FL_PUNCH_HOLE => Fallocate::Punch,
                bindings::FALLOC_FL_ZERO_RANGE => Fallocate::Zero { keep_size },
                _ => return Err(Error::from_errno(-(bindings::EOPNOTSUPP as c_int))),
            };
            // SAFETY: An open regular file of `F::Fs`.
            let f = unsafe { File::from_raw(file) };
            F::fallocate(&f, how, range(at, at.checked_add(len).ok_or(EFBIG)?)?).map(|()| 0)
        })
    }

    /// # Safety
    ///
    /// Called by the VFS, as the documentation of the adapters says.
    unsafe extern "C" fn mmap_prepare(desc: *mut bindings::vm_area_desc) -> c_int {
        // SAFETY: A VMA to be, of an open regular file of `F::Fs`.
        let (inode, mut desc) = unsafe { (File::<F::Fs>::from_raw((*desc).file).inode(), Desc::from_raw(desc)) };
        from_result(|| F::mmap(inode, &mut desc).map(|()| 0))
    }
}

/// Adapters, called by the VFS with open directories of a super block of `E::Fs`.
struct EntriesAdapter<E>(PhantomData<E>);

impl<E: Entries> EntriesAdapter<E> {
    const TABLE: bindings::file_operations = bindings::file_operations {
        llseek: Some(Self::llseek),
        read: Some(bindings::generic_read_dir),
        iterate_shared: Some(Self::iterate_shared),
        fsync: Some(Self::fsync),
        setlease: Some(bindings::generic_setlease),
        ..pin_init::zeroed()
    };

    /// # Safety
    ///
    /// Called by the VFS, as the documentation of the adapters says.
    unsafe extern "C" fn llseek(file: *mut bindings::file, at: i64, whence: c_int) -> i64 {
        // A position is a cookie, not a byte of anything: any value goes, and there is no end.
        // SAFETY: An open file.
        unsafe { bindings::generic_file_llseek_size(file, at, whence, i64::MAX, i64::MAX) }
    }

    /// # Safety
    ///
    /// Called by the VFS, as the documentation of the adapters says.
    unsafe extern "C" fn iterate_shared(file: *mut bindings::file, ctx: *mut bindings::dir_context) -> c_int {
        from_result(|| {
            // SAFETY: An open directory of `E::Fs`.
            let dir = unsafe { File::<E::Fs>::from_raw(file) }.inode();
            // SAFETY: The context of this call, used by nobody else.
            let ctx = unsafe { &mut *ctx };
            E::iterate(dir, &mut Reader { ctx, file }).map(|()| 0)
        })
    }

    /// # Safety
    ///
    /// Called by the VFS, as the documentation of the adapters says.
    unsafe extern "C" fn fsync(file: *mut bindings::file, _start: i64, _end: i64, datasync: c_int) -> c_int {
        // SAFETY: An open directory of `E::Fs`.
        let dir = unsafe { File::<E::Fs>::from_raw(file) }.inode();
        from_result(|| E::fsync(dir, datasync != 0).map(|()| 0))
    }
}

// Not wrapped: `copy_file_range`, `remap_file_range`, `unlocked_ioctl`, `RWF_NOWAIT`.
