// SPDX-License-Identifier: GPL-2.0

//! The simplest machine: memory that never loses anything, one CPU, locks that panic when they nest in the wrong way.

use std::cell::{Cell, RefCell};

use pfnfs_core::media::{Error, Geometry, Pmem, PmemMut, Result};
use pfnfs_core::meta::machine::*;

/// DRAM state of a volume.
pub struct State {
    pub lanes: Vec<RefCell<Lane>>,
    pub checkpoint: RefCell<Checkpoint>,
    pub table: RefCell<()>,
    pub gone: RefCell<Gone>,
    pub groups: Vec<RefCell<(Vec<u64>, GroupState)>>,
    pub limbo: RefCell<(Vec<LimboEntry>, LimboState)>,
    pub inodes: RefCell<(Vec<u64>, Vec<u64>, InodesState)>,
    pub drawn: Cell<u64>,
}

impl State {
    /// As the core wants it for this volume.
    pub fn new(geometry: &Geometry) -> Self {
        let group = || RefCell::new((vec![0; geometry.group_words()], GroupState::default()));
        let inodes = (
            vec![0; (geometry.max_inodes() / 64) as usize],
            vec![0; geometry.max_chunks() as usize],
            InodesState::default(),
        );
        Self {
            lanes: (0..geometry.lanes()).map(|_| RefCell::default()).collect(),
            checkpoint: RefCell::default(),
            table: RefCell::default(),
            gone: RefCell::default(),
            groups: (0..geometry.groups()).map(|_| group()).collect(),
            limbo: RefCell::new((vec![LimboEntry::default(); LIMBO_MIN], LimboState::default())),
            inodes: RefCell::new(inodes),
            drawn: Cell::new(0),
        }
    }
}

/// Memory without a volume on it: for mkfs and `Geometry::read`.
pub struct Memory(pub RefCell<Vec<u8>>);

impl Memory {
    /// Zeroes.
    pub fn new(size: usize) -> Self {
        Self(RefCell::new(vec![0; size]))
    }
}

/// The machine: memory and state. `&Plain` is what a volume is opened on, so that tests keep access.
pub struct Plain<P = Memory> {
    pub memory: P,
    pub state: State,
    /// What `cpu()` says.
    pub cpu: Cell<u32>,
    /// Whether the media can be stored to.
    pub writable: Cell<bool>,
    random: Cell<u64>,
}

impl<P> Plain<P> {
    /// A machine for the volume that is in this memory.
    pub fn new(memory: P, geometry: &Geometry) -> Self {
        let random = Cell::new(0x9e37_79b9_7f4a_7c15);
        Self { memory, state: State::new(geometry), cpu: Cell::new(0), writable: Cell::new(true), random }
    }
}

pub(crate) fn range(len: usize, at: u64, count: usize) -> Result<std::ops::Range<usize>> {
    let end = at.checked_add(count as u64).filter(|end| *end <= len as u64);
    end.map(|end| at as usize..end as usize).ok_or(Error::Invalid("past the end of the media"))
}

impl Pmem for Memory {
    fn size(&self) -> u64 {
        self.0.borrow().len() as u64
    }

    fn read_bytes(&self, at: u64, into: &mut [u8]) -> Result {
        let memory = self.0.borrow();
        into.copy_from_slice(&memory[range(memory.len(), at, into.len())?]);
        Ok(())
    }
}

impl PmemMut for Memory {
    fn store(&self, at: u64, bytes: &[u8]) -> Result {
        let mut memory = self.0.borrow_mut();
        let range = range(memory.len(), at, bytes.len())?;
        memory[range].copy_from_slice(bytes);
        Ok(())
    }

    fn store_nt(&self, at: u64, bytes: &[u8]) -> Result {
        self.store(at, bytes)
    }

    fn zero(&self, at: u64, len: u64) -> Result {
        let mut memory = self.0.borrow_mut();
        let range = range(memory.len(), at, len as usize)?;
        memory[range].fill(0);
        Ok(())
    }

    fn zero_nt(&self, at: u64, len: u64) -> Result {
        self.zero(at, len)
    }

    fn flush(&self, _at: u64, _len: u64) {}

    fn fence(&self) {}

    fn set_bits(&self, at: u64, first: u32, count: u32) -> Result {
        assert_eq!(at % 8, 0);
        let mut memory = self.0.borrow_mut();
        for bit in first..first + count {
            memory[at as usize + bit as usize / 8] |= 1 << (bit % 8);
        }
        Ok(())
    }

    fn clear_bits(&self, at: u64, first: u32, count: u32) -> Result {
        assert_eq!(at % 8, 0);
        let mut memory = self.0.borrow_mut();
        for bit in first..first + count {
            memory[at as usize + bit as usize / 8] &= !(1 << (bit % 8));
        }
        Ok(())
    }
}

impl<P: Pmem> Pmem for &Plain<P> {
    fn size(&self) -> u64 {
        self.memory.size()
    }

    fn read_bytes(&self, at: u64, into: &mut [u8]) -> Result {
        self.memory.read_bytes(at, into)
    }

    fn first_lost(&self, at: u64, len: u64) -> Option<u64> {
        self.memory.first_lost(at, len)
    }
}

impl<P: PmemMut> PmemMut for &Plain<P> {
    fn store(&self, at: u64, bytes: &[u8]) -> Result {
        self.memory.store(at, bytes)
    }
    fn store_nt(&self, at: u64, bytes: &[u8]) -> Result {
        self.memory.store_nt(at, bytes)
    }
    fn zero(&self, at: u64, len: u64) -> Result {
        self.memory.zero(at, len)
    }
    fn zero_nt(&self, at: u64, len: u64) -> Result {
        self.memory.zero_nt(at, len)
    }
    fn flush(&self, at: u64, len: u64) {
        self.memory.flush(at, len);
    }
    fn fence(&self) {
        self.memory.fence();
    }
    fn set_bits(&self, at: u64, first: u32, count: u32) -> Result {
        self.memory.set_bits(at, first, count)
    }
    fn clear_bits(&self, at: u64, first: u32, count: u32) -> Result {
        self.memory.clear_bits(at, first, count)
    }
}

impl<P: PmemMut> Machine for &Plain<P> {
    fn cpu(&self) -> u32 {
        self.cpu.get()
    }

    fn writable(&self) -> bool {
        self.writable.get()
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
        let next = self.random.get().wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        self.random.set(next);
        next
    }
}
