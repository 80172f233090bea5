// SPDX-License-Identifier: GPL-2.0

//! Layer fs: reading and writing regular files.
//!
//! Data is copied between user memory and the media while `i_rwsem` is held, for reading by readers; no other lock is,
//! as a page fault in the copy may need it. Blocks that the file does not have yet are written and fenced first, then
//! given to it by a record: a power cut leaves the file with them or without. What is stored into blocks it has already,
//! and nobody can see yet, goes through a bounce buffer, as it must be done under the `meta` lock.
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
use crate::media::{BLOCK, GROUP_BLOCKS, HUGE};
use crate::meta::extent::Extent;
use crate::meta::ops;
use crate::meta::span::patiently;

/// A regular file's table.
pub(super) const TABLE: Ops<vfs::FileTable, Pfnfs> = file::table::<Regular>();

/// What a hole reads as.
static ZEROES: [u8; BLOCK as usize] = [0; BLOCK as usize];

/// An open regular file.
struct Regular;

/// What a byte of a file is made of, and for how many bytes from there on.
pub(super) enum Piece {
    /// Zeroes.
    Zeroes(u64),
    /// Bytes from this position of the media on.
    Media(u64, u64),
}

/// Looks up the byte at `pos`.
pub(super) fn piece(mounted: &Mounted, i: &Inode, pos: u64) -> Result<Piece> {
    let (block, offset) = (pos / BLOCK, pos % BLOCK);
    let guard = inode::share(i);
    let found = mounted.gate().extent(guard.get()?, block).map_err(|e| mounted.fail(i.ino(), e))?;
    Ok(match found {
        Extent::Data { block, len, unwritten: false, .. } => Piece::Media(
            block.wrapping_mul(BLOCK).wrapping_add(offset),
            u64::from(len).wrapping_mul(BLOCK).wrapping_sub(offset),
        ),
        Extent::Data { len, .. } => Piece::Zeroes(u64::from(len).wrapping_mul(BLOCK).wrapping_sub(offset)),
        Extent::Hole { len } => Piece::Zeroes(len.saturating_mul(BLOCK).wrapping_sub(offset)),
    })
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
            Fallocate::Punch => zero(&l, &store, range, map::punch),
            Fallocate::Zero { keep_size } => {
                if !keep_size && range.end > l.size() {
                    l.check_new_size(range.end)?;
                }
                // Nothing is given back that somebody else could take meanwhile: holes get blocks, then the bytes go.
                allocate(&l, &store, range.clone(), true)?;
                zero(&l, &store, range.clone(), map::zero)?;
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
    let (mut at, end) = (range.start / BLOCK, range.end.div_ceil(BLOCK));
    while at < end {
        // Faults allocate as well: what is found is true as long as the lock is held.
        let mut guard = inode::alone(l);
        let live = guard.get()?;
        let fail = |e| mounted.fail(l.ino(), e);
        let step = match mounted.gate().extent(live, at).map_err(fail)? {
            Extent::Data { len, .. } => u64::from(len),
            Extent::Hole { len } => {
                let want = len.min(end.wrapping_sub(at)).min(GROUP_BLOCKS.into());
                let (near, want, aligned) = place(mounted, live, at, want).map_err(fail)?;
                let done = patiently(|| {
                    let blocks = store.volume().reserve(near, want, aligned)?;
                    let count = u64::from(blocks.count());
                    let done = ops::preallocate(store.volume(), live, at, blocks, None, media_time(l.now()))?;
                    Ok(done.map(|()| count))
                });
                done.map_err(fail)?.reply()
            }
        };
        at = at.saturating_add(step);
    }
    grown.map_or(Ok(()), |size| map::set_size(l, store, size))
}

/// Where to look for `want` blocks for file block `at`, how many to take at once, and whether to begin a run of 2 MiB:
/// so that 2 MiB of the file, aligned, are 2 MiB of the media, aligned, where that can be had.
pub(super) fn place(
    mounted: &Mounted,
    live: &crate::meta::inode::Live,
    at: u64,
    want: u64,
) -> crate::media::Result<(u64, u32, bool)> {
    let huge = u64::from(HUGE);
    let near = mounted.near(live, at)?;
    let into = at % huge;
    // Up to where aligned runs can begin.
    let want = if into == 0 { want } else { want.min(huge.wrapping_sub(into)) };
    let aligned = into == 0 && (want >= huge || at > 0);
    let near = if near % huge == into {
        near
    } else if aligned {
        0
    } else {
        near
    };
    Ok((near, want as u32, aligned))
}

/// What is done to whole blocks of a range that is to read as zeroes: [`map::punch`] or [`map::zero`].
type Whole = fn(&Locked<'_>, &Storing<'_>, Range<u64>) -> Result;

/// Makes a range read as zeroes: parts of blocks in place, `blocks` by other means.
fn zero(l: &Locked<'_>, store: &Storing<'_>, range: Range<u64>, blocks: Whole) -> Result {
    let mounted = l.sb().data();
    let range = range.start..range.end.min(l.size());
    if range.is_empty() {
        return Ok(());
    }
    // First: what follows may fail when bytes have changed already.
    inode::touch(l)?;
    let whole = range.start.div_ceil(BLOCK)..range.end / BLOCK;
    // The parts of blocks at the ends: zeroes in place.
    let head = range.start..range.end.min(whole.start.saturating_mul(BLOCK));
    let tail = range.start.max(whole.end.saturating_mul(BLOCK))..range.end;
    for part in [head, tail] {
        if part.is_empty() {
            continue;
        }
        if let Piece::Media(at, _) = piece(mounted, l, part.start)? {
            let data = store.data()?;
            data.zero(at, part.end.wrapping_sub(part.start))?;
            data.fence();
            drop(data);
            map::stored(l);
        }
    }
    if whole.is_empty() {
        return Ok(());
    }
    blocks(l, store, whole)
}
