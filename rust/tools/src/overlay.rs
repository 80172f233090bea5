// SPDX-License-Identifier: GPL-2.0

//! Tools: a machine of one CPU over an image. What the core stores (a replay of the log, say) goes into blocks in memory that
//! hide those of the image, which is never written; or, for repairs, to the image.

use std::cell::{Cell, RefCell};
use std::collections::btree_map::{BTreeMap, Entry};

use pfnfs_core::media::{Error, Geometry, Pmem, PmemMut, Result, BLOCK};
use pfnfs_core::meta::machine::{
    Checkpoint, Gone, GroupMut, GroupState, InodesMut, InodesState, Lane, LimboEntry, LimboMut, LimboState, Machine,
    LIMBO_MIN,
};

use crate::image::Image;

/// An image with the blocks that were stored to since it was opened, or a way to store to it.
pub struct Overlay<'a> {
    image: &'a Image,
    /// Stores go to the image.
    through: bool,
    blocks: RefCell<BTreeMap<u64, Vec<u8>>>,
    lanes: Vec<RefCell<Lane>>,
    checkpoint: RefCell<Checkpoint>,
    gone: RefCell<Gone>,
    groups: Vec<RefCell<(Vec<u64>, GroupState)>>,
    limbo: RefCell<(Vec<LimboEntry>, LimboState)>,
    inodes: RefCell<(Vec<u64>, Vec<u64>, InodesState)>,
    drawn: Cell<u64>,
}

impl<'a> Overlay<'a> {
    /// An overlay without any block, with state in the sizes that `geometry` asks for.
    pub fn new(image: &'a Image, geometry: &Geometry) -> Self {
        let group = || RefCell::new((vec![0; geometry.group_words()], GroupState::default()));
        Self {
            image,
            through: false,
            blocks: RefCell::default(),
            lanes: (0..geometry.lanes()).map(|_| RefCell::default()).collect(),
            checkpoint: RefCell::default(),
            gone: RefCell::default(),
            groups: (0..geometry.groups()).map(|_| group()).collect(),
            limbo: RefCell::new((vec![LimboEntry::default(); LIMBO_MIN], LimboState::default())),
            inodes: RefCell::new((
                vec![0; (geometry.max_inodes() / 64) as usize],
                vec![0; geometry.max_chunks() as usize],
                InodesState::default(),
            )),
            drawn: Cell::new(0),
        }
    }

    /// The same, but what is stored goes to the image.
    pub fn through(image: &'a Image, geometry: &Geometry) -> Self {
        Self { through: true, ..Self::new(image, geometry) }
    }

    /// Splits `len` bytes from `at` on at the boundaries of blocks: block, offset in it, range in the caller's buffer.
    fn pieces(at: u64, len: usize) -> impl Iterator<Item = (u64, usize, std::ops::Range<usize>)> {
        let mut done = 0;
        std::iter::from_fn(move || {
            let here = at + done as u64;
            let offset = (here % BLOCK) as usize;
            let piece = (len - done).min(BLOCK as usize - offset);
            let range = done..done + piece;
            done += piece;
            (piece > 0).then_some((here / BLOCK, offset, range))
        })
    }

    fn inside(&self, at: u64, len: u64) -> Result {
        let end = at.checked_add(len).ok_or(Error::Invalid("past the end of the media"))?;
        if end > self.size() {
            return Err(Error::Invalid("past the end of the media"));
        }
        Ok(())
    }

    fn change_bits(&self, at: u64, first: u32, count: u32, set: bool) -> Result {
        let end = first.checked_add(count).ok_or(Error::Invalid("too many bits"))?;
        let (low, high) = (u64::from(first / 8), u64::from(end.div_ceil(8)));
        let mut bytes = vec![0; (high - low) as usize];
        self.read_bytes(at + low, &mut bytes)?;
        for bit in first..end {
            if let Some(byte) = bytes.get_mut((u64::from(bit / 8) - low) as usize) {
                let mask = 1 << (bit % 8);
                *byte = if set { *byte | mask } else { *byte & !mask };
            }
        }
        self.store(at + low, &bytes)
    }
}

impl Pmem for Overlay<'_> {
    fn size(&self) -> u64 {
        self.image.size()
    }

    fn read_bytes(&self, at: u64, into: &mut [u8]) -> Result {
        self.image.read_bytes(at, into)?;
        let blocks = self.blocks.borrow();
        for (block, offset, range) in Self::pieces(at, into.len()) {
            let stored = blocks.get(&block).and_then(|bytes| bytes.get(offset..offset + range.len()));
            if let (Some(stored), Some(out)) = (stored, into.get_mut(range)) {
                out.copy_from_slice(stored);
            }
        }
        Ok(())
    }
}

impl PmemMut for Overlay<'_> {
    fn store(&self, at: u64, bytes: &[u8]) -> Result {
        if self.through {
            return self.image.store(at, bytes);
        }
        self.inside(at, bytes.len() as u64)?;
        let mut blocks = self.blocks.borrow_mut();
        for (block, offset, range) in Self::pieces(at, bytes.len()) {
            if let Entry::Vacant(vacant) = blocks.entry(block) {
                let start = block * BLOCK;
                let mut content = vec![0; BLOCK.min(self.size() - start) as usize];
                self.image.read_bytes(start, &mut content)?;
                vacant.insert(content);
            }
            let piece = blocks.get_mut(&block).and_then(|content| content.get_mut(offset..offset + range.len()));
            if let (Some(piece), Some(new)) = (piece, bytes.get(range)) {
                piece.copy_from_slice(new);
            }
        }
        Ok(())
    }

    fn store_nt(&self, at: u64, bytes: &[u8]) -> Result {
        self.store(at, bytes)
    }

    fn zero(&self, at: u64, len: u64) -> Result {
        self.inside(at, len)?;
        self.store(at, &vec![0; len as usize])
    }

    fn zero_nt(&self, at: u64, len: u64) -> Result {
        self.zero(at, len)
    }

    fn flush(&self, _at: u64, _len: u64) {}

    fn fence(&self) {}

    fn set_bits(&self, at: u64, first: u32, count: u32) -> Result {
        self.change_bits(at, first, count, true)
    }

    fn clear_bits(&self, at: u64, first: u32, count: u32) -> Result {
        self.change_bits(at, first, count, false)
    }
}

impl Machine for Overlay<'_> {
    fn cpu(&self) -> u32 {
        0
    }

    fn lane<R>(&self, lane: u32, f: impl FnOnce(&mut Lane) -> R) -> R {
        f(&mut self.lanes[lane as usize].borrow_mut())
    }

    fn checkpoint<R>(&self, f: impl FnOnce(&mut Checkpoint) -> R) -> R {
        f(&mut self.checkpoint.borrow_mut())
    }

    fn table<R>(&self, f: impl FnOnce() -> R) -> R {
        f()
    }

    fn gone<R>(&self, f: impl FnOnce(&mut Gone) -> R) -> R {
        f(&mut self.gone.borrow_mut())
    }

    fn group<R>(&self, group: u32, f: impl FnOnce(GroupMut<'_>) -> R) -> R {
        let (bits, state) = &mut *self.groups[group as usize].borrow_mut();
        f(GroupMut { bits, state })
    }

    fn limbo<R>(&self, f: impl FnOnce(LimboMut<'_>) -> R) -> R {
        let (list, state) = &mut *self.limbo.borrow_mut();
        f(LimboMut { list, state })
    }

    fn inodes<R>(&self, f: impl FnOnce(InodesMut<'_>) -> R) -> R {
        let (bits, chunks, state) = &mut *self.inodes.borrow_mut();
        f(InodesMut { bits, chunks, state })
    }

    fn draw(&self) -> u64 {
        self.drawn.set(self.drawn.get() + 1);
        self.drawn.get()
    }

    fn drawn(&self) -> u64 {
        self.drawn.get()
    }

    fn set_drawn(&self, seq: u64) {
        self.drawn.set(seq);
    }

    /// Nothing that is drawn here reaches the media.
    fn random(&self) -> u64 {
        let bytes = uuid::Uuid::new_v4().into_bytes();
        bytes.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte))
    }
}
