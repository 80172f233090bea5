// SPDX-License-Identifier: GPL-2.0

//! Memory of one CPU that remembers what a power cut would leave: for the images whose log is not empty.

use std::cell::{Cell, RefCell};

use pfnfs_core::media::{Error, Pmem, PmemMut, Result};

use crate::media::{Cut, Media};
use crate::random::Random;

/// The memory. Reads show the stores, [`Lossy::cut`] what is durable.
pub struct Lossy {
    media: RefCell<Media>,
    /// Whether to keep what is durable at every fence.
    pub keep: Cell<bool>,
    /// What was kept.
    pub kept: RefCell<Vec<Vec<u8>>>,
}

impl Lossy {
    /// Zeroes.
    pub fn new(size: usize) -> Self {
        Self { media: RefCell::new(Media::new(vec![0; size / 8], 1)), keep: Cell::new(false), kept: RefCell::default() }
    }

    /// What a cut now leaves if every store that could be lost is.
    pub fn cut(&self) -> Vec<u8> {
        let words = self.media.borrow().cut(Cut::All, &mut Random::new(0));
        words.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    fn range(&self, at: u64, len: u64) -> Result<usize> {
        let end = at.checked_add(len).filter(|end| *end <= self.size());
        end.map(|_| at as usize).ok_or(Error::Invalid("past the end of the media"))
    }

    fn bits(&self, at: u64, first: u32, count: u32, f: impl Fn(u64, u64) -> u64) -> Result {
        self.range(at, u64::from(first + count).div_ceil(8))?;
        for bit in first..first + count {
            let word = at as usize / 8 + bit as usize / 64;
            self.media.borrow_mut().change(0, word, |old| f(old, 1 << (bit % 64)));
        }
        Ok(())
    }
}

impl Pmem for Lossy {
    fn size(&self) -> u64 {
        self.media.borrow().len() as u64
    }

    fn read_bytes(&self, at: u64, into: &mut [u8]) -> Result {
        let at = self.range(at, into.len() as u64)?;
        self.media.borrow().read(0, at, into);
        Ok(())
    }
}

impl PmemMut for Lossy {
    fn store(&self, at: u64, bytes: &[u8]) -> Result {
        let at = self.range(at, bytes.len() as u64)?;
        self.media.borrow_mut().store(0, at, bytes);
        Ok(())
    }

    fn store_nt(&self, at: u64, bytes: &[u8]) -> Result {
        let at = self.range(at, bytes.len() as u64)?;
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
        self.media.borrow_mut().fence(0);
        if self.keep.get() {
            self.kept.borrow_mut().push(self.cut());
        }
    }

    fn set_bits(&self, at: u64, first: u32, count: u32) -> Result {
        self.bits(at, first, count, |old, mask| old | mask)
    }

    fn clear_bits(&self, at: u64, first: u32, count: u32) -> Result {
        self.bits(at, first, count, |old, mask| old & !mask)
    }
}
