// SPDX-License-Identifier: GPL-2.0

//! Layer fs: one `write(2)`, step by step: as far as the file is made of the same kind of blocks.
//!
//! | what is there | what is done | fences |
//! |---|---|---|
//! | a hole | fresh blocks are filled, fenced, then given to the file by a record | 2 |
//! | written blocks, before the end | overwritten in place | 1 |
//! | written blocks at the end, unwritten ones | through a bounce buffer, under `meta`, then a record | 2 |
//!
//! As in `file`, `wrapping_` operations on positions never wrap.

use kernel::iov::IovIterSource;
use kernel::prelude::*;

use super::file::place;
use super::gate::Storing;
use super::inode::{self, media_time, Locked};
use super::map;
use super::mount::Mounted;
use crate::linux::mm::Mapping;
use crate::linux::vfs::kiocb::{fetch, Attempt};
use crate::media::{self, BLOCK};
use crate::meta::extent::Extent;
use crate::meta::inode::Live;
use crate::meta::ops;
use crate::meta::span::Patience;

/// Most blocks that are filled before they are given to the file: 8 MiB.
const FRESH_MAX: u64 = 2048;
/// Bytes that go through the bounce buffer at once.
const BOUNCE: usize = 65536;
/// Up to as many bytes go through it into fresh blocks too: the kernel's copy from user memory past the cache ends with a
/// fence, in vain, as zeroes and the ends of what is not aligned are stored after it.
const SMALL: usize = BLOCK as usize;

/// A write under way.
struct Write<'a> {
    l: &'a Locked<'a>,
    mounted: &'a Mounted,
    store: &'a Storing<'a>,
    bounce: KVVec<u8>,
    /// Something was overwritten in place, and no record has set the times since.
    overwrote: bool,
    patience: Patience,
}

/// Writes from `pos` on what `from` has. Returns the bytes written, all of them durable, or the error if there are none.
pub(super) fn write(l: &Locked<'_>, store: &Storing<'_>, pos: u64, from: &mut IovIterSource<'_>) -> Result<usize> {
    let mut w = Write {
        l,
        mounted: l.sb().data(),
        store,
        bounce: KVVec::new(),
        overwrote: false,
        patience: Patience::default(),
    };
    if pos > l.size() {
        let mut guard = inode::alone(l);
        w.mounted.prepare_end(store, guard.get()?, pos)?;
    }
    let mut done = 0usize;
    let mut outcome = Ok(());
    while !from.is_empty() {
        match w.step(pos.wrapping_add(done as u64), from) {
            Ok(n) => done = done.wrapping_add(n),
            Err(e) => {
                outcome = Err(e);
                break;
            }
        }
    }
    if done > 0 {
        map::stored(l);
    }
    if w.overwrote {
        // The bytes are there, and that is what is told; who asks for durability is told of the times.
        let _ = inode::touch(l).inspect_err(|&e| Mapping::of(l).set_error(e));
    }
    if done == 0 {
        outcome?;
    }
    Ok(done)
}

/// What is at a position: blocks from there on.
enum Place {
    Hole,
    /// Block and number of blocks.
    Written(u64, u64),
    Unwritten(u64, u64),
}

impl Write<'_> {
    /// Whether memory failed that was nobody's yet: other blocks will do.
    fn again<T>(&mut self, result: &media::Result<T>) -> bool {
        result.as_ref().is_err_and(|error| self.patience.again(error))
    }

    fn fail(&self, e: media::Error) -> Error {
        self.mounted.fail(self.l.ino(), e)
    }

    fn find(&self, live: &Live, at: u64) -> Result<(Place, u64)> {
        Ok(match self.mounted.gate().extent(live, at).map_err(|e| self.fail(e))? {
            Extent::Hole { len } => (Place::Hole, len),
            Extent::Data { block, len, unwritten: true, .. } => (Place::Unwritten(block, len.into()), len.into()),
            Extent::Data { block, len, .. } => (Place::Written(block, len.into()), len.into()),
        })
    }

    /// Writes as far as one kind of blocks goes. 0: look again, somebody else has filled the hole or fresh memory failed.
    fn step(&mut self, pos: u64, from: &mut IovIterSource<'_>) -> Result<usize> {
        let (place, len) = {
            let guard = inode::share(self.l);
            self.find(guard.get()?, pos / BLOCK)?
        };
        match place {
            Place::Hole => self.fresh(pos, len, from),
            Place::Written(block, len) if pos < self.l.size() => self.overwrite(pos, block, len, from),
            _ => self.bounce(pos, from),
        }
    }

    /// Written blocks before the end of the file.
    fn overwrite(&mut self, pos: u64, block: u64, len: u64, from: &mut IovIterSource<'_>) -> Result<usize> {
        let offset = pos % BLOCK;
        let n =
            (len.wrapping_mul(BLOCK).wrapping_sub(offset)).min(self.l.size().wrapping_sub(pos)).min(from.len() as u64);
        let n = self.store.copy(block.wrapping_mul(BLOCK).wrapping_add(offset), n as usize, from);
        self.store.fence();
        self.overwrote |= n.is_ok();
        n
    }

    /// A hole of `len` blocks from that of `pos` on.
    fn fresh(&mut self, pos: u64, len: u64, from: &mut IovIterSource<'_>) -> Result<usize> {
        let (at, offset) = (pos / BLOCK, pos % BLOCK);
        let want = offset.wrapping_add(from.len() as u64).div_ceil(BLOCK).min(len).min(FRESH_MAX);
        let (near, want, aligned) = {
            let guard = inode::share(self.l);
            place(self.mounted, guard.get()?, at, want).map_err(|e| self.fail(e))?
        };
        let blocks = self.store.volume().reserve(near, want, aligned).map_err(|e| self.fail(e))?;
        let room = u64::from(blocks.count()).wrapping_mul(BLOCK).wrapping_sub(offset);
        let n = room.min(from.len() as u64) as usize;
        let mut attempt = Attempt::new(from);
        let mut copied = Err(EIO);
        let written = blocks.write_with(|first, _| {
            copied = self.fill(first, offset, n, pos, attempt.source());
            match copied {
                Err(EIO) => Err(media::Error::Poison { at: first.wrapping_mul(BLOCK) }),
                // Whatever was copied stays; nothing at all is told apart below.
                _ => Ok(()),
            }
        });
        if self.again(&written) {
            attempt.keep(0);
            return Ok(0);
        }
        let n = copied?;
        let (blocks, _rest) =
            written.map_err(|e| self.fail(e))?.split(offset.wrapping_add(n as u64).div_ceil(BLOCK) as u32);
        let end = pos.wrapping_add(n as u64);
        let range = at..at.wrapping_add(blocks.count().into());
        let attached = {
            let mut guard = inode::alone(self.l);
            let live = guard.get()?;
            if !matches!(self.find(live, at)?, (Place::Hole, len) if len >= range.end.wrapping_sub(range.start)) {
                // A fault was faster.
                attempt.keep(0);
                return Ok(0);
            }
            let size = (end > live.size()).then_some(end);
            ops::attach(self.store.volume(), live, at, blocks, size, media_time(self.l.now()))
        };
        if self.again(&attached) {
            attempt.keep(0);
            return Ok(0);
        }
        attached.map_err(|e| self.fail(e))?.reply();
        self.overwrote = false;
        map::filled(self.l, range);
        Ok(n)
    }

    /// Copies `n` bytes to `offset` of fresh blocks, and zeroes what else of them will be visible. Their owner fences.
    fn fill(&mut self, first: u64, offset: u64, n: usize, pos: u64, from: &mut IovIterSource<'_>) -> Result<usize> {
        let store = self.store;
        let start = first.saturating_mul(BLOCK);
        let at = start.wrapping_add(offset);
        // The source may keep us waiting: in no section.
        let (n, data) = if n <= SMALL {
            let bytes = self.fetch(n, from)?;
            let data = store.data()?;
            data.store(at, bytes)?;
            (bytes.len(), data)
        } else {
            (store.copy(at, n, from)?, store.data()?)
        };
        data.zero(start, offset)?;
        let used = offset.wrapping_add(n as u64);
        let (end, rest) = (pos.wrapping_add(n as u64), used.wrapping_neg() % BLOCK);
        if end < self.l.size() {
            data.zero(start.wrapping_add(used), rest)?;
        }
        data.leave();
        Ok(n)
    }

    /// Copies up to `n` bytes into the bounce buffer. `EFAULT` if there are none to be had.
    fn fetch(&mut self, n: usize, from: &mut IovIterSource<'_>) -> Result<&[u8]> {
        match fetch(&mut self.bounce, n, from)? {
            0 => Err(EFAULT),
            _ => Ok(&self.bounce),
        }
    }

    /// Blocks that the file has, but whose bytes here are not visible.
    fn bounce(&mut self, pos: u64, from: &mut IovIterSource<'_>) -> Result<usize> {
        let offset = pos % BLOCK;
        let mut attempt = Attempt::new(from);
        let n = attempt.source().len().min(BOUNCE.wrapping_sub(offset as usize));
        let n = self.fetch(n, attempt.source())?.len();
        let mut guard = inode::alone(self.l);
        let live = guard.get()?;
        let (block, len, unwritten) = match self.find(live, pos / BLOCK)?.0 {
            Place::Written(block, len) => (block, len, false),
            Place::Unwritten(block, len) => (block, len, true),
            Place::Hole => return Err(EIO),
        };
        let n = (n as u64).min(len.wrapping_mul(BLOCK).wrapping_sub(offset)) as usize;
        attempt.keep(n);
        let end = pos.wrapping_add(n as u64);
        self.store(live, block, pos, n, unwritten)?;
        let (volume, now) = (self.store.volume(), media_time(self.l.now()));
        let size = (end > live.size()).then_some(end);
        let (at, count) = (pos / BLOCK, offset.wrapping_add(n as u64).div_ceil(BLOCK));
        let done = match (unwritten, size) {
            (true, size) => ops::written(volume, live, at, count, size, now),
            (false, Some(size)) => ops::extend(volume, live, size, now).map(|done| done.map(|()| at..at)),
            (false, None) => {
                // A fault was faster, and has zeroed it: it is an overwrite now.
                self.overwrote = true;
                return Ok(n);
            }
        };
        let filled = done.map_err(|e| self.fail(e))?.reply();
        drop(guard);
        self.overwrote = false;
        if unwritten {
            map::filled(self.l, filled);
        }
        Ok(n)
    }

    /// Stores the bounce buffer's first `n` bytes, and zeroes what else of unwritten blocks will be visible; fences.
    fn store(&self, live: &Live, block: u64, pos: u64, n: usize, unwritten: bool) -> Result {
        let data = self.store.data()?;
        let (start, offset) = (block.saturating_mul(BLOCK), pos % BLOCK);
        let end = offset.wrapping_add(n as u64);
        if unwritten {
            data.zero(start, offset)?;
        }
        if unwritten && pos.wrapping_add(n as u64) < live.size() {
            data.zero(start.wrapping_add(end), end.wrapping_neg() % BLOCK)?;
        }
        data.store(start.wrapping_add(offset), self.bounce.get(..n).unwrap_or_default())?;
        data.fence();
        Ok(())
    }
}
