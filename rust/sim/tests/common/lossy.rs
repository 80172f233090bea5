// SPDX-License-Identifier: GPL-2.0

//! A machine that forgets nothing but for lines that are lost: whoever loads from one gets `Poison`.
//!
//! Some of them are known to be lost, as those in the kernel's record: nothing is stored there. Others show only when they are
//! read. Their contents are kept, as when a line is repaired. A machine that is [`Lossy::flaky`] loses free blocks at the moment
//! when they are filled.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;

use pfnfs_core::media::{Error, Geometry, Pmem, PmemMut, Result, BLOCK, LINE};
use pfnfs_core::meta::machine::*;
use pfnfs_sim::plain::{Memory, Plain};

use super::Rng;

pub struct Lossy {
    pub plain: Plain,
    /// Numbers of lines.
    pub lost: RefCell<BTreeSet<u64>>,
    /// Whether they are known to be lost.
    pub known: Cell<bool>,
    /// One of so many stores into a block that is free on the media finds that its memory fails just then; 0: none.
    pub flaky: Cell<u64>,
    /// Blocks that failed so.
    pub failed: Cell<u64>,
    rng: RefCell<Rng>,
    geometry: Geometry,
}

impl Lossy {
    /// For the life of the test.
    pub fn new(memory: Memory, geometry: &Geometry) -> &'static Self {
        let plain = Plain::new(memory, geometry);
        Box::leak(Box::new(Self {
            plain,
            lost: RefCell::default(),
            known: Cell::new(true),
            flaky: Cell::new(0),
            failed: Cell::new(0),
            rng: RefCell::new(Rng(1)),
            geometry: *geometry,
        }))
    }

    /// Loses a block, all of it.
    pub fn lose(&self, block: u64) {
        self.lost.borrow_mut().extend(block * (BLOCK / LINE)..(block + 1) * (BLOCK / LINE));
    }

    fn is_free(&self, block: u64) -> bool {
        let (group, bit) = self.geometry.bit(block);
        let mut byte = [0];
        (&self.plain).read_bytes(self.geometry.bitmap_at(group) + u64::from(bit / 8), &mut byte).unwrap();
        self.geometry.data().contains(&block) && byte[0] & 1 << (bit % 8) == 0
    }

    /// A store past the cache, as all into blocks that are free.
    fn fill(&self, at: u64, len: u64) -> Result {
        let flaky = self.flaky.get();
        if flaky > 0 && len > 0 && self.rng.borrow_mut().below(flaky) == 0 {
            let block = (at + self.rng.borrow_mut().below(len)) / BLOCK;
            if self.is_free(block) {
                self.lose(block);
                self.failed.set(self.failed.get() + 1);
            }
        }
        self.change(at, len)
    }

    /// The first line of a range that is lost.
    pub fn first(&self, at: u64, len: u64) -> Option<u64> {
        let end = at.saturating_add(len).div_ceil(LINE).max(at / LINE);
        self.lost.borrow().range(at / LINE..end).next().copied()
    }

    fn load(&self, at: u64, len: u64) -> Result {
        self.first(at, len).map_or(Ok(()), |_| Err(Error::Poison { at }))
    }

    fn change(&self, at: u64, len: u64) -> Result {
        if self.known.get() {
            self.load(at, len)
        } else {
            Ok(())
        }
    }

    fn word(&self, at: u64, first: u32, count: u32) -> Result {
        // A bit is changed by an instruction that loads.
        self.load(at + u64::from(first / 64) * 8, u64::from(count.div_ceil(64)) * 8)
    }
}

impl Pmem for &Lossy {
    fn size(&self) -> u64 {
        (&self.plain).size()
    }

    fn read_bytes(&self, at: u64, into: &mut [u8]) -> Result {
        self.load(at, into.len() as u64)?;
        (&self.plain).read_bytes(at, into)
    }

    fn first_lost(&self, at: u64, len: u64) -> Option<u64> {
        self.first(at, len).filter(|_| self.known.get()).map(|line| (line * LINE).max(at))
    }
}

impl PmemMut for &Lossy {
    fn store(&self, at: u64, bytes: &[u8]) -> Result {
        self.change(at, bytes.len() as u64)?;
        (&self.plain).store(at, bytes)
    }

    fn store_nt(&self, at: u64, bytes: &[u8]) -> Result {
        self.fill(at, bytes.len() as u64)?;
        (&self.plain).store_nt(at, bytes)
    }

    fn zero(&self, at: u64, len: u64) -> Result {
        self.change(at, len)?;
        (&self.plain).zero(at, len)
    }

    fn zero_nt(&self, at: u64, len: u64) -> Result {
        self.fill(at, len)?;
        (&self.plain).zero_nt(at, len)
    }

    fn flush(&self, _at: u64, _len: u64) {}

    fn fence(&self) {}

    fn set_bits(&self, at: u64, first: u32, count: u32) -> Result {
        self.word(at, first, count)?;
        (&self.plain).set_bits(at, first, count)
    }

    fn clear_bits(&self, at: u64, first: u32, count: u32) -> Result {
        self.word(at, first, count)?;
        (&self.plain).clear_bits(at, first, count)
    }
}

impl Machine for &Lossy {
    fn cpu(&self) -> u32 {
        (&self.plain).cpu()
    }

    fn lane<R>(&self, lane: u32, f: impl FnOnce(&mut Lane) -> R) -> R {
        (&self.plain).lane(lane, f)
    }

    fn checkpoint<R>(&self, f: impl FnOnce(&mut Checkpoint) -> R) -> R {
        (&self.plain).checkpoint(f)
    }

    fn table<R>(&self, f: impl FnOnce() -> R) -> R {
        (&self.plain).table(f)
    }

    fn gone<R>(&self, f: impl FnOnce(&mut Gone) -> R) -> R {
        (&self.plain).gone(f)
    }

    fn group<R>(&self, group: u32, f: impl FnOnce(GroupMut<'_>) -> R) -> R {
        (&self.plain).group(group, f)
    }

    fn limbo<R>(&self, f: impl FnOnce(LimboMut<'_>) -> R) -> R {
        (&self.plain).limbo(f)
    }

    fn inodes<R>(&self, f: impl FnOnce(InodesMut<'_>) -> R) -> R {
        (&self.plain).inodes(f)
    }

    fn draw(&self) -> u64 {
        (&self.plain).draw()
    }

    fn drawn(&self) -> u64 {
        (&self.plain).drawn()
    }

    fn set_drawn(&self, seq: u64) {
        (&self.plain).set_drawn(seq);
    }

    fn random(&self) -> u64 {
        (&self.plain).random()
    }
}
