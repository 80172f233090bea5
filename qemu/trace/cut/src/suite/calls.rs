// SPDX-License-Identifier: GPL-2.0
//! What must hold whenever a system call returns: all that it stored is durable.
//!
//! Layer: over the media model, with the instruction and the task of each store. Durable is what was written back and fenced; and what was
//! stored in place for a record of the log, as long as the record is durable and counts: a recovery stores it again. That debt is looked at
//! again at every later return, so a checkpoint that lets go of a record must have written back what it changed.

use crate::journal::Journal;
use crate::symbols::Symbols;
use crate::volume::Overlay;
use anyhow::anyhow;
use pfnfs_core::media::Geometry;
use std::collections::{BTreeMap, BTreeSet};
use store_log::{Event, Media, Open, Rest, Store};

/// A call, by workload, process and step.
struct Call {
    workload: u64,
    process: u64,
    step: u64,
    returned: bool,
}

/// Where a store comes from.
struct Origin {
    site: u64,
    /// Index into the calls.
    call: Option<usize>,
    /// Where it is, and what was there before.
    at: u64,
    old: Vec<u8>,
    told: bool,
}

pub struct Calls {
    symbols: Symbols,
    /// What the guest sees.
    view: Vec<u8>,
    site: u64,
    task: u64,
    calls: Vec<Call>,
    /// The call that a task is in.
    within: BTreeMap<u64, usize>,
    /// By the tag of a store.
    origins: Vec<Origin>,
}

impl Calls {
    pub fn new(media: &Media, symbols: Symbols) -> Self {
        Calls {
            symbols,
            view: media.safe().to_vec(),
            site: 0,
            task: 0,
            calls: Vec::new(),
            within: BTreeMap::new(),
            origins: Vec::new(),
        }
    }

    /// Calls that returned.
    pub fn count(&self) -> usize {
        self.calls.iter().filter(|call| call.returned).count()
    }

    /// Tags the store that comes next.
    pub fn see(&mut self, event: &Event, media: &mut Media) {
        match event {
            Event::Site(at) => self.site = *at,
            Event::Task(at) => self.task = *at,
            Event::Store(store) => {
                media.tag = self.origins.len() as u32;
                let old = self.replace(store);
                let call = self.within.get(&self.task).copied();
                self.origins.push(Origin { site: self.site, call, at: store.at, old, told: false });
            }
            _ => {}
        }
    }

    /// Stores to the view; returns what was there.
    fn replace(&mut self, store: &Store) -> Vec<u8> {
        let at = store.at as usize;
        let Some(bytes) = self.view.get_mut(at..at + usize::from(store.len)) else { return Vec::new() };
        let old = bytes.to_vec();
        bytes.copy_from_slice(store.value());
        old
    }

    /// The running task begins a call.
    pub fn begin(&mut self, workload: u64, process: u64, step: u64) {
        self.within.insert(self.task, self.calls.len());
        self.calls.push(Call { workload, process, step, returned: false });
    }

    /// It returns: what it and those before it left open, as faults, one for each instruction.
    pub fn returned(&mut self, media: &Media) -> Vec<String> {
        if let Some(call) = self.within.remove(&self.task).and_then(|call| self.calls.get_mut(call)) {
            call.returned = true;
        }
        let due = |open: &Open, calls: &Self| {
            let origin = calls.origins.get(open.tag as usize).filter(|origin| !origin.told)?;
            calls.calls.get(origin.call?).filter(|call| call.returned).map(|_| ())
        };
        let open: Vec<Open> = media.open().filter(|open| due(open, self).is_some()).collect();
        if open.is_empty() {
            return Vec::new();
        }
        // A log that cannot be read makes up for nothing.
        let safe = Overlay::new(media, Rest::Dropped);
        let journal = Geometry::read(&safe).map_err(|error| anyhow!("{error:?}"));
        let journal = journal.and_then(|geometry| Journal::read(&safe, &geometry)).unwrap_or_default();
        let lost: Vec<Open> = open.into_iter().filter(|open| !self.is_in(&journal, open)).collect();
        self.tell(&lost)
    }

    /// Whether records make up for it.
    fn is_in(&self, journal: &Journal, open: &Open) -> bool {
        let new = open.bytes.get(..usize::from(open.len)).unwrap_or_default();
        let old = self.origins.get(open.tag as usize).and_then(|origin| {
            let skip = open.at.checked_sub(origin.at)? as usize;
            origin.old.get(skip..skip + new.len())
        });
        old.is_some_and(|old| journal.has(open.at, old, new))
    }

    fn tell(&mut self, lost: &[Open]) -> Vec<String> {
        let mut sites = BTreeSet::new();
        let mut faults = Vec::new();
        for open in lost {
            let Some(origin) = self.origins.get_mut(open.tag as usize) else { continue };
            origin.told = true;
            let Some(call) = origin.call.and_then(|call| self.calls.get(call)) else { continue };
            if sites.insert((origin.call, origin.site)) {
                faults.push(format!(
                    "workload {}, process {}, step {} returned, but what {} stored at {:#x} is not durable",
                    call.workload,
                    call.process,
                    call.step,
                    self.symbols.name(origin.site),
                    open.at
                ));
            }
        }
        faults
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use store_log::{Domain, Fence, Flush, StoreKind};

    const TASK: u64 = 0xffff_8880_0000_1000;
    const SITE: u64 = 0xffff_ffff_8100_0004;

    fn store(kind: StoreKind, at: u64) -> Event {
        Event::Store(Store { kind, at, len: 8, bytes: [7; 16] })
    }

    /// What the return of a call finds in which `events` happened; then what that of the next one does.
    fn faults(events: &[Event]) -> [Vec<String>; 2] {
        let mut media = Media::new(vec![0; 1 << 16], Domain::Explicit);
        let mut calls = Calls::new(&media, Symbols::default());
        calls.see(&Event::Task(TASK), &mut media);
        calls.see(&Event::Site(SITE), &mut media);
        calls.begin(3, 1, 4);
        for event in events {
            calls.see(event, &mut media);
            assert!(media.apply(event));
        }
        let first = calls.returned(&media);
        calls.begin(3, 1, 5);
        [first, calls.returned(&media)]
    }

    #[test]
    fn what_a_call_stored_must_be_written_back_and_fenced_when_it_returns() {
        let (flush, fence) = (Event::Flush { kind: Flush::Clwb, at: 64 }, Event::Fence(Fence::Sfence));
        let plain = store(StoreKind::Plain, 64);
        let none = [Vec::<String>::new(), Vec::new()];
        assert_eq!(faults(&[plain, flush, fence]), none);
        for missing in
            [vec![plain], vec![plain, fence], vec![plain, flush], vec![flush, plain, fence], vec![plain, fence, flush]]
        {
            let [first, second] = faults(&missing);
            assert_eq!(first.len(), 1, "{missing:?}");
            assert!(
                first[0].contains("workload 3, process 1, step 4 returned, but what 0xffffffff81000004 stored at 0x40")
            );
            assert!(second.is_empty(), "told twice");
        }
    }

    #[test]
    fn what_a_call_stored_past_the_cache_must_be_fenced() {
        let (past, fence) = (store(StoreKind::NonTemporal, 64), Event::Fence(Fence::Sfence));
        assert!(faults(&[past, fence])[0].is_empty());
        assert_eq!(faults(&[past])[0].len(), 1);
        assert_eq!(
            faults(&[past, Event::Fence(Fence::Locked)])[0].len(),
            1,
            "a locked instruction is no fence of the protocol"
        );
    }

    #[test]
    fn what_others_stored_is_not_due() {
        let other = [Event::Task(TASK + 64), store(StoreKind::Plain, 64), Event::Task(TASK)];
        assert!(faults(&other)[0].is_empty());
    }
}
