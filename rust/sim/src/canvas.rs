// SPDX-License-Identifier: GPL-2.0

//! Memory that is painted on and wiped clean: an image, and an undo list, so that trying many variants of an image costs what
//! they differ in.

use std::cell::RefCell;
use std::collections::BTreeSet;

use pfnfs_core::media::{Error, Pmem, PmemMut, Result, LINE};

use crate::image::Image;
use crate::plain::range;

/// The image as it is now, and what its words were before.
#[derive(Default)]
struct Painted {
    words: Image,
    undo: Vec<(usize, u64)>,
}

/// The memory.
#[derive(Default)]
pub struct Canvas(RefCell<Painted>, RefCell<BTreeSet<u64>>);

impl Canvas {
    /// Takes another image.
    pub fn mount(&self, words: impl Into<Image>) {
        *self.0.borrow_mut() = Painted { words: words.into(), undo: Vec::new() };
    }

    /// Changes words.
    pub fn paint(&self, words: impl Iterator<Item = (usize, u64)>) {
        let painted = &mut *self.0.borrow_mut();
        for (word, value) in words {
            painted.undo.push((word, painted.words.get(word)));
            painted.words.set(word, value);
        }
    }

    /// Back to the image that was mounted.
    pub fn wipe(&self) {
        self.undo(0);
    }

    /// Takes all changes back but for the first so many.
    pub fn undo(&self, changes: usize) {
        let painted = &mut *self.0.borrow_mut();
        for (word, value) in painted.undo.drain(changes..).rev() {
            painted.words.set(word, value);
        }
    }

    /// Loses these lines: whoever loads from one, or stores to it, gets `Poison`.
    pub fn lose(&self, lines: BTreeSet<u64>) {
        *self.1.borrow_mut() = lines;
    }

    fn lost_in(&self, at: u64, len: u64) -> Option<u64> {
        let lost = self.1.borrow();
        if lost.is_empty() {
            return None;
        }
        lost.range(at / LINE..at.saturating_add(len).div_ceil(LINE).max(at / LINE)).next().copied()
    }

    fn whole(&self, at: u64, len: u64) -> Result {
        self.lost_in(at, len).map_or(Ok(()), |line| Err(Error::Poison { at: line * LINE }))
    }

    /// How many changes there were since the image was as it was mounted.
    pub fn changes(&self) -> usize {
        self.0.borrow().undo.len()
    }

    /// A copy of the image as it is now.
    pub fn words(&self) -> Image {
        self.0.borrow().words.clone()
    }

    fn change(&self, at: u64, len: usize, f: impl FnMut(&mut [u8], usize)) -> Result {
        self.whole(at, len as u64)?;
        let painted = &mut *self.0.borrow_mut();
        let range = range(painted.words.len() * 8, at, len)?;
        for word in range.start / 8..range.end.div_ceil(8) {
            painted.undo.push((word, painted.words.get(word)));
        }
        painted.words.change(range, f);
        Ok(())
    }

    fn bits(&self, at: u64, first: u32, count: u32, set: bool) -> Result {
        assert_eq!(at % 8, 0);
        self.change(at + u64::from(first / 8), ((first + count).div_ceil(8) - first / 8) as usize, |bytes, from| {
            let here = from..from + bytes.len();
            for bit in (first % 8..first % 8 + count).filter(|bit| here.contains(&(*bit as usize / 8))) {
                let (byte, mask) = (&mut bytes[bit as usize / 8 - from], 1 << (bit % 8));
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
        self.whole(at, into.len() as u64)?;
        let painted = self.0.borrow();
        painted.words.read(range(painted.words.len() * 8, at, into.len())?.start, into);
        Ok(())
    }

    fn first_lost(&self, at: u64, len: u64) -> Option<u64> {
        self.lost_in(at, len).map(|line| (line * LINE).max(at))
    }
}

impl PmemMut for Canvas {
    fn store(&self, at: u64, bytes: &[u8]) -> Result {
        self.change(at, bytes.len(), |to, from| to.copy_from_slice(&bytes[from..from + to.len()]))
    }

    fn store_nt(&self, at: u64, bytes: &[u8]) -> Result {
        self.store(at, bytes)
    }

    fn zero(&self, at: u64, len: u64) -> Result {
        self.change(at, len as usize, |to, _| to.fill(0))
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
        canvas.mount((0..64).collect::<Vec<u64>>());
        canvas.paint([(3, 77), (4, 78)].into_iter());
        canvas.store(29, &[9; 11]).unwrap();
        canvas.set_bits(64, 60, 9).unwrap();
        canvas.clear_bits(8, 0, 1).unwrap();
        canvas.zero(3 * 8, 1).unwrap();
        let words = canvas.words().to_vec();
        assert_eq!((words[1], words[8] >> 60, words[9]), (0, 15, 9 | 31));
        assert_eq!(words[3], 0x0909_0900_0000_0000);
        canvas.wipe();
        assert_eq!(canvas.words().to_vec(), (0..64).collect::<Vec<u64>>());
    }
}
