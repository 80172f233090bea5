// SPDX-License-Identifier: GPL-2.0

//! Memory of one CPU that counts what is stored.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;

use pfnfs_core::media::{Error, Geometry, Pmem, PmemMut, Result};
use pfnfs_sim::media::Media;
use pfnfs_sim::plain::{Memory, Plain};

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
    log: std::ops::Range<u64>,
    lines: RefCell<BTreeSet<u64>>,
    cost: Cell<Cost>,
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
    /// A machine for the volume in this image, for the life of the test.
    pub fn machine(image: Vec<u64>) -> &'static Plain<Self> {
        let geometry = Geometry::read(&memory(&image)).unwrap();
        let this = Self {
            media: RefCell::new(Media::new(image, 1)),
            reads: Cell::new(0),
            log: geometry.half_at(0, 0)..geometry.half_at(geometry.lanes(), 0),
            lines: RefCell::default(),
            cost: Cell::default(),
        };
        Box::leak(Box::new(Plain::new(this, &geometry)))
    }

    pub fn take_cost(&self) -> Cost {
        let dirty = std::mem::take(&mut *self.lines.borrow_mut()).len();
        Cost { dirty, ..self.cost.take() }
    }

    fn range(&self, at: u64, len: usize) -> Result<usize> {
        let end = at.checked_add(len as u64).filter(|end| *end <= self.size());
        end.map(|_| at as usize).ok_or(Error::Invalid("past the end of the media"))
    }

    fn touch(&self, at: u64, len: u64) {
        self.lines.borrow_mut().extend(at / 64..(at + len).div_ceil(64));
    }
}

impl Pmem for Fragile {
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

impl PmemMut for Fragile {
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
