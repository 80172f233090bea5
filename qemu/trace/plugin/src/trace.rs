// SPDX-License-Identifier: GPL-2.0
//! The trace under way: which physical range is watched, the log, and the counters.
//!
//! Layer: state of the plugin; [`crate::callbacks`] feeds it, [`store_log`] encodes what it writes.
//! Locks: `log` is a leaf and orders the events of all vCPUs.
//!
//! Trace one vCPU only. With more at once, an event is logged after it happened, so two that race for the same bytes may be logged the
//! wrong way round; with more that take turns (`thread=single`), QEMU passes callbacks the vCPU that translated the code.

use crate::guest;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use store_log::{Encoder, Event, Fence, Header, Store, LINE};

/// vCPUs that can be told apart in the counters.
pub const CPUS: usize = 64;
/// Bytes gathered before they are written to the file.
const CHUNK: usize = 1 << 20;
/// Stores that must agree before the place of the direct map is believed.
const CONFIRMATIONS: u32 = 4096;
const GIB: u64 = 1 << 30;
const PAGE: u64 = 4096;

/// The open log file.
struct Log {
    file: Option<File>,
    buffer: Vec<u8>,
    encoder: Encoder,
}

impl Log {
    fn write_out(&mut self) {
        if let Some(file) = &mut self.file {
            if let Err(error) = file.write_all(&self.buffer) {
                eprintln!("store-trace: the log cannot be written, tracing stops: {error}");
                self.file = None;
            }
        }
        self.buffer.clear();
    }
}

pub struct Trace {
    base: u64,
    size: u64,
    log: Mutex<Log>,
    /// Where the kernel maps physical address 0; 0 while unknown.
    direct_map: AtomicU64,
    candidate: AtomicU64,
    confirmed: AtomicU32,
    /// Where the pointer to the running task lies; 0 while unknown. There is one vCPU.
    current_task: AtomicU64,
    /// Per vCPU: a store or a write-back was logged since the last fence.
    pending: [AtomicBool; CPUS],
    /// Per vCPU: bytes loaded from the range.
    loaded: [AtomicU64; CPUS],
}

impl Trace {
    pub fn create(path: &Path, base: u64, size: u64) -> std::io::Result<Self> {
        let mut file = File::create(path)?;
        file.write_all(&Header { base, size }.encode())?;
        Ok(Trace {
            base,
            size,
            log: Mutex::new(Log {
                file: Some(file),
                buffer: Vec::with_capacity(2 * CHUNK),
                encoder: Encoder::default(),
            }),
            direct_map: AtomicU64::new(0),
            candidate: AtomicU64::new(0),
            confirmed: AtomicU32::new(0),
            current_task: AtomicU64::new(0),
            pending: [const { AtomicBool::new(false) }; CPUS],
            loaded: [const { AtomicU64::new(0) }; CPUS],
        })
    }

    fn lock(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on says which task does what. `symbol` is where the kernel says that the per-CPU variable lies; to be called from user mode.
    pub fn watch_tasks(&self, symbol: u64) {
        match guest::register("k_gs_base") {
            Some(base) => self.current_task.store(base.wrapping_add(symbol), Relaxed),
            None => eprintln!("store-trace: QEMU does not tell k_gs_base, tasks are not told apart"),
        }
    }

    fn task(&self) -> Option<u64> {
        match self.current_task.load(Relaxed) {
            0 => None,
            at => guest::word(at),
        }
    }

    pub fn put(&self, cpu: u32, event: &Event) {
        self.put_from(cpu, None, event);
    }

    /// `site`: the instruction, where it is to be told.
    fn put_from(&self, cpu: u32, site: Option<u64>, event: &Event) {
        let task = self.task();
        let mut log = self.lock();
        if log.file.is_none() {
            return;
        }
        let Log { buffer, encoder, .. } = &mut *log;
        if let Some(task) = task {
            encoder.put(buffer, cpu, &Event::Task(task));
        }
        if let Some(site) = site {
            encoder.put(buffer, cpu, &Event::Site(site));
        }
        encoder.put(buffer, cpu, event);
        if log.buffer.len() >= CHUNK {
            log.write_out();
        }
    }

    /// Ends the log; what comes later is not written.
    pub fn finish(&self) {
        // No vCPU runs this, so none has a task.
        self.current_task.store(0, Relaxed);
        self.put(0, &Event::End);
        let mut log = self.lock();
        log.write_out();
        log.file = None;
    }

    /// Offset in the watched range, if `physical` lies there.
    fn offset(&self, physical: u64) -> Option<u64> {
        physical.checked_sub(self.base).filter(|at| *at < self.size)
    }

    /// Translates by the direct map alone. `None`: not in it, or not known yet.
    pub fn by_direct_map(&self, vaddr: u64) -> Option<u64> {
        let start = self.direct_map.load(Relaxed);
        if start == 0 {
            return None;
        }
        vaddr.checked_sub(start).filter(|physical| *physical < self.base + self.size)
    }

    /// Learns the direct map from an access whose two addresses are known.
    pub fn learn(&self, vaddr: u64, physical: u64) {
        let four_level = 0xffff_8880_0000_0000..0xffff_c880_0000_0000;
        let five_level = 0xff11_0000_0000_0000..0xff91_0000_0000_0000;
        if self.direct_map.load(Relaxed) != 0 || !(four_level.contains(&vaddr) || five_level.contains(&vaddr)) {
            return;
        }
        let start = vaddr.wrapping_sub(physical);
        if start % GIB != 0 {
            return;
        }
        if self.candidate.swap(start, Relaxed) != start {
            self.confirmed.store(0, Relaxed);
        } else if self.confirmed.fetch_add(1, Relaxed) > CONFIRMATIONS {
            self.direct_map.store(start, Relaxed);
        }
    }

    /// Translates any address, walking the page tables where needed. Needs a callback that may read registers.
    fn translate(&self, vaddr: u64) -> Option<u64> {
        self.by_direct_map(vaddr).or_else(|| match self.direct_map.load(Relaxed) {
            0 => None,
            start => guest::walk(vaddr, start),
        })
    }

    /// Logs a store of the instruction at `site` to `physical`, the address of its first byte.
    pub fn store(&self, cpu: u32, vaddr: u64, physical: u64, site: u64, store: Store) {
        let in_page = PAGE - vaddr % PAGE;
        if u64::from(store.len) <= in_page {
            self.part(cpu, physical, site, store);
            return;
        }
        let first = in_page as u8;
        self.part(cpu, physical, site, Store { len: first, ..store });
        let mut second = Store { len: store.len - first, bytes: [0; 16], ..store };
        for (to, from) in second.bytes.iter_mut().zip(store.value().iter().skip(first.into())) {
            *to = *from;
        }
        match self.translate(vaddr + in_page) {
            Some(physical) => self.part(cpu, physical, site, second),
            None if self.offset(physical).is_some() => self.put(cpu, &Event::Lost { vaddr: vaddr + in_page }),
            None => {}
        }
    }

    fn part(&self, cpu: u32, physical: u64, site: u64, store: Store) {
        if let Some(at) = self.offset(physical) {
            self.put_from(cpu, Some(site), &Event::Store(Store { at, ..store }));
            self.expect_fence(cpu);
        }
    }

    /// Logs a write-back of the line at `vaddr`. Needs a callback that may read registers.
    pub fn flush(&self, cpu: u32, kind: store_log::Flush, vaddr: u64) {
        match self.translate(vaddr) {
            Some(physical) => {
                if let Some(at) = self.offset(physical) {
                    self.put(cpu, &Event::Flush { kind, at: at & !(LINE - 1) });
                    self.expect_fence(cpu);
                }
            }
            None => self.put(cpu, &Event::Lost { vaddr }),
        }
    }

    /// Logs a fence. Locked and serialising instructions are everywhere: only the first after a store or a write-back is kept.
    pub fn fence(&self, cpu: u32, kind: Fence) {
        let pending = self.pending.get(cpu as usize).is_none_or(|p| p.swap(false, Relaxed));
        if pending || matches!(kind, Fence::Sfence | Fence::Mfence) {
            self.put(cpu, &Event::Fence(kind));
        }
    }

    fn expect_fence(&self, cpu: u32) {
        if let Some(pending) = self.pending.get(cpu as usize) {
            pending.store(true, Relaxed);
        }
    }

    pub fn load(&self, cpu: u32, physical: u64, len: u64) {
        if self.offset(physical).is_some() {
            if let Some(loaded) = self.loaded.get(cpu as usize) {
                loaded.fetch_add(len, Relaxed);
            }
        }
    }

    pub fn loaded(&self, cpu: u32) -> u64 {
        self.loaded.get(cpu as usize).map_or(0, |loaded| loaded.load(Relaxed))
    }
}
