// SPDX-License-Identifier: GPL-2.0

//! A machine of one CPU that counts what is stored, and keeps what a power cut would leave before each of its fences.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;

use pfnfs_core::media::{Error, Geometry, Pmem, PmemMut, Result};
use pfnfs_core::meta::machine::*;
use pfnfs_sim::media::{Cut, Media};
use pfnfs_sim::plain::{Memory, State};
use pfnfs_sim::random::Random;

/// What was stored since the last [`Fragile::take_cost`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Lines of the log.
    pub log: usize,
    /// Other lines stored non-temporally.
    pub fresh: usize,
    pub fences: usize,
    /// Lines that ordinary stores changed, to be written back later.
    pub dirty: usize,
}

pub struct Fragile {
    pub media: RefCell<Media>,
    /// Reads so far: work that does not end shows here.
    pub reads: Cell<u64>,
    state: State,
    log: std::ops::Range<u64>,
    lines: RefCell<BTreeSet<u64>>,
    cost: Cell<Cost>,
    /// Images to keep at a fence.
    pub cuts: Cell<usize>,
    pub images: RefCell<Vec<Vec<u64>>>,
    random: RefCell<Random>,
}

/// The image as memory that forgets nothing.
pub fn memory(image: &[u64]) -> Memory {
    Memory(RefCell::new(image.iter().flat_map(|word| word.to_le_bytes()).collect()))
}

/// The words of memory.
pub fn words(memory: &Memory) -> Vec<u64> {
    memory.0.borrow().chunks_exact(8).map(|word| u64::from_le_bytes(word.try_into().unwrap())).collect()
}

impl Fragile {
    /// For the life of the test.
    pub fn new(image: Vec<u64>, seed: u64) -> &'static Self {
        let geometry = Geometry::read(&memory(&image)).unwrap();
        Box::leak(Box::new(Self::with(image, &geometry, seed)))
    }

    pub fn with(image: Vec<u64>, geometry: &Geometry, seed: u64) -> Self {
        let end = geometry.half_at(geometry.lanes(), 0);
        Self {
            media: RefCell::new(Media::new(image, 1)),
            reads: Cell::new(0),
            state: State::new(geometry),
            log: geometry.half_at(0, 0)..end,
            lines: RefCell::default(),
            cost: Cell::default(),
            cuts: Cell::new(0),
            images: RefCell::default(),
            random: RefCell::new(Random::new(seed)),
        }
    }

    pub fn take_cost(&self) -> Cost {
        let dirty = std::mem::take(&mut *self.lines.borrow_mut()).len();
        Cost { dirty, ..self.cost.take() }
    }

    /// Keeps what cuts now would leave.
    pub fn keep_images(&self) {
        let (media, mut random) = (self.media.borrow(), self.random.borrow_mut());
        let cuts = [Cut::All, Cut::Nothing, Cut::Some(128), Cut::Some(40), Cut::Some(220)];
        for cut in cuts.into_iter().take(self.cuts.get()) {
            self.images.borrow_mut().push(media.cut(cut, &mut random));
        }
    }

    fn range(&self, at: u64, len: usize) -> Result<usize> {
        let end = at.checked_add(len as u64).filter(|end| *end <= self.size());
        end.map(|_| at as usize).ok_or(Error::Invalid("past the end of the media"))
    }

    fn touch(&self, at: u64, len: u64) {
        self.lines.borrow_mut().extend(at / 64..(at + len).div_ceil(64));
    }
}

impl Pmem for &Fragile {
    fn size(&self) -> u64 {
        self.media.borrow().len() as u64
    }

    fn read_bytes(&self, at: u64, into: &mut [u8]) -> Result {
        assert!(into.len() <= 1024, "the core reads in small pieces");
        self.reads.set(self.reads.get() + 1);
        assert!(self.reads.get() < 20_000_000, "this does not end");
        let at = self.range(at, into.len())?;
        self.media.borrow().read(0, at, into);
        Ok(())
    }
}

impl PmemMut for &Fragile {
    fn store(&self, at: u64, bytes: &[u8]) -> Result {
        self.touch(at, bytes.len() as u64);
        let at = self.range(at, bytes.len())?;
        self.media.borrow_mut().store(0, at, bytes);
        Ok(())
    }

    fn store_nt(&self, at: u64, bytes: &[u8]) -> Result {
        let lines = ((at + bytes.len() as u64).div_ceil(64) - at / 64) as usize;
        let mut cost = self.cost.get();
        if self.log.contains(&at) {
            cost.log += lines;
        } else {
            cost.fresh += lines;
        }
        self.cost.set(cost);
        let at = self.range(at, bytes.len())?;
        self.media.borrow_mut().store_nt(0, at, bytes);
        Ok(())
    }

    fn zero(&self, at: u64, len: u64) -> Result {
        self.store(at, &vec![0; len as usize])
    }

    fn zero_nt(&self, at: u64, len: u64) -> Result {
        self.store_nt(at, &vec![0; len as usize])
    }

    fn flush(&self, at: u64, len: u64) {
        self.media.borrow_mut().flush(0, at as usize, len as usize);
    }

    fn fence(&self) {
        self.keep_images();
        let mut cost = self.cost.get();
        cost.fences += 1;
        self.cost.set(cost);
        self.media.borrow_mut().fence(0);
    }

    fn set_bits(&self, at: u64, first: u32, count: u32) -> Result {
        for bit in first..first + count {
            let word = at as usize / 8 + bit as usize / 64;
            self.touch(word as u64 * 8, 8);
            self.media.borrow_mut().change(0, word, |old| old | 1 << (bit % 64));
        }
        Ok(())
    }

    fn clear_bits(&self, at: u64, first: u32, count: u32) -> Result {
        for bit in first..first + count {
            let word = at as usize / 8 + bit as usize / 64;
            self.touch(word as u64 * 8, 8);
            self.media.borrow_mut().change(0, word, |old| old & !(1 << (bit % 64)));
        }
        Ok(())
    }
}

impl Machine for &Fragile {
    fn cpu(&self) -> u32 {
        0
    }

    fn lane<R>(&self, lane: u32, f: impl FnOnce(&mut Lane) -> R) -> R {
        f(&mut self.state.lanes[lane as usize].borrow_mut())
    }

    fn checkpoint<R>(&self, f: impl FnOnce(&mut Checkpoint) -> R) -> R {
        f(&mut self.state.checkpoint.borrow_mut())
    }

    fn table<R>(&self, f: impl FnOnce() -> R) -> R {
        let _guard = self.state.table.borrow_mut();
        f()
    }

    fn gone<R>(&self, f: impl FnOnce(&mut Gone) -> R) -> R {
        f(&mut self.state.gone.borrow_mut())
    }

    fn group<R>(&self, group: u32, f: impl FnOnce(GroupMut<'_>) -> R) -> R {
        let mut group = self.state.groups[group as usize].borrow_mut();
        let (bits, state) = &mut *group;
        f(GroupMut { bits, state })
    }

    fn limbo<R>(&self, f: impl FnOnce(LimboMut<'_>) -> R) -> R {
        let mut limbo = self.state.limbo.borrow_mut();
        let (list, state) = &mut *limbo;
        f(LimboMut { list, state })
    }

    fn inodes<R>(&self, f: impl FnOnce(InodesMut<'_>) -> R) -> R {
        let mut inodes = self.state.inodes.borrow_mut();
        let (bits, chunks, state) = &mut *inodes;
        f(InodesMut { bits, chunks, state })
    }

    fn draw(&self) -> u64 {
        self.state.drawn.set(self.state.drawn.get() + 1);
        self.state.drawn.get()
    }

    fn drawn(&self) -> u64 {
        self.state.drawn.get()
    }

    fn set_drawn(&self, seq: u64) {
        self.state.drawn.set(seq);
    }

    fn random(&self) -> u64 {
        self.random.borrow_mut().word()
    }
}
