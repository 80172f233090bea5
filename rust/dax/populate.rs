// SPDX-License-Identifier: GPL-2.0

//! Layer: dax. What a file system's hook inserts with.
//!
//! The hook says which frames are where, extent by extent; how big an entry becomes is decided here, from alignment in
//! the file and in physical memory. An entry that is there is kept: a small one never grows, so that nobody
//! has to be unmapped. Only holes give way.

use core::ops::Range;

use kernel::prelude::*;

use super::{Counters, Ready, Site, Want};
use crate::linux::mm::folio::order_at;
use crate::linux::mm::lock::{Conflict, Locks, Populate};
use crate::linux::mm::{Entry, Order, HUGE};
use crate::linux::pmem::Frames;
use crate::linux::trace;

/// The right to insert entries into one mapping. Exists while the hook runs.
pub(crate) struct Populator<'a> {
    populate: Populate<'a>,
    locks: &'a Locks,
    counters: &'a Counters,
    window: Range<u64>,
    inserted: u64,
}

impl Populator<'_> {
    /// Inserts `frames` at page `at` of the file, as huge entries where possible. Outside the window of the fault small ones
    /// are left out: they would cost more than the faults that they save. Returns how many pages are now there that were
    /// not.
    ///
    /// # Errors
    ///
    /// `EBUSY`: the frames are another file's, or pinned since they were. `ENOMEM`.
    pub(crate) fn insert(&mut self, at: u64, frames: Frames<'_>) -> Result<u64> {
        let before = self.inserted;
        let (mut at, mut rest) = (at, frames);
        while let Some(order) = order_at(&rest, at) {
            let (head, tail) = rest.split_at(order.pages());
            match order {
                Order::Huge => self.insert_huge(at, head)?,
                Order::Page => self.insert_page(at, &head)?,
            }
            rest = tail;
            at = at.saturating_add(order.pages());
            if !self.window.contains(&at) {
                // Nothing but huge entries from here on: go to where one can begin.
                let skip = at.wrapping_neg() % HUGE;
                rest = rest.split_at(skip).1;
                at = at.saturating_add(skip);
            }
        }
        Ok(self.inserted.saturating_sub(before))
    }

    /// Says that there is nothing at page `at`: reads see zeroes.
    pub(crate) fn insert_hole(&mut self, at: u64) -> Result {
        self.counters.holes.one();
        self.populate.insert_hole(at)
    }

    /// Inserts a copy of page `at` in the place of frames that may not be seen as they are: at most one of a mapping. It is read-only; a
    /// fault that writes asks anew. `read` gives its bytes; what is missing is zero.
    pub(crate) fn insert_copy(&mut self, at: u64, read: impl FnOnce() -> Result<KVec<u8>>) -> Result {
        if let Some(old) = self.populate.copied() {
            self.fill_holes(old..old.saturating_add(1))?;
        }
        if self.room(at, Order::Page)? {
            self.counters.copies.one();
            self.populate.insert_copy(at, read)?;
        }
        Ok(())
    }

    /// Says that blocks were given to `pages`: what holes were inserted there go.
    pub(crate) fn fill_holes(&mut self, pages: Range<u64>) -> Result {
        let write = self.locks.write(self.populate.mapping());
        write.remove_holes(pages).map(|_| ())
    }

    fn insert_huge(&mut self, at: u64, frames: Frames<'_>) -> Result {
        if self.room(at, Order::Huge)? {
            match self.populate.insert(at, &frames) {
                Ok(()) => {
                    self.count(Order::Huge);
                    return Ok(());
                }
                // One page of them is pinned: the others can do without it.
                Err(e) if e == EBUSY => {}
                Err(e) => return Err(e),
            }
        }
        let (mut at, mut rest) = (at, frames);
        while rest.len() > 0 {
            let (head, tail) = rest.split_at(1);
            self.insert_page(at, &head)?;
            rest = tail;
            at = at.saturating_add(1);
        }
        Ok(())
    }

    fn insert_page(&mut self, at: u64, frame: &Frames<'_>) -> Result {
        if self.window.contains(&at) && self.room(at, Order::Page)? {
            self.populate.insert(at, frame)?;
            self.count(Order::Page);
        }
        Ok(())
    }

    /// Whether an entry can be inserted. Makes holes go.
    fn room(&self, at: u64, order: Order) -> Result<bool> {
        match self.populate.conflict(at, order)? {
            Conflict::None => Ok(true),
            Conflict::Frames => Ok(false),
            Conflict::Holes => {
                let write = self.locks.write(self.populate.mapping());
                write.remove_holes(order.range(at))?;
                Ok(true)
            }
        }
    }

    fn count(&mut self, order: Order) {
        let [page, huge] = &self.counters.inserted;
        match order {
            Order::Page => page.one(),
            Order::Huge => huge.one(),
        }
        self.inserted = self.inserted.saturating_add(order.pages());
    }

    /// Whether there is what `want` asks for.
    fn has(&self, want: &Want<'_>) -> bool {
        match self.populate.load(want.at) {
            Entry::Pfn(_) => true,
            Entry::Hole | Entry::Copy => want.write.is_none(),
            Entry::Empty | Entry::Foreign => false,
        }
    }
}

impl Site<'_> {
    /// Asks the file system for what a fault has missed, unless another fault has just done so.
    pub(super) fn populate(&self, want: &Want<'_>) -> Result<Ready> {
        let mut out = Populator {
            populate: self.locks.populate(self.mapping),
            locks: self.locks,
            counters: self.media.counters(),
            window: want.window.clone(),
            inserted: 0,
        };
        if out.has(want) {
            return Ok(Ready::Mapped);
        }
        self.media.counters().populates.one();
        self.media.mappings().enter(self.mapping)?;
        let ready = (self.hooks.populate_pfns)(self.mapping, want, &mut out);
        trace::populate(self.mapping, &want.window, want.write.is_some(), out.inserted, ready.err());
        ready
    }
}
