// SPDX-License-Identifier: GPL-2.0

//! Layer linux: our locks of one DAX mapping, and what may be done to its entries under each.
//!
//! The kernel's own DAX code locks single entries; those who wait for such a lock sleep on a queue that only
//! built-in code can wake. So entries are never locked here. Instead [`MapRead`] keeps an entry from changing between
//! looking at it and having it in a page table; [`MapWrite`] is held by whoever takes entries out or write-protects them;
//! [`Populate`] is held by whoever puts entries in, which readers need not notice.

use core::ops::Range;

use kernel::error::to_result;
use kernel::prelude::*;
use kernel::sync::atomic::{Atomic, Relaxed};
use kernel::sync::barrier::smp_mb;
use kernel::sync::{Mutex, MutexGuard};

use super::copy::Copy;
use super::entry::{Cursor, Entry, Frame, Mark, Order};
use super::zeroes::Zeroes;
use super::{folio, Mapping};
use crate::linux::bindings;
use crate::linux::pmem::Frames;
use crate::linux::rwsem::{new_rwsem, ReadGuard, RwSem, WriteGuard};

/// Our locks of one mapping. The order is that of [`super`].
#[pin_data]
pub(crate) struct Locks {
    #[pin]
    populate: Mutex<Option<Kept>>,
    /// A copy was inserted, and not taken out since.
    copied: Atomic<u32>,
    #[pin]
    clean: Mutex<()>,
    #[pin]
    tables: RwSem<()>,
    #[pin]
    map: RwSem<()>,
    #[pin]
    zeroes: Zeroes,
}

impl Locks {
    /// New locks.
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            populate <- kernel::new_mutex!(None, "pfnfs_populate"),
            copied: Atomic::new(0),
            clean <- kernel::new_mutex!((), "pfnfs_clean"),
            tables <- new_rwsem!((), c"pfnfs_tables"),
            map <- new_rwsem!((), c"pfnfs_map"),
            zeroes <- Zeroes::new(),
        })
    }

    /// The right to insert entries. `invalidate_lock` must be held. `mapping` is the one that these locks are for,
    /// as in all below.
    pub(crate) fn populate<'a>(&'a self, mapping: &'a Mapping) -> Populate<'a> {
        Populate { mapping, locks: self, kept: self.populate.lock() }
    }

    /// Whether somebody may see a copy of a page of the file. After a store: who makes a copy from now on copies what was stored.
    pub(crate) fn has_copy(&self) -> bool {
        smp_mb();
        self.copied.load(Relaxed) != 0
    }

    /// The right to clean. Never together with [`Populate`].
    pub(crate) fn clean(&self) -> MutexGuard<'_, ()> {
        self.clean.lock()
    }

    /// Held for reading by a fault that inserts a page, and with it perhaps a page table; for writing by one that inserts a huge
    /// page, so that the latter's look at what is there stays true. (Without it, MADV_DONTNEED, which frees page tables,
    /// lets the two meet.)
    pub(super) fn tables(&self) -> &RwSem<()> {
        &self.tables
    }

    /// The mapping's page of zeroes. Whoever takes a hole away, with faults kept out, settles it before he unmaps.
    pub(super) fn zeroes(&self) -> &Zeroes {
        &self.zeroes
    }

    /// The right to look at entries and to map them.
    pub(crate) fn read<'a>(&'a self, mapping: &'a Mapping) -> MapRead<'a> {
        let _lock = self.map.read();
        MapRead { mapping, locks: self, _lock }
    }

    /// The right to change entries: no fault is between looking and mapping.
    pub(crate) fn write<'a>(&'a self, mapping: &'a Mapping) -> MapWrite<'a> {
        MapWrite { mapping, locks: self, _lock: self.map.write() }
    }
}

/// No entry of the mapping is taken out or write-protected while this exists.
pub(crate) struct MapRead<'a> {
    mapping: &'a Mapping,
    pub(super) locks: &'a Locks,
    _lock: ReadGuard<'a, ()>,
}

impl MapRead<'_> {
    /// The mapping.
    pub(crate) fn mapping(&self) -> &Mapping {
        self.mapping
    }

    /// What is at `index`.
    pub(crate) fn load(&self, index: u64) -> Entry {
        self.mapping.load(index)
    }

    /// Says that the page frames at `index` are about to be written: a cleaner will find them, also one that is at
    /// work now. Marks first, then the inode: the flusher drops an inode whose mapping has no mark.
    pub(crate) fn mark_written(&self, index: u64) -> Result {
        Cursor::with(self.mapping, index, Order::Page, |c| {
            if let Entry::Pfn(_) = c.load() {
                c.mark(Mark::Dirty);
                c.mark(Mark::ToWrite);
            }
        })?;
        self.mapping.mark_dirty();
        Ok(())
    }
}

/// An entry that a cleaner works on.
#[derive(Clone, Copy)]
pub(crate) struct Tagged {
    /// Its first index.
    pub(crate) index: u64,
    /// What it holds.
    pub(crate) frame: Frame,
    /// Somebody may yet store into it who needs no page table entry for that: direct I/O, `process_vm_writev(2)`.
    pub(super) pinned: bool,
}

/// No fault is between looking at an entry and mapping it while this exists.
pub(crate) struct MapWrite<'a> {
    mapping: &'a Mapping,
    locks: &'a Locks,
    _lock: WriteGuard<'a, ()>,
}

impl MapWrite<'_> {
    /// Removes all page table entries for `pages`, of everybody.
    pub(crate) fn unmap(&self, pages: Range<u64>) {
        self.mapping.front().unmap(pages);
    }

    /// Entries were cleaned. If these were all, those who ask by an open file are told.
    pub(crate) fn show_clean(&self) {
        self.mapping.show_clean();
    }

    /// Takes holes and copies in `pages` out, and what they stand for out of the page tables. Says
    /// how many there were.
    pub(crate) fn remove_holes(&self, pages: Range<u64>) -> Result<u64> {
        let mut found = 0_u64;
        for piece in self.mapping.pieces(pages) {
            if self.holes(&piece, false)? != 0 {
                self.locks.zeroes.settle();
                self.mapping.front().unmap(piece.clone());
                found = found.saturating_add(self.holes(&piece, true)?);
            }
        }
        Ok(found)
    }

    /// Counts holes and copies in `pages`. `remove`: their entries go.
    fn holes(&self, pages: &Range<u64>, remove: bool) -> Result<u64> {
        Cursor::with(self.mapping, pages.start, Order::Page, |c| {
            let mut found = 0_u64;
            while let Some(entry) = c.find(pages.end) {
                if entry.gives_way() {
                    found = found.saturating_add(1);
                    if remove {
                        c.store(entry, Entry::Empty);
                    }
                }
            }
            found
        })
    }

    /// Collects up to `batch.len()` entries before `end` that are to be cleaned, from `*from` on, and moves `*from`
    /// behind them. They stay dirty; that they are to be cleaned is forgotten, so that a write from now on shows.
    pub(crate) fn take_tagged(&self, from: &mut u64, end: u64, batch: &mut [Option<Tagged>]) -> Result<usize> {
        Cursor::with(self.mapping, *from, Order::Page, |c| {
            let mut taken = 0_usize;
            for slot in batch.iter_mut() {
                let Some(entry) = c.find_marked(end, Mark::ToWrite) else {
                    *from = end;
                    break;
                };
                let index = c.index(entry);
                *from = index.saturating_add(entry.pages());
                c.unmark(Mark::ToWrite);
                *slot = match entry {
                    Entry::Pfn(frame) => Some(Tagged { index, frame, pinned: false }),
                    _ => None,
                };
                taken = taken.saturating_add(1);
            }
            taken
        })
    }

    /// Makes the page table entries for `t` read-only and clean: the next store faults. Who has pinned it to store into it did so
    /// before, when it could be written, or has to come by a fault as well.
    pub(crate) fn write_protect(&self, t: &mut Tagged) {
        self.mapping.front().write_protect(t.index, t.frame);
        // Before it is written back: who lets go of it from here on may have stored too late for that.
        t.pinned = folio::is_pinned(t.frame);
    }

    /// Signals those who map `pages`, as `flags` (`MF_*`) of the memory failure say. C locks entries meanwhile: no fault of ours
    /// may see that, hence the write lock. It also marks the first page of each entry as failed: see [`Self::mark_failed`].
    pub(crate) fn kill_procs(&self, pages: Range<u64>, flags: i32) -> Result {
        let (raw, start) = (self.mapping.as_raw(), pages.start as c_ulong);
        let count = pages.end.saturating_sub(pages.start) as c_ulong;
        // SAFETY: A live mapping of a DAX inode.
        let kill = || unsafe { bindings::mf_dax_kill_procs(raw, start, count, flags) };
        // SAFETY: The mapping's front. The write lock is held, and all others of the kernel look
        // for VMAs in the front.
        to_result(unsafe { self.mapping.front().lend(self.mapping, kill) })
    }

    /// Puts the kernel's mark of failed memory on those page frames of an entry for which `failed` holds, and takes it from all
    /// others: the kernel refuses to copy from a page that has it. `frame` is in the mapping.
    pub(crate) fn mark_failed(&self, frame: Frame, failed: impl Fn(u64) -> bool) {
        for pfn in frame.pfns() {
            folio::mark_failed(pfn, failed(pfn));
        }
    }
}

/// What is where an entry is wanted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Conflict {
    /// Nothing.
    None,
    /// Holes, or a copy, only.
    Holes,
    /// At least one entry with page frames, or one that is not ours.
    Frames,
}

/// The right to insert entries: nobody else inserts meanwhile.
pub(crate) struct Populate<'a> {
    mapping: &'a Mapping,
    locks: &'a Locks,
    kept: MutexGuard<'a, Option<Kept>>,
}

/// The copy that the mapping's one [`Entry::Copy`] stands for. Without such an entry nobody asks for it.
struct Kept {
    index: u64,
    copy: Copy,
}

impl Populate<'_> {
    /// The mapping.
    pub(crate) fn mapping(&self) -> &Mapping {
        self.mapping
    }

    /// What is at `index`. Nobody but us replaces nothing or a hole.
    pub(crate) fn load(&self, index: u64) -> Entry {
        self.mapping.load(index)
    }

    /// What an entry of `order` at `index` would meet.
    pub(crate) fn conflict(&self, index: u64, order: Order) -> Result<Conflict> {
        let range = order.range(index);
        Cursor::with(self.mapping, range.start, Order::Page, |c| {
            let mut seen = Conflict::None;
            while let Some(entry) = c.find(range.end) {
                match entry {
                    entry if entry.gives_way() => seen = Conflict::Holes,
                    _ => return Conflict::Frames,
                }
            }
            seen
        })
    }

    /// Puts an entry for all of `frames`, one page or 512 aligned ones, at `index`. They become a folio of this file.
    ///
    /// # Errors
    ///
    /// `EEXIST`: something is there. `EBUSY`: the frames are in use. `EINVAL`: neither a page nor a huge page.
    pub(crate) fn insert(&self, index: u64, frames: &Frames<'_>) -> Result {
        let order = folio::order_at(frames, index).ok_or(EINVAL)?;
        if frames.len() != order.pages() {
            return Err(EINVAL);
        }
        if self.conflict(index, order)? != Conflict::None {
            return Err(EEXIST);
        }
        let frame = Frame { pfn: frames.pfn(), order };
        folio::associate(self.mapping, index, frame)?;
        // Whatever became of its last owner: what we do not know to have failed is good.
        folio::clear_failed(frame);
        let stored = Cursor::with(self.mapping, index, order, |c| {
            c.store(Entry::Empty, Entry::Pfn(frame));
        });
        if stored.is_err() {
            folio::reset(frame);
        }
        stored
    }

    /// The copy that an entry at `index` stands for.
    pub(crate) fn copy(&self, index: u64) -> Option<&Copy> {
        self.kept.as_ref().filter(|k| k.index == index).map(|k| &k.copy)
    }

    /// Where the last copy was put; there may be no entry any more.
    pub(crate) fn copied(&self) -> Option<u64> {
        self.kept.as_ref().map(|k| k.index)
    }

    /// Puts a copy of a page at `index`, where there is nothing. No other copy must be there: see [`Self::copied`]. `read` gives the
    /// bytes; it is called when whoever stores to them will know that there is a copy.
    pub(crate) fn insert_copy(&mut self, index: u64, read: impl FnOnce() -> Result<KVec<u8>>) -> Result {
        self.locks.copied.store(1, Relaxed);
        smp_mb();
        let copy = Copy::new(&read()?)?;
        *self.kept = Some(Kept { index, copy });
        Cursor::with(self.mapping, index, Order::Page, |c| {
            if c.load() == Entry::Empty {
                c.store(Entry::Empty, Entry::Copy);
            }
        })
    }

    /// Forgets the copy, whose entry has been taken out.
    pub(crate) fn forget_copy(&mut self) {
        *self.kept = None;
        self.locks.copied.store(0, Relaxed);
    }

    /// Puts a hole at `index`, if there is nothing.
    pub(crate) fn insert_hole(&self, index: u64) -> Result {
        Cursor::with(self.mapping, index, Order::Page, |c| {
            if c.load() == Entry::Empty {
                c.store(Entry::Empty, Entry::Hole);
            }
        })
    }
}
