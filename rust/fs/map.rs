// SPDX-License-Identifier: GPL-2.0

//! Layer fs: mappings. The hook that fills `i_pages` from the extents of a file, and what has to
//! happen to a mapping when blocks go.
//!
//! What a mapping gets to see of a file, and what is done to the file before, the core decides
//! (`meta::file::Fault`). Mapping and extents change under the `meta` lock, which is inside the
//! locks of the dax layer.

use core::ops::Range;

use kernel::prelude::*;

use super::carrier::Reader;
use super::gate::Storing;
use super::inode::{self, media_time, Inode};
use super::mount::{Mounted, Pfnfs};
use crate::dax::{self, PopulatePfns, Populator, Ready, Want};
use crate::linux::dax::Operations as _;
use crate::linux::mm::mapping::Operations;
use crate::linux::mm::{Frame, Mapping};
use crate::linux::vfs::inode::Evicting;
use crate::linux::vfs::{self, Ops};
use crate::media::BLOCK;
use crate::meta::file::{self, Clear, Fault, How, Seen, Shown};

static OPERATIONS: Operations<Pfnfs, dax::Hooks> = dax::operations::<Map>();

/// A regular file's table.
pub(super) fn table() -> Ops<vfs::MappingTable, Pfnfs> {
    OPERATIONS.table()
}

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
        let mut fault = Fault::new(want.window.clone(), want.at, want.write.is_some(), want.whole);
        let mut carrier = Reader::new(i.sb(), store);
        let mut guard = inode::alone(i);
        let live = guard.get()?;
        let now = media_time(i.now());
        let fail = |e| mounted.failed(i.ino(), e);
        while let Some(seen) = mounted.gate().fault(&mut fault, live, &mut carrier, now).map_err(fail)? {
            match seen {
                Seen::Hole(at) => out.insert_hole(at)?,
                Seen::Blocks(shown) => mounted.show(&shown, want, out)?,
            }
        }
        // The place in the file is durable: it was when the record was in the log.
        Ok(Ready::Mapped)
    }

    fn commit(_i: &Inode, _pages: Range<u64>) -> Result {
        Ok(())
    }
}

impl Mounted {
    /// Inserts what the core shows.
    fn show(&self, shown: &Shown, want: &Want<'_>, out: &mut Populator<'_>) -> Result {
        if let Some((at, len)) = shown.copy {
            out.insert_copy(shown.at.saturating_add(shown.len), || self.copy(at, len))?;
        }
        // Where frames are inserted holes make room for them.
        let inserted = shown.at..shown.at.saturating_add(shown.len).min(want.window.end);
        let filled = &shown.filled;
        if !filled.is_empty() && (filled.start < inserted.start || filled.end > inserted.end) {
            out.fill_holes(filled.clone())?;
        }
        let frames = self.device().frames(shown.block..shown.block.saturating_add(shown.len)).map_err(|_| EIO)?;
        out.insert(shown.at, frames)?;
        Ok(())
    }

    /// A copy of bytes of the media.
    fn copy(&self, at: u64, len: u64) -> Result<KVec<u8>> {
        let mut bytes = KVec::from_elem(0, len as usize, GFP_KERNEL)?;
        self.device().region().read(at, &mut bytes).map_err(|_| EIO)?;
        Ok(bytes)
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

/// Sets the size of a file whose `i_rwsem` is held; what lies beyond a smaller one is unmapped and
/// freed.
pub(super) fn set_size(i: &inode::Locked<'_>, store: &Storing<'_>, size: u64) -> Result {
    let (mounted, mut carrier) = (i.sb().data(), store);
    // The block of the new end goes as well: its next fault zeroes what is beyond.
    let unmap = || dax::remove(Mapping::of(i), size / BLOCK..u64::MAX);
    let unmapped = if size > i.size() { None } else { Some(unmap()?) };
    let mut guard = inode::alone(i);
    let live = guard.get()?;
    let done = file::resize(store.volume(), live, size, &mut carrier, media_time(i.now()));
    // The end moves with the first of its records.
    drop(guard);
    if let Some(unmapped) = &unmapped {
        unmapped.cut(i.size().div_ceil(BLOCK));
    }
    drop(unmapped);
    done.map_err(|e| mounted.failed(i.ino(), e))
}

/// Whole blocks of a file whose `i_rwsem` is held are made to read as zeroes.
pub(super) fn clear(i: &inode::Locked<'_>, store: &Storing<'_>, clear: &Clear, how: How) -> Result {
    let Some(blocks) = clear.blocks() else { return Ok(()) };
    let (mounted, mut carrier) = (i.sb().data(), store);
    let unmapped = dax::remove(Mapping::of(i), blocks)?;
    let mut guard = inode::alone(i);
    let live = guard.get()?;
    let done = clear.whole(store.volume(), live, how, &mut carrier, media_time(i.now()));
    drop(guard);
    drop(unmapped);
    done.map(drop).map_err(|e| mounted.failed(i.ino(), e))
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
