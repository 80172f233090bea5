// SPDX-License-Identifier: GPL-2.0

//! Layer: linux. The pages of a region that have failed. An own record, because nothing in the kernel's fault path looks
//! at the poison flag of a page, and because a machine check must not be the way to find out again.
//!
//! Sorted, disjoint, not adjacent ranges behind a spinlock, so that every access may ask; regions without poison, nearly
//! all, cost one load. Changes are serialised by a mutex and allocate before they take the spinlock.

use core::ops::Range;

use kernel::{
    new_mutex, new_spinlock,
    prelude::*,
    sync::{
        atomic::{Acquire, Atomic, Release},
        Arc, Mutex, SpinLock,
    },
};

use crate::linux::{
    bindings,
    srcu::{Section, Srcu},
};

/// Failed device pages, and the sections of those who have asked.
#[pin_data]
pub(crate) struct Poison {
    any: Atomic<u32>,
    #[pin]
    sections: Srcu,
    #[pin]
    changes: Mutex<()>,
    #[pin]
    ranges: SpinLock<KVec<Range<u64>>>,
}

impl Poison {
    /// An empty record.
    pub(crate) fn new() -> Result<Arc<Self>> {
        Arc::pin_init(
            try_pin_init!(Self {
                any: Atomic::new(0),
                sections <- Srcu::new(),
                changes <- new_mutex!((), "pfnfs_poison_changes"),
                ranges <- new_spinlock!(KVec::new(), "pfnfs_poison"),
            }),
            GFP_KERNEL,
        )
    }

    /// Adds pages. `ENOMEM` if the record cannot grow; the pages are not in it then. Sleeps.
    pub(crate) fn add(&self, pages: Range<u64>) -> Result {
        if pages.start >= pages.end {
            return Ok(());
        }
        self.change(|old, new| {
            let meets = |r: &&Range<u64>| r.start <= pages.end && pages.start <= r.end;
            let all = old.iter().filter(meets).fold(pages.clone(), |a, r| a.start.min(r.start)..a.end.max(r.end));
            let before = old.iter().filter(|r| r.end < all.start).cloned();
            let after = old.iter().filter(|r| r.start > all.end).cloned();
            for range in Iterator::chain(Iterator::chain(before, [all.clone()]), after) {
                new.push_within_capacity(range)?;
            }
            Ok(())
        })
    }

    /// Begins a section: what it has seen of the record stays true as long as it lasts.
    pub(super) fn enter(&self) -> Section<'_> {
        self.sections.read()
    }

    /// Returns when nobody stores or loads any more who has not seen the last addition, or that the device is gone: the kernel
    /// may take those pages out of its page tables. Waits for this device's sections, none of which waits for a user. Sleeps; not
    /// to be called inside a section.
    pub(crate) fn settle(&self) {
        // SAFETY: no requirements; it may sleep, and so may the callers.
        unsafe { bindings::synchronize_rcu() };
        self.sections.synchronize();
    }

    /// Takes pages out that hold good data again. `ENOMEM` if the record cannot grow; nothing is changed then. Sleeps.
    pub(crate) fn remove(&self, pages: Range<u64>) -> Result {
        self.change(|old, new| {
            for range in old {
                let before = range.start..range.end.min(pages.start);
                let after = range.start.max(pages.end)..range.end;
                for rest in [before, after] {
                    if rest.start < rest.end {
                        new.push_within_capacity(rest)?;
                    }
                }
            }
            Ok(())
        })
    }

    /// Replaces the list by what `make` writes into an empty one that has room for one range more.
    fn change(&self, make: impl FnOnce(&[Range<u64>], &mut KVec<Range<u64>>) -> Result) -> Result {
        let _changes = self.changes.lock();
        let room = self.ranges.lock().len().saturating_add(1);
        let mut new = KVec::with_capacity(room, GFP_KERNEL)?;
        let mut ranges = self.ranges.lock();
        make(&ranges, &mut new)?;
        self.any.store(u32::from(!new.is_empty()), Release);
        let old = core::mem::replace(&mut *ranges, new);
        drop(ranges);
        drop(old);
        Ok(())
    }

    /// The first failed page of a range.
    pub(crate) fn first_in(&self, pages: &Range<u64>) -> Option<u64> {
        if self.any.load(Acquire) == 0 {
            return None;
        }
        let ranges = self.ranges.lock();
        let found = ranges.iter().find(|r| r.end > pages.start).filter(|r| r.start < pages.end)?;
        Some(found.start.max(pages.start))
    }
}
