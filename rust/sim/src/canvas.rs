// SPDX-License-Identifier: GPL-2.0

//! Memory that is painted on and wiped clean: an image, and an undo list, so that trying many variants of an image costs what
//! they differ in.

use std::cell::RefCell;

use pfnfs_core::media::{Pmem, PmemMut, Result};
use zerocopy::IntoBytes;

use crate::plain::range;

/// The image as it is now, and what its words were before.
#[derive(Default)]
struct Painted {
    words: Vec<u64>,
    undo: Vec<(usize, u64)>,
}

/// The memory.
#[derive(Default)]
pub struct Canvas(RefCell<Painted>);

impl Canvas {
    /// Takes another image.
    pub fn mount(&self, words: Vec<u64>) {
        *self.0.borrow_mut() = Painted { words, undo: Vec::new() };
    }

    /// Changes words.
    pub fn paint(&self, words: impl Iterator<Item = (usize, u64)>) {
        let painted = &mut *self.0.borrow_mut();
        for (word, value) in words {
            painted.undo.push((word, painted.words[word]));
            painted.words[word] = value;
        }
    }

    /// Back to the image that was mounted.
    pub fn wipe(&self) {
        let painted = &mut *self.0.borrow_mut();
        while let Some((word, value)) = painted.undo.pop() {
            painted.words[word] = value;
        }
    }

    /// A copy of the image as it is now.
    pub fn words(&self) -> Vec<u64> {
        self.0.borrow().words.clone()
    }

    fn change(&self, at: u64, len: usize, f: impl FnOnce(&mut [u8])) -> Result {
        let painted = &mut *self.0.borrow_mut();
        let range = range(painted.words.len() * 8, at, len)?;
        for word in range.start / 8..range.end.div_ceil(8) {
            painted.undo.push((word, painted.words[word]));
        }
        f(&mut painted.words.as_mut_bytes()[range]);
        Ok(())
    }

    fn bits(&self, at: u64, first: u32, count: u32, set: bool) -> Result {
        assert_eq!(at % 8, 0);
        self.change(at + u64::from(first / 8), ((first + count).div_ceil(8) - first / 8) as usize, |bytes| {
            for bit in first % 8..first % 8 + count {
                let (byte, mask) = (&mut bytes[bit as usize / 8], 1 << (bit % 8));
                *byte = if set { *byte | mask } else { *byte & !mask };
            }
        })
    }
}

impl Pmem for Canvas {
    fn size(&self) -> u64 {
        self.0.borrow().words.len() as u64 * 8
    }

    fn read_bytes(&self, at: u64, into: &mut [u8]) -> Result {
        let painted = self.0.borrow();
        let bytes = painted.words.as_bytes();
        into.copy_from_slice(&bytes[range(bytes.len(), at, into.len())?]);
        Ok(())
    }
}

impl PmemMut for Canvas {
    fn store(&self, at: u64, bytes: &[u8]) -> Result {
        self.change(at, bytes.len(), |to| to.copy_from_slice(bytes))
    }

    fn store_nt(&self, at: u64, bytes: &[u8]) -> Result {
        self.store(at, bytes)
    }

    fn zero(&self, at: u64, len: u64) -> Result {
        self.change(at, len as usize, |to| to.fill(0))
    }

    fn zero_nt(&self, at: u64, len: u64) -> Result {
        self.zero(at, len)
    }

    fn flush(&self, _at: u64, _len: u64) {}

    fn fence(&self) {}

    fn set_bits(&self, at: u64, first: u32, count: u32) -> Result {
        self.bits(at, first, count, true)
    }

    fn clear_bits(&self, at: u64, first: u32, count: u32) -> Result {
        self.bits(at, first, count, false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_painted_is_wiped() {
        let canvas = Canvas::default();
        canvas.mount((0..64).collect());
        canvas.paint([(3, 77), (4, 78)].into_iter());
        canvas.store(29, &[9; 11]).unwrap();
        canvas.set_bits(64, 60, 9).unwrap();
        canvas.clear_bits(8, 0, 1).unwrap();
        canvas.zero(3 * 8, 1).unwrap();
        let words = canvas.words();
        assert_eq!((words[1], words[8] >> 60, words[9]), (0, 15, 9 | 31));
        assert_eq!(words[3], 0x0909_0900_0000_0000);
        canvas.wipe();
        assert_eq!(canvas.words(), (0..64).collect::<Vec<u64>>());
    }
}
