// SPDX-License-Identifier: GPL-2.0

//! Layer: linux. The pages of a region that have failed. An own record, because nothing in the kernel's fault path looks
//! at the poison flag of a page, and because a machine check must not be the way to find out again.
//!
//! Sorted, disjoint, not adjacent ranges behind a spinlock, so that every access may ask; regions without poison, nearly
//! all, cost one load. Changes are serialised by a mutex and allocate before they take the spinlock.
//!
//! After a machine check the kernel takes the page out of its direct mapping (`set_mce_nospec`), whatever is said here: a store
//! there is an oops until [`Poison::put_back`]. So each page of the record is put back before anything is stored to it again, and
//! all are before the memory is unmapped: the hole would stay when it is mapped anew.
//!
//! C source: [`arch/x86/mm/pat/set_memory.c`](srctree/arch/x86/mm/pat/set_memory.c)

use core::ops::Range;

use kernel::{
    error::to_result,
    new_mutex, new_spinlock,
    prelude::*,
    sync::{
        atomic::{Acquire, Atomic, Release},
        Arc, Mutex, SpinLock,
    },
    time::{delay::fsleep, Delta, Instant, Monotonic},
};

use crate::linux::{
    bindings,
    srcu::{Section, Srcu},
};

/// How long the kernel's handler of machine checks may take from telling us of a page to taking it out of the direct mapping.
const HANDLER: Delta = Delta::from_secs(1);

/// How often to look whether it has.
const LOOK: Delta = Delta::from_millis(5);

/// Additions to a record.
struct Changes {
    /// How many there were.
    additions: u64,
    /// How many are being settled.
    settling: u32,
    /// When the last one was.
    last: Option<Instant<Monotonic>>,
}

/// Failed device pages, and the sections of those who have asked.
#[pin_data]
pub(crate) struct Poison {
    any: Atomic<u32>,
    #[pin]
    sections: Srcu,
    #[pin]
    changes: Mutex<Changes>,
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
                changes <- new_mutex!(Changes { additions: 0, settling: 0, last: None }, "pfnfs_poison_changes"),
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
        self.change(None, |old, new| {
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
    pub(super) fn settle(&self) {
        // SAFETY: no requirements; it may sleep, and so may the callers.
        unsafe { bindings::synchronize_rcu() };
        self.sections.synchronize();
    }

    /// Adds pages as [`Self::add`] does, and returns when nobody stores or loads any more who has not seen that: the kernel may take
    /// them out of its page tables. Sleeps; not to be called inside a section.
    pub(crate) fn fail(&self, pages: Range<u64>) -> Result {
        let settling = |n: u32| {
            let mut changes = self.changes.lock();
            changes.settling = changes.settling.wrapping_add(n);
        };
        settling(1);
        let added = self.add(pages);
        self.settle();
        settling(1_u32.wrapping_neg());
        added
    }

    /// Begins the repair of pages: how many additions there were, for [`Self::remove`]. `EIO` while an addition waits for sections, of
    /// which this may be one.
    pub(super) fn repair(&self) -> Result<u64> {
        let changes = self.changes.lock();
        if changes.settling != 0 {
            return Err(EIO);
        }
        Ok(changes.additions)
    }

    /// Takes pages out that hold good data again. `ENOMEM` if the record cannot grow, `EIO` if there were other additions than
    /// those seen before the pages were filled: the same may have failed again. Nothing is changed then. Sleeps.
    pub(super) fn remove(&self, pages: Range<u64>, seen: u64) -> Result {
        self.change(Some(seen), |old, new| {
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

    /// Puts a page frame of the record back into the kernel's direct mapping. Whoever is told of a failure, by a signal for
    /// instance, may come here before the handler has taken the page out: waits for that. Sleeps.
    pub(super) fn put_back(&self, pfn: u64) -> Result {
        while self.is_recent() && first_unmapped(pfn..pfn.saturating_add(1)).is_none() {
            fsleep(LOOK);
        }
        // SAFETY: a page frame of the region, which has page structures and is in the direct mapping but for such holes.
        to_result(unsafe { bindings::clear_mce_nospec(pfn as usize) })
    }

    /// The same for the whole record, in which pages count from `first_pfn` on, before the memory is unmapped.
    pub(super) fn put_all_back(&self, first_pfn: u64) {
        let mut from = 0;
        while let Some(page) = self.first_in(&(from..u64::MAX)) {
            if let Err(e) = self.put_back(first_pfn.saturating_add(page)) {
                pr_err!("page frame {:#x} stays out of the direct mapping: {:?}\n", first_pfn.saturating_add(page), e);
            }
            from = page.saturating_add(1);
        }
    }

    /// Adds the pages, of those from `first_pfn` on, that are not in the direct mapping: they failed when somebody else had the
    /// memory.
    pub(super) fn add_unmapped(&self, first_pfn: u64, count: u64) -> Result {
        let mut from = first_pfn;
        let end = first_pfn.saturating_add(count);
        while let Some(pfn) = first_unmapped(from..end) {
            let page = pfn.saturating_sub(first_pfn);
            self.add(page..page.saturating_add(1))?;
            from = pfn.saturating_add(1);
        }
        Ok(())
    }

    /// Whether the kernel's handler may still be about to take a page out of the direct mapping.
    fn is_recent(&self) -> bool {
        self.changes.lock().last.is_some_and(|last| last.elapsed() < HANDLER)
    }

    /// Replaces the list by what `make` writes into an empty one that has room for one range more. `seen`: it is no addition, and
    /// there were no others than these.
    fn change(&self, seen: Option<u64>, make: impl FnOnce(&[Range<u64>], &mut KVec<Range<u64>>) -> Result) -> Result {
        let mut changes = self.changes.lock();
        match seen {
            None => {
                changes.additions = changes.additions.wrapping_add(1);
                changes.last = Some(Instant::now());
            }
            Some(seen) if seen != changes.additions => return Err(EIO),
            Some(_) => {}
        }
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

/// The first of these page frames that is not in the kernel's direct mapping.
fn first_unmapped(pfns: Range<u64>) -> Option<u64> {
    // SAFETY: only looks at page tables of the direct mapping, which stay while a region is mapped.
    let first = unsafe { bindings::pfnfs_first_unmapped(pfns.start as usize, pfns.end as usize) } as u64;
    (first < pfns.end).then_some(first)
}
