// SPDX-License-Identifier: GPL-2.0

//! Layer fs: mappings. The hook that fills `i_pages` from the extents of a file, and what has to happen to a mapping when
//! blocks go.
//!
//! A frame that enters a mapping holds what the file does: blocks that are fresh or unwritten are zeroed first, and so is
//! what lies beyond the end of the file in its last block; both are fenced before anybody can see them. Where nothing may be
//! stored (`gate`), readers get a copy of the last block instead. Mapping and
//! extents change under the `meta` lock, which is inside the locks of the dax layer. `wrapping_` operations on positions, which
//! are below 2^48, never wrap.

use core::ops::Range;

use kernel::prelude::*;

use super::gate::{Gate, Storing};
use super::inode::{self, media_time, Inode};
use super::mount::{Mounted, Pfnfs};
use crate::dax::{self, PopulatePfns, Populator, Ready, Want};
use crate::linux::dax::Operations as _;
use crate::linux::mm::mapping::Operations;
use crate::linux::mm::{Frame, Mapping};
use crate::linux::vfs::inode::Evicting;
use crate::linux::vfs::{self, Ops};
use crate::media::{self, BLOCK, HUGE};
use crate::meta::extent::Extent;
use crate::meta::inode::Live;
use crate::meta::ops;

static OPERATIONS: Operations<Pfnfs, dax::Hooks> = dax::operations::<Map>();

/// A regular file's table.
pub(super) fn table() -> Ops<vfs::MappingTable, Pfnfs> {
    OPERATIONS.table()
}

/// Most blocks of an unwritten extent that one fault zeroes: 64 MiB.
const ZERO_MAX: u64 = 16384;

/// The hook.
enum Map {}

impl PopulatePfns for Map {
    type Fs = Pfnfs;

    fn cache(i: &Inode) -> &dax::Cache {
        &i.data().cache
    }

    fn media(i: &Inode) -> &dyn dax::Media {
        &**i.sb().data()
    }

    fn populate_pfns(i: &Inode, want: &Want<'_>, out: &mut Populator<'_>) -> Result<Ready> {
        let mounted = i.sb().data();
        mounted.alive()?;
        let store = want.write.map(|unfrozen| mounted.gate().storing(unfrozen)).transpose()?;
        let mut guard = inode::alone(i);
        let live = guard.get()?;
        let mut at = want.window.start;
        while at < want.window.end {
            let found = mounted.gate().extent(live, at).map_err(|e| mounted.fail(i.ino(), e))?;
            let asked = |len: u64| (at..at.saturating_add(len)).contains(&want.at);
            at = match found {
                Extent::Data { block, len, unwritten: false, .. } => {
                    mounted.insert(i, store.as_ref(), live, at, block, len.into(), want, out)?;
                    at.wrapping_add(len.into())
                }
                Extent::Data { block, len, unwritten: true, .. } => {
                    let len = u64::from(len);
                    match &store {
                        Some(store) if asked(len) => mounted.convert(i, store, live, at, block, len, want, out)?,
                        None if asked(len) => out.insert_hole(want.at)?,
                        _ => (),
                    }
                    at.wrapping_add(len)
                }
                Extent::Hole { len } => {
                    match &store {
                        Some(store) if asked(len) => {
                            mounted.allocate(i, store, live, at..at.saturating_add(len), want, out)?;
                        }
                        None if asked(len) => out.insert_hole(want.at)?,
                        _ => (),
                    }
                    at.saturating_add(len)
                }
            };
        }
        // The place in the file is durable: it was when the record was in the log.
        Ok(Ready::Mapped)
    }

    fn commit(_i: &Inode, _pages: Range<u64>) -> Result {
        Ok(())
    }
}

impl Mounted {
    /// Inserts written blocks. The last one of the file is zeroed behind its end, by a read fault too if that may store; if not, a copy
    /// of it is shown.
    #[allow(clippy::too_many_arguments, reason = "one extent, one fault, one file")]
    fn insert(
        &self,
        i: &Inode,
        store: Option<&Storing<'_>>,
        live: &Live,
        at: u64,
        block: u64,
        len: u64,
        want: &Want<'_>,
        out: &mut Populator<'_>,
    ) -> Result {
        // Blocks beyond the end of the file are not to be seen.
        let mut len = live.size().div_ceil(BLOCK).saturating_sub(at).min(len);
        let last = live.size() / BLOCK;
        if (at..at.saturating_add(len)).contains(&last) && live.size() % BLOCK != 0 {
            let tail = block.wrapping_add(last.wrapping_sub(at));
            let own = if store.is_none() { Gate::try_storing(i.sb()).ok() } else { None };
            if let Some(store) = store.or(own.as_ref()) {
                self.zero_past_end(store, live, tail)?;
            } else if !self.device().is_poisoned(tail..tail.saturating_add(1)) {
                len = last.wrapping_sub(at);
                if want.at == last {
                    out.insert_copy(last, || self.up_to_end(live, tail))?;
                }
            }
        }
        let frames = self.device().frames(block..block.saturating_add(len)).map_err(|_| EIO)?;
        out.insert(at, frames)?;
        Ok(())
    }

    /// Zeroes what lies beyond the end of the file in its last block, which is `block`. The `meta` lock is held alone.
    pub(super) fn zero_past_end(&self, store: &Storing<'_>, live: &Live, block: u64) -> Result {
        let used = live.size() % BLOCK;
        // A page that has failed is not seen again before all of it is written.
        if used != 0 && !self.device().is_poisoned(block..block.saturating_add(1)) {
            let data = store.data()?;
            data.zero(block.saturating_mul(BLOCK).saturating_add(used), BLOCK.wrapping_sub(used))?;
            data.fence();
        }
        Ok(())
    }

    /// What the file has of its last block, which is `block`.
    fn up_to_end(&self, live: &Live, block: u64) -> Result<KVec<u8>> {
        let mut bytes = KVec::from_elem(0, (live.size() % BLOCK) as usize, GFP_KERNEL)?;
        self.device().region().read(block.saturating_mul(BLOCK), &mut bytes).map_err(|_| EIO)?;
        Ok(bytes)
    }

    /// A write fault in an unwritten extent: zeroes a part of it and inserts that.
    #[allow(clippy::too_many_arguments, reason = "one extent, one fault, one file")]
    fn convert(
        &self,
        i: &Inode,
        store: &Storing<'_>,
        live: &mut Live,
        at: u64,
        block: u64,
        len: u64,
        want: &Want<'_>,
        out: &mut Populator<'_>,
    ) -> Result {
        // All of the window, and if huge pages are possible also what follows: it saves the faults.
        let end = at.saturating_add(len);
        let end = if want.whole { end.min(at.saturating_add(ZERO_MAX)) } else { end.min(want.window.end) };
        let end = end.min(live.size().div_ceil(BLOCK)).max(want.at.wrapping_add(1));
        let len = end.wrapping_sub(at);
        // Failed memory is the loss of those alone who touch it.
        let (at, block, len) =
            match self.device().region().first_lost(block.saturating_mul(BLOCK), len.saturating_mul(BLOCK)) {
                None => (at, block, len),
                Some(_) => (want.at, block.wrapping_add(want.at.wrapping_sub(at)), 1),
            };
        let fail = |e| self.fail(i.ino(), e);
        let data = store.data()?;
        data.zero(block.saturating_mul(BLOCK), len.saturating_mul(BLOCK))?;
        data.fence();
        let filled = ops::written(store.volume(), live, at, len, None, media_time(i.now())).map_err(fail)?.reply();
        // Also where no frames are inserted below.
        out.fill_holes(filled)?;
        self.insert(i, Some(store), live, at, block, len, want, out)
    }

    /// A write fault in a hole: gives it blocks, the whole window if that can be one huge page.
    fn allocate(
        &self,
        i: &Inode,
        store: &Storing<'_>,
        live: &mut Live,
        hole: Range<u64>,
        want: &Want<'_>,
        out: &mut Populator<'_>,
    ) -> Result {
        let window = &want.window;
        let huge = want.whole && hole.start <= window.start && hole.end >= window.end;
        let huge = huge && window.end.wrapping_sub(window.start) == u64::from(HUGE);
        let reserve = |live: &Live| {
            if huge {
                let blocks = store.volume().reserve(0, HUGE, true)?;
                if blocks.count() == HUGE {
                    return Ok((window.start, blocks));
                }
            }
            Ok((want.at, store.volume().reserve(self.near(live, want.at)?, 1, false)?))
        };
        let filled = ops::attach_zeroes(store.volume(), live, media_time(i.now()), reserve);
        let filled = filled.map_err(|e| self.fail(i.ino(), e))?.reply();
        self.insert(i, Some(store), live, filled.file_block, filled.block, filled.len.into(), want, out)
    }

    /// Where blocks for file block `at` are best taken from: behind those of the block before. 0: anywhere.
    pub(super) fn near(&self, live: &Live, at: u64) -> media::Result<u64> {
        let Some(before) = at.checked_sub(1) else { return Ok(0) };
        Ok(match self.gate().extent(live, before)? {
            Extent::Data { block, .. } => block.saturating_add(1),
            Extent::Hole { .. } => 0,
        })
    }
}

impl dax::Media for Mounted {
    fn is_alive(&self) -> bool {
        !self.is_dead()
    }

    fn is_changeable(&self) -> bool {
        self.gate().changeable().is_ok()
    }

    fn is_synchronous(&self) -> bool {
        // `dev` refuses memory for which it does not hold.
        true
    }

    fn flush(&self, frame: Frame) -> Result {
        let region = self.device().region();
        let page = region.page_of(frame.pfn).ok_or(EIO)?;
        self.device().flush(page.saturating_mul(BLOCK), frame.order.pages().saturating_mul(BLOCK));
        Ok(())
    }

    fn fence(&self) {
        self.device().region().fence();
    }

    fn is_poisoned(&self, pfns: Range<u64>) -> bool {
        let region = self.device().region();
        match region.page_of(pfns.start) {
            Some(page) => self.device().is_poisoned(page..page.saturating_add(pfns.end.saturating_sub(pfns.start))),
            None => true,
        }
    }

    fn mappings(&self) -> &dax::Mappings {
        self.mappings()
    }

    fn counters(&self) -> &dax::Counters {
        &self.counters
    }
}

/// Sets the size of a file whose `i_rwsem` is held; what lies beyond a smaller one is unmapped and freed.
pub(super) fn set_size(i: &inode::Locked<'_>, store: &Storing<'_>, size: u64) -> Result {
    let mounted = i.sb().data();
    let fail = |e| mounted.fail(i.ino(), e);
    let old = i.size();
    if size > old {
        let mut guard = inode::alone(i);
        let live = guard.get()?;
        mounted.prepare_end(store, live, size)?;
        ops::extend(store.volume(), live, size, media_time(i.now())).map_err(fail)?.reply();
    } else {
        // The block of the new end goes as well: its next fault zeroes what is beyond.
        let unmapped = dax::remove(Mapping::of(i), size / BLOCK..u64::MAX)?;
        let mut guard = inode::alone(i);
        let live = guard.get()?;
        mounted.flush(live, size / BLOCK..(size / BLOCK).saturating_add(1));
        let done = ops::truncate(store.volume(), live, size, media_time(i.now())).map(drop);
        if done.is_err() {
            mounted.flush(live, size / BLOCK..old.div_ceil(BLOCK));
        }
        // The end moves with the first of its records.
        drop(guard);
        unmapped.cut(i.size().div_ceil(BLOCK));
        drop(unmapped);
        done.map_err(fail)?;
    }
    Ok(())
}

impl Mounted {
    /// Before the end of a file moves up to `to`: zeroes what lies between in written blocks. Beyond the end these have whatever
    /// a power cut kept of a write that did not return. The `meta` lock is held alone.
    pub(super) fn prepare_end(&self, store: &Storing<'_>, live: &Live, to: u64) -> Result {
        self.zero_written(store, live, live.size()..to)
    }

    /// Zeroes written blocks from the beginning of these bytes to the end of the block of the last one.
    fn zero_written(&self, store: &Storing<'_>, live: &Live, bytes: Range<u64>) -> Result {
        let (mut at, end) = (bytes.start / BLOCK, bytes.end.div_ceil(BLOCK));
        while at < end {
            let len = match self.gate().extent(live, at).map_err(|e| self.fail(live.ino(), e))? {
                Extent::Data { block, len, unwritten: false, .. } => {
                    let start = block.saturating_mul(BLOCK);
                    let used = bytes.start.saturating_sub(at.saturating_mul(BLOCK));
                    let len = u64::from(len).min(end.wrapping_sub(at));
                    let data = store.data()?;
                    data.zero(start.saturating_add(used), len.saturating_mul(BLOCK).saturating_sub(used))?;
                    data.fence();
                    len
                }
                Extent::Data { len, .. } => len.into(),
                Extent::Hole { len } => len,
            };
            at = at.saturating_add(len);
        }
        Ok(())
    }

    /// Makes durable what mappings have stored into blocks of a file that stay its own, when their entries, and with them the
    /// marks, are gone. What cannot be found cannot be reached either.
    fn flush(&self, live: &Live, blocks: Range<u64>) {
        let mut at = blocks.start;
        while at < blocks.end {
            let Ok(found) = self.gate().extent(live, at) else { break };
            let left = blocks.end.wrapping_sub(at);
            let len = match found {
                Extent::Data { block, len, unwritten: false, .. } => {
                    let len = left.min(len.into());
                    self.device().flush(block.saturating_mul(BLOCK), len.saturating_mul(BLOCK));
                    len
                }
                Extent::Data { len, .. } => len.into(),
                Extent::Hole { len } => len,
            };
            at = at.saturating_add(len);
        }
        self.device().region().fence();
    }
}

/// Blocks of a file whose `i_rwsem` is held become a hole. Parts of blocks at the ends are the caller's.
pub(super) fn punch(i: &inode::Locked<'_>, store: &Storing<'_>, blocks: Range<u64>) -> Result {
    let mounted = i.sb().data();
    let unmapped = dax::remove(Mapping::of(i), blocks.clone())?;
    let mut guard = inode::alone(i);
    let live = guard.get()?;
    let punched = ops::punch(store.volume(), live, blocks.clone(), media_time(i.now())).map(drop);
    if punched.is_err() {
        mounted.flush(live, blocks);
    }
    punched.map_err(|e| mounted.fail(i.ino(), e))?;
    drop(guard);
    drop(unmapped);
    Ok(())
}

/// Blocks of a file whose `i_rwsem` is held read as zeroes, and stay the file's. Parts of blocks at the ends are the caller's.
pub(super) fn zero(i: &inode::Locked<'_>, store: &Storing<'_>, blocks: Range<u64>) -> Result {
    let mounted = i.sb().data();
    let unmapped = dax::remove(Mapping::of(i), blocks.clone())?;
    let mut guard = inode::alone(i);
    let live = guard.get()?;
    let left = ops::unwrite(store.volume(), live, blocks.clone(), media_time(i.now()));
    if left.is_err() {
        mounted.flush(live, blocks);
    }
    let left = left.map_err(|e| mounted.fail(i.ino(), e))?.reply();
    // No space to say so: the bytes themselves.
    mounted.zero_written(store, live, left.start.saturating_mul(BLOCK)..left.end.saturating_mul(BLOCK))?;
    drop(guard);
    drop(unmapped);
    Ok(())
}

/// Blocks were given to a range that had none.
pub(super) fn filled(i: &Inode, blocks: Range<u64>) {
    let mapping = Mapping::of(i);
    if !mapping.is_empty() {
        shown(i, dax::fill_holes(mapping, blocks));
    }
}

/// Bytes were stored into blocks that were written before: who maps a copy of them is to see it.
pub(super) fn stored(i: &Inode) {
    if i.data().cache.has_copy() {
        shown(i, dax::drop_copy(Mapping::of(i)));
    }
}

/// What was done to the file is done, and durable, whatever becomes of its mappings.
fn shown(i: &Inode, outcome: Result) {
    if let Err(error) = outcome {
        pr_err!("{}: inode {}: mappings show what was there before ({error:?})\n", i.sb().data().name(), i.ino());
        Mapping::of(i).set_error(error);
    }
}

/// Makes what mappings have stored durable.
pub(super) fn clean(i: &Inode, bytes: Range<u64>) -> Result {
    let mapping = Mapping::of(i);
    if !mapping.is_dirty() {
        return Ok(());
    }
    dax::clean(mapping, bytes.start / BLOCK..bytes.end.div_ceil(BLOCK))
}

/// The inode goes: empties its mapping. `keep`: what is in it must become durable.
pub(super) fn empty(e: &Evicting<'_, Pfnfs>, keep: bool) {
    if let Err(error) = dax::evict(e, keep).map(drop) {
        let i = e.inode();
        pr_err!("{}: inode {}: what was mapped is not durable ({error:?})\n", i.sb().data().name(), i.ino());
    }
}
