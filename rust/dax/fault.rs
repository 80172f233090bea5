// SPDX-License-Identifier: GPL-2.0

//! Layer: dax. Page faults: look, ask if there is nothing, look again, map.
//!
//! `invalidate_lock` is held for reading all the time: blocks stay where they are. From the look at an entry to its being in
//! the page table the map lock is held for reading: the entry stays, and no cleaner passes between the mark and the store.

use kernel::prelude::*;
use kernel::time::{delay::fsleep, Delta};

use super::{Ready, Site, Want};
use crate::linux::mm::fault::{Fault, Handler, Outcome};
use crate::linux::mm::lock::MapRead;
use crate::linux::mm::{Entry, Frame, Order};
use crate::linux::vfs::sb::Unfrozen;
use crate::linux::{ratelimit, trace};

/// How often a fault asks the file system before it gives up. Once is enough while `invalidate_lock` is held; a
/// second time is needed after a hole was filled by another fault, or a commit.
const TRIES: usize = 4;

/// How long to wait for an entry that somebody else has locked.
const FOREIGN: Delta = Delta::from_micros(100);

/// Handles all faults of DAX files.
pub(super) struct Faults;

impl Handler for Faults {
    fn fault(f: &mut Fault<'_>) -> Outcome {
        let mapping = f.mapping();
        let outcome = match Site::of(mapping) {
            Ok(site) => site.fault(f),
            Err(e) => Outcome::from_error(e),
        };
        trace::fault(mapping, f, outcome);
        outcome
    }
}

impl Site<'_> {
    fn fault(&self, f: &mut Fault<'_>) -> Outcome {
        let counters = self.media.counters();
        let writing = f.is_write().then(|| f.begin_write());
        let write = writing.as_ref().map(|w| w.unfrozen());
        let _shared = self.mapping.shared();
        let pages = self.mapping.pages();
        let outcome = self.check(f, pages).unwrap_or_else(|| self.resolve(f, pages, write));
        if outcome == Outcome::FALLBACK {
            counters.fallbacks.one();
        } else if outcome == Outcome::SIGBUS || outcome == Outcome::POISON {
            counters.refused.one();
        }
        outcome
    }

    /// What can be answered without a look at the entries.
    fn check(&self, f: &Fault<'_>, pages: u64) -> Option<Outcome> {
        if f.index() >= pages || !self.media.is_alive() || f.is_write() && !self.media.is_changeable() {
            return Some(Outcome::SIGBUS);
        }
        match f.order() {
            Some(Order::Page) => None,
            Some(Order::Huge) if f.fits_huge(pages) => None,
            _ => Some(Outcome::FALLBACK),
        }
    }

    fn resolve(&self, f: &mut Fault<'_>, pages: u64, write: Option<Unfrozen<'_>>) -> Outcome {
        if let Some(outcome) = self.look(f, write) {
            self.media.counters().hits.one();
            return outcome;
        }
        self.media.counters().misses.one();
        let window = Order::Huge.range(f.index());
        let want = Want {
            window: window.start..pages.min(window.end),
            at: f.index(),
            write,
            whole: f.order() == Some(Order::Huge),
            sync: write.is_some() && f.is_sync(),
        };
        for _ in 0..TRIES {
            let commit = match self.populate(&want) {
                Ok(Ready::Mapped) => Ok(()),
                Ok(Ready::NeedsCommit) => (self.hooks.commit)(self.mapping, want.window.clone()),
                Err(e) => Err(e),
            };
            if let Err(e) = commit {
                return Outcome::from_error(e);
            }
            if let Some(outcome) = self.look(f, write) {
                return if outcome == Outcome::DONE { outcome.major() } else { outcome };
            }
        }
        if ratelimit::allows() {
            pr_err!("inode {}: nothing was inserted for page {}\n", self.mapping.ino(), want.at);
        }
        Outcome::SIGBUS
    }

    /// Maps what is there. `None`: there is nothing that will do.
    fn look(&self, f: &mut Fault<'_>, write: Option<Unfrozen<'_>>) -> Option<Outcome> {
        let g = self.locks.read(self.mapping);
        let counters = self.media.counters();
        match g.load(f.index()) {
            Entry::Pfn(frame) => Some(self.map(f, &g, frame, write)),
            Entry::Hole | Entry::Copy if write.is_some() => None,
            // There is no 2 MiB zero page for modules.
            Entry::Hole | Entry::Copy if f.order() == Some(Order::Huge) => Some(Outcome::FALLBACK),
            Entry::Hole if f.wants_copy() => {
                counters.copied.one();
                Some(f.copy_zero())
            }
            Entry::Hole => {
                counters.zero.one();
                Some(f.map_zero(&g))
            }
            Entry::Copy => {
                drop(g);
                Some(self.show_copy(f))
            }
            Entry::Empty => None,
            Entry::Foreign => {
                drop(g);
                fsleep(FOREIGN);
                Some(Outcome::DONE)
            }
        }
    }

    /// Maps a copy, unless it has gone meanwhile: then the kernel comes again.
    fn show_copy(&self, f: &mut Fault<'_>) -> Outcome {
        let populate = self.locks.populate(self.mapping);
        let g = self.locks.read(self.mapping);
        match populate.copy(f.index()) {
            Some(copy) if g.load(f.index()) == Entry::Copy => {
                if f.wants_copy() {
                    f.copy_copy(copy)
                } else {
                    f.map_copy(&g, copy)
                }
            }
            _ => Outcome::DONE,
        }
    }

    fn map(&self, f: &mut Fault<'_>, g: &MapRead<'_>, frame: Frame, write: Option<Unfrozen<'_>>) -> Outcome {
        let counters = self.media.counters();
        let [mapped_4k, mapped_2m] = &counters.mapped;
        let huge = f.order() == Some(Order::Huge);
        if huge {
            // One failed page must not come back with its neighbours.
            if frame.order == Order::Page || self.media.is_poisoned(frame.pfns()) {
                return Outcome::FALLBACK;
            }
        } else {
            let pfn = frame.at(f.index());
            if self.media.is_poisoned(pfn..pfn.saturating_add(1)) {
                return Outcome::POISON;
            }
        }
        if f.wants_copy() {
            counters.copied.one();
            return f.copy_from(g, frame);
        }
        if f.must_leave() {
            mapped_4k.one();
            return f.leave(g, frame);
        }
        if write.is_some() {
            if let Err(e) = g.mark_written(f.index()) {
                return Outcome::from_error(e);
            }
        }
        let outcome = f.map(g, frame, write);
        if outcome == Outcome::DONE {
            if huge { mapped_2m } else { mapped_4k }.one();
        }
        outcome
    }
}
