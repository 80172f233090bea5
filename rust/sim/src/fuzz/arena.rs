// SPDX-License-Identifier: GPL-2.0

//! Memory for one image after the other: starts as a copy of a base, counts and bounds every access, and goes back to the base by
//! copying the blocks that differ.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use pfnfs_core::media::{Pmem, PmemMut, Result, BLOCK};

/// Bytes in a block, as an index.
const SIZE: usize = BLOCK as usize;

/// The memory.
pub struct Arena {
    base: Arc<Vec<u8>>,
    bytes: RefCell<Vec<u8>>,
    /// Blocks that may differ from the base; and the same by block.
    dirty: RefCell<Vec<usize>>,
    marked: RefCell<Vec<bool>>,
    size: Cell<usize>,
    accesses: Cell<u64>,
    limit: Cell<u64>,
    stores: Cell<u64>,
    sealed: Cell<bool>,
}

impl Arena {
    /// A copy of `base`, in whole blocks.
    pub fn new(base: Arc<Vec<u8>>) -> Self {
        let (bytes, blocks) = (base.to_vec(), base.len() / SIZE);
        Self {
            size: Cell::new(bytes.len()),
            bytes: RefCell::new(bytes),
            dirty: RefCell::default(),
            marked: RefCell::new(vec![false; blocks]),
            base,
            accesses: Cell::new(0),
            limit: Cell::new(u64::MAX),
            stores: Cell::new(0),
            sealed: Cell::new(false),
        }
    }

    /// Back to the base.
    pub fn restore(&self) {
        let (mut bytes, mut marked) = (self.bytes.borrow_mut(), self.marked.borrow_mut());
        for block in self.dirty.borrow_mut().drain(..) {
            let range = block * SIZE..(block + 1) * SIZE;
            bytes[range.clone()].copy_from_slice(&self.base[range]);
            marked[block] = false;
        }
        self.size.set(bytes.len());
        self.stores.set(0);
        self.sealed.set(false);
        self.limit.set(u64::MAX);
    }

    /// From now on the superblocks must not be stored to: there is a volume.
    pub fn seal(&self) {
        self.sealed.set(true);
    }

    /// Makes the memory smaller than the base.
    pub fn shrink(&self, size: usize) {
        self.size.set(size.min(self.base.len()));
    }

    /// Blocks of the base.
    pub fn blocks(&self) -> u64 {
        (self.base.len() / SIZE) as u64
    }

    /// Allows this many accesses from now on: who needs more does not end, and panics.
    pub fn allow(&self, accesses: u64) {
        self.accesses.set(0);
        self.limit.set(accesses);
    }

    /// Accesses since [`Arena::allow`].
    pub fn accesses(&self) -> u64 {
        self.accesses.get()
    }

    /// Stores since [`Arena::restore`].
    pub fn stores(&self) -> u64 {
        self.stores.get()
    }

    /// Changes bytes behind everybody's back; what lies outside is left out.
    pub fn poke(&self, at: u64, bytes: &[u8]) {
        let mut memory = self.bytes.borrow_mut();
        let start = (at as usize).min(memory.len());
        let end = start.saturating_add(bytes.len()).min(memory.len());
        self.mark(start, end - start);
        memory[start..end].copy_from_slice(&bytes[..end - start]);
    }

    /// The bytes there, as many as there are.
    pub fn peek(&self, at: u64, len: usize) -> Vec<u8> {
        let memory = self.bytes.borrow();
        let start = (at as usize).min(memory.len());
        memory[start..start.saturating_add(len).min(memory.len())].to_vec()
    }

    /// What differs from the base: position and bytes, in pieces that are at least 16 bytes apart.
    pub fn differences(&self) -> Vec<(u64, Vec<u8>)> {
        let memory = self.bytes.borrow();
        let mut blocks = self.dirty.borrow().clone();
        blocks.sort_unstable();
        let mut found: Vec<(u64, Vec<u8>)> = Vec::new();
        for at in blocks.into_iter().flat_map(|block| block * SIZE..(block + 1) * SIZE) {
            if memory[at] == self.base[at] {
                continue;
            }
            match found.last_mut() {
                Some((start, piece)) if at - (*start as usize + piece.len()) < 16 => {
                    let from = *start as usize + piece.len();
                    piece.extend_from_slice(&memory[from..=at]);
                }
                _ => found.push((at as u64, vec![memory[at]])),
            }
        }
        found
    }

    fn mark(&self, at: usize, len: usize) {
        let mut marked = self.marked.borrow_mut();
        for block in at / SIZE..(at + len).div_ceil(SIZE) {
            if !std::mem::replace(&mut marked[block], true) {
                self.dirty.borrow_mut().push(block);
            }
        }
    }

    /// Counts an access; panics if it leaves the memory or is one too many.
    fn access(&self, at: u64, len: u64) -> std::ops::Range<usize> {
        self.accesses.set(self.accesses.get() + 1);
        assert!(self.accesses.get() <= self.limit.get(), "more than {} accesses: this does not end", self.limit.get());
        let end = at.checked_add(len).filter(|end| *end <= self.size.get() as u64);
        let end = end.unwrap_or_else(|| panic!("access to {len} bytes at {at}, outside the media"));
        at as usize..end as usize
    }

    fn change(&self, at: u64, len: u64) -> std::ops::Range<usize> {
        let range = self.access(at, len);
        let last = (self.size.get() / SIZE * SIZE).saturating_sub(SIZE);
        assert!(!self.sealed.get() || range.start >= SIZE && range.end <= last, "store to a superblock, at {at}");
        self.stores.set(self.stores.get() + 1);
        self.mark(range.start, range.len());
        range
    }

    fn bits(&self, at: u64, first: u32, count: u32, f: impl Fn(&mut u8, u8)) {
        assert_eq!(at % 8, 0, "bits are relative to a word");
        let end = first.checked_add(count).expect("bits within their bitmap");
        let range = self.change(at + u64::from(first) / 8, u64::from(end).div_ceil(8) - u64::from(first) / 8);
        let mut memory = self.bytes.borrow_mut();
        for bit in first..end {
            f(&mut memory[range.start - first as usize / 8 + bit as usize / 8], 1 << (bit % 8));
        }
    }
}

impl Pmem for &Arena {
    fn size(&self) -> u64 {
        self.size.get() as u64
    }

    fn read_bytes(&self, at: u64, into: &mut [u8]) -> Result {
        assert!(into.len() <= 1024, "the core reads in small pieces");
        into.copy_from_slice(&self.bytes.borrow()[self.access(at, into.len() as u64)]);
        Ok(())
    }
}

impl PmemMut for &Arena {
    fn store(&self, at: u64, bytes: &[u8]) -> Result {
        let range = self.change(at, bytes.len() as u64);
        self.bytes.borrow_mut()[range].copy_from_slice(bytes);
        Ok(())
    }

    fn store_nt(&self, at: u64, bytes: &[u8]) -> Result {
        self.store(at, bytes)
    }

    fn zero(&self, at: u64, len: u64) -> Result {
        let range = self.change(at, len);
        self.bytes.borrow_mut()[range].fill(0);
        Ok(())
    }

    fn zero_nt(&self, at: u64, len: u64) -> Result {
        self.zero(at, len)
    }

    fn flush(&self, at: u64, len: u64) {
        self.access(at, len);
    }

    fn fence(&self) {}

    fn set_bits(&self, at: u64, first: u32, count: u32) -> Result {
        self.bits(at, first, count, |byte, mask| *byte |= mask);
        Ok(())
    }

    fn clear_bits(&self, at: u64, first: u32, count: u32) -> Result {
        self.bits(at, first, count, |byte, mask| *byte &= !mask);
        Ok(())
    }
}
