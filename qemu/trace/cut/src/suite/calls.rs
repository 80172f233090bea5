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
