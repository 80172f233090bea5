// SPDX-License-Identifier: GPL-2.0

//! Layer fs: reading and writing regular files.
//!
//! Data is copied between user memory and the media while `i_rwsem` is held, for reading by readers; no other lock is,
//! as a page fault in the copy may need it. What is done to the data of a file, and in which order, the core decides, step by
//! step (`meta::file`); here are the locks around its steps.
//!
//! Positions in a file and on the media are below 2^48 (`s_maxbytes`, `Geometry`): `wrapping_` operations on them never
//! wrap, they only spare the panic path.

use core::ops::Range;

use kernel::iov::{IovIterDest, IovIterSource};
use kernel::prelude::*;

use super::gate::{Gate, Storing};
use super::inode::{self, media_time, Inode, Locked};
use super::medium;
use super::mount::{Mounted, Pfnfs};
use super::{map, write};
use crate::linux::mm::{vma, Mapping};
use crate::linux::vfs::file::{self, Fallocate, File, Operations, Seek};
use crate::linux::vfs::kiocb::Kiocb;
use crate::linux::vfs::sb::Unfrozen;
use crate::linux::vfs::{self, Ops};
use crate::media::BLOCK;
use crate::meta::file::{Allocate, Clear, How, Piece};

/// A regular file's table.
pub(super) const TABLE: Ops<vfs::FileTable, Pfnfs> = file::table::<Regular>();

/// What a hole reads as.
static ZEROES: [u8; BLOCK as usize] = [0; BLOCK as usize];

/// An open regular file.
struct Regular;

/// Looks up the byte at `pos`.
fn piece(mounted: &Mounted, i: &Inode, pos: u64) -> Result<Piece> {
    let guard = inode::share(i);
    mounted.gate().piece(guard.get()?, pos).map_err(|e| mounted.fail(i.ino(), e))
}

/// Reads from `pos` on into `to`, at most to `size`. Returns the bytes read, or the error if there are none.
fn read(mounted: &Mounted, i: &Inode, pos: u64, size: u64, to: &mut IovIterDest<'_>) -> Result<usize> {
    let mut done = 0usize;
    while !to.is_empty() && pos.wrapping_add(done as u64) < size {
        let at = pos.wrapping_add(done as u64);
        let step = || -> Result<usize> {
            let left = (to.len() as u64).min(size.wrapping_sub(at));
            match piece(mounted, i, at)? {
                Piece::Media(from, len) => medium::read(mounted.device(), from, left.min(len) as usize, to),
                Piece::Zeroes(len) => {
                    let n = left.min(len).min(BLOCK) as usize;
                    match to.copy_to_iter(ZEROES.get(..n).unwrap_or(&ZEROES)) {
                        0 => Err(EFAULT),
                        n => Ok(n),
                    }
                }
            }
        };
        match { step }() {
            Ok(n) => done = done.wrapping_add(n),
            Err(e) if done == 0 => return Err(e),
            Err(_) => break,
        }
    }
    Ok(done)
}

impl Operations for Regular {
    type Fs = Pfnfs;

    fn read_iter(k: &mut Kiocb<'_, Pfnfs>, to: &mut IovIterDest<'_>) -> Result<usize> {
        let i = k.inode();
        let mounted = i.sb().data();
        mounted.alive()?;
        if to.is_empty() {
            return Ok(0);
        }
        let done = {
            let _shared = i.lock_shared();
            read(mounted, i, k.pos(), i.size(), to)?
        };
        k.advance(done);
        k.accessed();
        Ok(done)
    }

    fn write_iter(k: &mut Kiocb<'_, Pfnfs>, from: &mut IovIterSource<'_>, unfrozen: Unfrozen<'_>) -> Result<usize> {
        let i = k.inode();
        let store = i.sb().data().gate().storing(unfrozen)?;
        let done = {
            let l = i.lock();
            k.write_checks(&l, from)?;
            if from.is_empty() {
                return Ok(0);
            }
            k.file().remove_privs(&l)?;
            write::write(&l, &store, k.pos(), from)?
        };
        k.advance(done);
        if k.is_sync() {
            // Data and size are durable; the times may not be. Who is told that nothing was written would write it again:
            // the next fsync says it.
            let _ = i.sync_metadata().inspect_err(|&e| Mapping::of(i).set_error(e));
        }
        Ok(done)
    }

    fn seek(i: &Inode, at: u64, what: Seek) -> Result<u64> {
        let mounted = i.sb().data();
        let _shared = i.lock_shared();
        let size = i.size();
        let mut pos = at;
        while pos < size {
            let (data, len) = match piece(mounted, i, pos)? {
                Piece::Media(_, len) => (true, len),
                Piece::Zeroes(len) => (false, len),
            };
            if data == (what == Seek::Data) {
                return Ok(pos);
            }
            pos = pos.saturating_add(len);
        }
        if what == Seek::Hole {
            Ok(size)
        } else {
            Err(ENXIO)
        }
    }

    fn fsync(f: &File<'_, Pfnfs>, range: Range<u64>, _datasync: bool) -> Result {
        let i = f.inode();
        i.sb().data().alive()?;
        let cleaned = map::clean(i, range);
        // Sizes and blocks are durable; times that the VFS has changed may not be.
        let times = i.sync_metadata();
        // Whatever it says is said once, also where another error comes first.
        let written = f.check_written();
        cleaned.and(times).and(written)
    }

    fn fallocate(f: &File<'_, Pfnfs>, how: Fallocate, range: Range<u64>) -> Result {
        let i = f.inode();
        let l = i.lock();
        let store = Gate::try_storing(i.sb())?;
        f.remove_privs(&l)?;
        match how {
            Fallocate::Allocate { keep_size } => allocate(&l, &store, range, keep_size),
            Fallocate::Punch => clear(&l, &store, range, How::Punch),
            Fallocate::Zero { keep_size } => {
                if !keep_size && range.end > l.size() {
                    l.check_new_size(range.end)?;
                }
                // Nothing is given back that somebody else could take meanwhile: holes get blocks, then the bytes go.
                allocate(&l, &store, range.clone(), true)?;
                clear(&l, &store, range.clone(), How::Keep)?;
                if keep_size {
                    Ok(())
                } else {
                    allocate(&l, &store, range, false)
                }
            }
        }
    }

    fn mmap(i: &Inode, desc: &mut vma::Desc<'_>) -> Result {
        i.sb().data().alive()?;
        crate::dax::mmap(desc)
    }
}

/// Gives blocks to all of `range`; the size becomes its end if that is larger.
fn allocate(l: &Locked<'_>, store: &Storing<'_>, range: Range<u64>, keep_size: bool) -> Result {
    let mounted = l.sb().data();
    let grown = (!keep_size && range.end > l.size()).then_some(range.end);
    if let Some(size) = grown {
        l.check_new_size(size)?;
    }
    // Also if all of it is there.
    inode::touch(l)?;
    let mut steps = Allocate::new(&range);
    loop {
        let mut guard = inode::alone(l);
        let step = steps.next(store.volume(), guard.get()?, media_time(l.now()));
        if !step.map_err(|e| mounted.fail(l.ino(), e))? {
            break;
        }
    }
    grown.map_or(Ok(()), |size| map::set_size(l, store, size))
}

/// Makes a range read as zeroes: parts of blocks in place, whole ones by records.
fn clear(l: &Locked<'_>, store: &Storing<'_>, range: Range<u64>, how: How) -> Result {
    let (mounted, mut carrier) = (l.sb().data(), store);
    let clear = Clear::new(range, l.size());
    if clear.is_empty() {
        return Ok(());
    }
    // First: what follows may fail when bytes have changed already.
    inode::touch(l)?;
    for edge in clear.edges() {
        let guard = inode::share(l);
        let stored = Clear::edge(store.volume(), guard.get()?, edge, &mut carrier);
        drop(guard);
        if stored.map_err(|e| mounted.failed(l.ino(), e))? {
            map::stored(l);
        }
    }
    map::clear(l, store, &clear, how)
}
