// SPDX-License-Identifier: GPL-2.0

//! Layer: dax. Page frame numbers in the page cache, and a hook through which a file system puts them there itself.
//!
//! A fault looks into `mapping->i_pages` first. What it finds it maps ([`fault`]), and the file system learns nothing of it. On a
//! miss it calls the mapping's `populate_pfns` ([`PopulatePfns`]), which inserts frames, one extent or more at a time
//! ([`populate`]), and looks again. Written frames are marked, write-protected and written back ([`clean`]), and taken out
//! again before their blocks are freed or their device goes ([`remove`], [`failure`]).
//!
//! Knows neither which file system it serves nor how that finds its blocks. Locks: [`crate::linux::mm`].

#![forbid(unsafe_code)]
#![allow(dead_code, unused_imports, reason = "complete for the file system that is built on it")]

mod clean;
mod count;
mod failure;
mod fault;
mod mappings;
mod populate;
mod remove;
mod show;

use core::ops::Range;

use kernel::prelude::*;

use crate::linux::mm::lock::Locks;
use crate::linux::mm::mapping::Operations;
use crate::linux::mm::{vma, Frame, Mapping};
use crate::linux::vfs::sb::Unfrozen;
use crate::linux::vfs::{Inode, Type};

pub(crate) use self::clean::clean;
pub(crate) use self::count::Counters;
pub(crate) use self::failure::fail;
pub(crate) use self::mappings::Mappings;
pub(crate) use self::populate::Populator;
pub(crate) use self::remove::{await_pins, drop_copy, evict, fill_holes, kill, let_go};
pub(crate) use self::remove::{populated, remove, try_empty, Unmapped};
pub(crate) use self::show::show;

/// What this layer keeps of one inode; a part of the file system's inode.
#[pin_data]
pub(crate) struct Cache {
    #[pin]
    locks: Locks,
}

impl Cache {
    /// A cache for a new inode.
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self { locks <- Locks::new() })
    }

    /// Whether somebody may see a copy of a page of the file ([`Populator::insert_copy`]). To be asked after every store to blocks
    /// that can have been mapped before it: if so, [`drop_copy`].
    pub(crate) fn has_copy(&self) -> bool {
        self.locks.has_copy()
    }
}

/// What a fault wants to have inserted. All in pages of the file.
#[derive(Clone, Debug)]
pub(crate) struct Want<'a> {
    /// The aligned 2 MiB around the fault, as far as the file goes. What is inserted beyond it is kept if it is huge.
    pub(crate) window: Range<u64>,
    /// The page that was touched: something must be there afterwards.
    pub(crate) at: u64,
    /// It is about to be written: frames must be there, no hole. The store itself happens later, and without a call. Who wants
    /// that has seen to it that the file system is not frozen.
    pub(crate) write: Option<Unfrozen<'a>>,
    /// The kernel could map all of the window at once.
    pub(crate) whole: bool,
    /// The mapping has MAP_SYNC: when the store happens, the file's map must be durable.
    pub(crate) sync: bool,
}

/// The answer of a hook that did not fail.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Ready {
    /// What is wanted is inserted.
    Mapped,
    /// It is, but its place in the file is not durable yet, and [`Want::sync`] was set: call [`PopulatePfns::commit`].
    NeedsCommit,
}

/// What a file system does for its mappings. Implemented by a type without values, as the functions belong to a C table.
pub(crate) trait PopulatePfns: 'static {
    /// The file system.
    type Fs: Type;

    /// The cache of an inode; always the same one, and nobody else's.
    fn cache(inode: &Inode<Self::Fs>) -> &Cache;

    /// The memory below an inode.
    fn media(inode: &Inode<Self::Fs>) -> &dyn Media;

    /// Inserts what `want` asks for. `mmap_lock` and `invalidate_lock` (for reading) are held, and the lock that keeps
    /// others from inserting: look the extents up and insert them within this call. Must not touch user memory, and must not
    /// start writing back.
    ///
    /// Frames must hold what the file does at that place: zeroed where it was not written.
    fn populate_pfns(inode: &Inode<Self::Fs>, want: &Want<'_>, out: &mut Populator<'_>) -> Result<Ready>;

    /// Makes the place of `pages` in the file durable. Called after [`Ready::NeedsCommit`], under `invalidate_lock`.
    fn commit(inode: &Inode<Self::Fs>, pages: Range<u64>) -> Result;
}

/// The memory that frames come from.
pub(crate) trait Media: Send + Sync {
    /// Whether new mappings are allowed: no removal has begun.
    fn is_alive(&self) -> bool;

    /// Whether files may be changed.
    fn is_changeable(&self) -> bool;

    /// Whether a store is durable after write-back and fence alone: MAP_SYNC is allowed.
    fn is_synchronous(&self) -> bool;

    /// Writes the lines of `frame` back from the CPU's caches. Works until the memory is unmapped.
    fn flush(&self, frame: Frame) -> Result;

    /// Returns when what this CPU has flushed is durable.
    fn fence(&self);

    /// Whether any of the page frames is known to have failed. Asked before each of them is mapped.
    fn is_poisoned(&self, pfns: Range<u64>) -> bool;

    /// Where mappings of this memory are listed.
    fn mappings(&self) -> &Mappings;

    /// Where to count.
    fn counters(&self) -> &Counters;
}

/// Our part of a mapping's table of operations: `mapping->a_ops->populate_pfns` and what goes with it.
pub(crate) struct Hooks {
    populate_pfns: fn(&Mapping, &Want<'_>, &mut Populator<'_>) -> Result<Ready>,
    commit: fn(&Mapping, Range<u64>) -> Result,
    cache: for<'a> fn(&'a Mapping) -> Option<&'a Cache>,
    media: for<'a> fn(&'a Mapping) -> Option<&'a dyn Media>,
}

/// The table of operations of regular files whose file system implements `H`.
pub(crate) const fn operations<H: PopulatePfns>() -> Operations<H::Fs, Hooks> {
    Operations::new(
        clean::writepages,
        Hooks {
            populate_pfns: |m, want, out| H::populate_pfns(m.host().ok_or(EIO)?, want, out),
            commit: |m, pages| H::commit(m.host().ok_or(EIO)?, pages),
            cache: |m| m.host().map(H::cache),
            media: |m| m.host().map(H::media),
        },
    )
}

/// `mmap(2)` of a file: faults come here from now on. The file system has looked at its own state.
pub(crate) fn mmap(desc: &mut vma::Desc<'_>) -> Result {
    let site = Site::of(desc.mapping())?;
    if !site.media.is_alive() {
        return Err(EIO);
    }
    if desc.is_sync() && !site.media.is_synchronous() {
        return Err(Error::from_errno(-(kernel::uapi::EOPNOTSUPP as i32)));
    }
    desc.set_handler::<fault::Faults>();
    Ok(())
}

/// A mapping and what was found behind its `a_ops`.
struct Site<'a> {
    mapping: &'a Mapping,
    hooks: &'static Hooks,
    locks: &'a Locks,
    media: &'a dyn Media,
}

impl<'a> Site<'a> {
    /// `EINVAL`: not a mapping of ours.
    fn of(mapping: &'a Mapping) -> Result<Self> {
        let hooks: &Hooks = mapping.operations().ok_or(EINVAL)?;
        Ok(Self {
            mapping,
            hooks,
            locks: &(hooks.cache)(mapping).ok_or(EINVAL)?.locks,
            media: (hooks.media)(mapping).ok_or(EINVAL)?,
        })
    }
}
