// SPDX-License-Identifier: GPL-2.0

//! Layer: dax. Takes entries out before their blocks are freed (truncate, hole punching, eviction) or their device goes.
//!
//! Pages may be mapped by anybody and pinned by direct I/O. Unmapping is for us to do; for a pin there is nothing but
//! to wait. The kernel's own loop (`dax_break_layout`) waits with `invalidate_lock` dropped for a reference count to
//! become 0, and waits for ever if somebody touches the page meanwhile and so maps it again. Here each look unmaps anew.
//! Waiting looks at no page: the device may be removed in the meantime, and its pages with it.

use core::ops::Range;

use kernel::prelude::*;
use kernel::time::{delay::fsleep, Delta};

use super::{Mappings, Site};
use crate::linux::mm::mapping::Exclusive;
use crate::linux::mm::Mapping;
use crate::linux::trace;
use crate::linux::vfs::{inode::Evicting, Type};

/// How long to wait for a pin before looking again, at first and at most.
const WAITS: Range<i64> = 1..20;

/// Proof that a range has no entries, is in no page table and pinned by nobody, and that no fault is in progress as
/// long as this exists: its blocks may be freed. Holds `invalidate_lock`.
#[must_use]
pub(crate) struct Unmapped<'a> {
    exclusive: Exclusive<'a>,
    pages: Range<u64>,
}

impl Unmapped<'_> {
    /// The range.
    pub(crate) fn pages(&self) -> Range<u64> {
        self.pages.clone()
    }

    /// The file ends before page `end` now: private copies of what was behind go, too.
    pub(crate) fn cut(&self, end: u64) {
        self.exclusive.cut(end..u64::MAX);
    }
}

/// Takes `pages` out of the mapping, waiting for pins. What is in them need not become durable; what huge entries hold
/// beyond them does first. `i_rwsem` is held by the caller. `ERESTARTSYS`: a signal came.
pub(crate) fn remove(mapping: &Mapping, pages: Range<u64>) -> Result<Unmapped<'_>> {
    let site = Site::of(mapping)?;
    let mut waits = WAITS;
    loop {
        let exclusive = mapping.exclusive();
        if site.empty(&exclusive, &pages)? {
            trace::remove(mapping, &pages);
            return Ok(Unmapped { exclusive, pages });
        }
        drop(exclusive);
        if kernel::current!().signal_pending() {
            return Err(ERESTARTSYS);
        }
        site.wait(&mut waits);
    }
}

/// Takes all entries out of the mapping of an inode that nobody can reach. `keep`: what is in them must become durable.
/// Waits for pins, for as long as they last: the blocks may be another file's next. Who could be the one that he waits for does
/// not evict such an inode (`Mapping::may_be_pinned`).
pub(crate) fn evict<'a, T: Type>(inode: &Evicting<'a, T>, keep: bool) -> Result<Unmapped<'a>> {
    let exclusive = Mapping::evicting(inode);
    let mapping = exclusive.mapping();
    if mapping.link().is_none() {
        // It never had an entry. Freeing memory can lead here: take no lock.
        return Ok(Unmapped { exclusive, pages: 0..u64::MAX });
    }
    let site = Site::of(mapping)?;
    let drained = site.drain(&exclusive, keep);
    // The device may go from now on, as far as this mapping is concerned.
    site.media.mappings().leave(mapping);
    drained?;
    Ok(Unmapped { exclusive, pages: 0..u64::MAX })
}

/// Takes all entries out of the mapping of an inode that nobody uses, if no page is pinned. What is in them need not become durable.
pub(crate) fn try_empty(mapping: &Mapping) {
    let Ok(site) = Site::of(mapping) else { return };
    if mapping.exclusive().empty(site.locks, 0..u64::MAX) {
        trace::remove(mapping, &(0..u64::MAX));
    }
}

/// Makes what is in the mapping durable and takes it out, unless a page is pinned: the kernel frees
/// no inode whose mapping has entries (`mapping_shrinkable`), and nobody else takes them out of one
/// that has a name. May be called while somebody uses it; his accesses come by faults again.
pub(crate) fn let_go(mapping: &Mapping) -> Result {
    Site::of(mapping)?.kill().1
}

/// The device is going away, and [`super::Media::is_alive`] says so: makes all durable that can be, and takes all entries out
/// of all mappings; `lost` is called for those where that has failed. Afterwards accesses get SIGBUS.
///
/// Waits for pins, for as long as they last: the memory behind them is about to go. It holds nothing meanwhile: who has a pin may
/// need anything to come to where he drops it. Waits for evictions too, which look at the same pages.
pub(crate) fn kill(mappings: &Mappings, lost: impl Fn(&Mapping, Error)) {
    mappings.close();
    let mut waits = WAITS;
    loop {
        let mut idle = true;
        let all = mappings.for_each(|mapping| {
            // None is listed that has no site.
            let Ok(site) = Site::of(mapping) else { return };
            let (emptied, durable) = site.kill();
            idle &= emptied;
            if let Err(e) = durable {
                lost(mapping, e);
            }
        });
        if all && idle {
            return;
        }
        wait(&mut waits);
    }
}

/// Nobody uses the files any more, so that no page becomes pinned: waits until none is. As [`kill`] it holds nothing meanwhile.
pub(crate) fn await_pins(mappings: &Mappings) {
    let mut waits = WAITS;
    loop {
        let mut idle = true;
        // What is being evicted waits for itself.
        mappings.for_each(|mapping| {
            if let Ok(site) = Site::of(mapping) {
                idle &= mapping.exclusive().release(site.locks, &(0..u64::MAX));
            }
        });
        if idle {
            return;
        }
        wait(&mut waits);
    }
}

/// Blocks were given to `pages`, which had none: faults must see them, not the zero page. To be called after their place in
/// the file is set, and before the one who wrote them goes on: a fault that has found nothing there has inserted its hole by
/// then, and it is taken out again.
pub(crate) fn fill_holes(mapping: &Mapping, pages: Range<u64>) -> Result {
    let site = Site::of(mapping)?;
    let _shared = mapping.shared();
    let _populate = site.locks.populate(mapping);
    let write = site.locks.write(mapping);
    write.remove_holes(pages).map(|_| ())
}

/// Bytes were stored, and a copy of them may be in the mapping ([`super::Cache::has_copy`]): takes it out. Who maps it sees
/// the bytes afterwards.
pub(crate) fn drop_copy(mapping: &Mapping) -> Result {
    let site = Site::of(mapping)?;
    let _shared = mapping.shared();
    let mut populate = site.locks.populate(mapping);
    if let Some(index) = populate.copied() {
        site.locks.write(mapping).remove_holes(index..index.saturating_add(1))?;
    }
    populate.forget_copy();
    Ok(())
}

/// Whether any of `pages` may be written through a mapping without another call of the hook.
pub(crate) fn populated(mapping: &Mapping, pages: Range<u64>) -> bool {
    let mut from = pages.start;
    while let Some(seen) = mapping.next_entry(from).filter(|s| s.index < pages.end) {
        if seen.frame().is_some() {
            return true;
        }
        from = seen.end();
    }
    false
}

impl Site<'_> {
    /// Tries once. `false`: a page is pinned.
    fn empty(&self, exclusive: &Exclusive<'_>, pages: &Range<u64>) -> Result<bool> {
        let whole = self.mapping.whole(pages);
        // First: what comes by a pin must be there when the rest of a huge entry is written back.
        if whole != *pages && !exclusive.release(self.locks, pages) {
            return Ok(false);
        }
        self.clean(whole.start..pages.start)?;
        self.clean(pages.end..whole.end)?;
        Ok(exclusive.empty(self.locks, pages.clone()))
    }

    /// Makes all durable and takes it out, unless a page is pinned: then `false`, and nobody maps it any more. Also says whether
    /// it is durable.
    fn kill(&self) -> (bool, Result) {
        const ALL: Range<u64> = 0..u64::MAX;
        let exclusive = self.mapping.exclusive();
        // A pin may outlast the power.
        let cleaned = self.clean(ALL);
        if !exclusive.release(self.locks, &ALL) {
            self.media.counters().waits.one();
            return (false, cleaned);
        }
        // What has come by a pin since.
        let cleaned = cleaned.and(self.clean(ALL));
        let emptied = exclusive.empty(self.locks, ALL);
        trace::remove(self.mapping, &ALL);
        (emptied, cleaned)
    }

    /// Takes all out without letting go of the lock.
    fn drain(&self, exclusive: &Exclusive<'_>, keep: bool) -> Result {
        let mut waits = WAITS;
        let all = 0..u64::MAX;
        let clean = || if keep { self.clean(all.clone()) } else { Ok(()) };
        let mut cleaned = clean();
        if keep && self.mapping.is_dirty() {
            // Pinned: once more when the pins have gone.
            while !exclusive.release(self.locks, &all) {
                self.wait(&mut waits);
            }
            cleaned = cleaned.and(clean());
        }
        while !exclusive.empty(self.locks, all.clone()) {
            self.wait(&mut waits);
        }
        trace::remove(self.mapping, &(0..u64::MAX));
        cleaned
    }

    fn wait(&self, waits: &mut Range<i64>) {
        self.media.counters().waits.one();
        wait(waits);
    }
}

fn wait(waits: &mut Range<i64>) {
    fsleep(Delta::from_millis(waits.start));
    waits.start = waits.start.saturating_mul(2).min(waits.end);
}
