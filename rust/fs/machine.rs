// SPDX-License-Identifier: GPL-2.0

//! Layer fs: the media core's surroundings in the kernel: the media with the kernel's locks, and what they protect.
//!
//! Lock order: inode table > gone > checkpoint > lane; checkpoint > group, limbo, inode numbers. Lanes are spinlocks (what is
//! stored under one is fenced on the same CPU); all others are mutexes, under which nothing is allocated.

use kernel::cpu::CpuId;
use kernel::prelude::*;
use kernel::sync::atomic::{Atomic, Full, Relaxed};
use kernel::sync::{new_mutex, new_spinlock, Mutex, SpinLock};

use super::medium::Medium;
use crate::linux::random;
use crate::media::{self, Geometry, Pmem, PmemMut};
use crate::meta::machine::{
    Checkpoint, Gone, GroupMut, GroupState, InodesMut, InodesState, Lane, LimboEntry, LimboMut, LimboState, LIMBO_MIN,
};

/// Entries of the limbo list: former metadata blocks between two checkpoints.
const LIMBO: usize = if LIMBO_MIN > 4096 { LIMBO_MIN } else { 4096 };

struct Group {
    bits: KVec<u64>,
    state: GroupState,
}

struct Limbo {
    list: KVVec<LimboEntry>,
    state: LimboState,
}

struct Inodes {
    bits: KVVec<u64>,
    chunks: KVVec<u64>,
    state: InodesState,
}

/// The media of one mount and its locks.
pub(super) struct Machine {
    medium: Medium,
    lanes: KVec<Pin<KBox<SpinLock<Lane>>>>,
    checkpoint: Pin<KBox<Mutex<Checkpoint>>>,
    table: Pin<KBox<Mutex<()>>>,
    gone: Pin<KBox<Mutex<Gone>>>,
    groups: KVVec<Pin<KBox<Mutex<Group>>>>,
    limbo: Pin<KBox<Mutex<Limbo>>>,
    inodes: Pin<KBox<Mutex<Inodes>>>,
    drawn: Atomic<u64>,
    /// For indices that do not exist: the core never asks for one, and there is no panicking in a kernel.
    no_lane: Pin<KBox<SpinLock<Lane>>>,
    no_group: Pin<KBox<Mutex<Group>>>,
}

fn zeroes<T: Clone + Default>(n: usize) -> Result<KVVec<T>> {
    Ok(KVVec::from_elem(T::default(), n, GFP_KERNEL)?)
}

fn lane() -> Result<Pin<KBox<SpinLock<Lane>>>> {
    KBox::pin_init(new_spinlock!(Lane::default(), "pfnfs_lane"), GFP_KERNEL)
}

fn group(words: usize) -> Result<Pin<KBox<Mutex<Group>>>> {
    let bits = KVec::from_elem(0, words, GFP_KERNEL)?;
    KBox::pin_init(new_mutex!(Group { bits, state: GroupState::default() }, "pfnfs_group"), GFP_KERNEL)
}

impl Machine {
    /// Empty state in the sizes that the geometry says, for `Volume::open` to fill.
    pub(super) fn new(medium: Medium, geometry: &Geometry) -> Result<Self> {
        let mut lanes = KVec::new();
        for _ in 0..geometry.lanes() {
            lanes.push(lane()?, GFP_KERNEL)?;
        }
        let mut groups = KVVec::new();
        for _ in 0..geometry.groups() {
            groups.push(group(geometry.group_words())?, GFP_KERNEL)?;
        }
        let limbo = Limbo { list: zeroes(LIMBO)?, state: LimboState::default() };
        let inodes = Inodes {
            bits: zeroes((geometry.max_inodes() / 64) as usize)?,
            chunks: zeroes(geometry.max_chunks() as usize)?,
            state: InodesState::default(),
        };
        Ok(Self {
            medium,
            lanes,
            checkpoint: KBox::pin_init(new_mutex!(Checkpoint::default(), "pfnfs_checkpoint"), GFP_KERNEL)?,
            table: KBox::pin_init(new_mutex!((), "pfnfs_table"), GFP_KERNEL)?,
            gone: KBox::pin_init(new_mutex!(Gone::default(), "pfnfs_gone"), GFP_KERNEL)?,
            groups,
            limbo: KBox::pin_init(new_mutex!(limbo, "pfnfs_limbo"), GFP_KERNEL)?,
            inodes: KBox::pin_init(new_mutex!(inodes, "pfnfs_inodes"), GFP_KERNEL)?,
            drawn: Atomic::new(0),
            no_lane: lane()?,
            no_group: group(0)?,
        })
    }
}

impl Pmem for Machine {
    fn size(&self) -> u64 {
        self.medium.size()
    }

    fn read_bytes(&self, at: u64, into: &mut [u8]) -> media::Result {
        self.medium.read_bytes(at, into)
    }

    fn first_lost(&self, at: u64, len: u64) -> Option<u64> {
        self.medium.first_lost(at, len)
    }
}

impl PmemMut for Machine {
    fn store(&self, at: u64, bytes: &[u8]) -> media::Result {
        self.medium.store(at, bytes)
    }

    fn store_nt(&self, at: u64, bytes: &[u8]) -> media::Result {
        self.medium.store_nt(at, bytes)
    }

    fn zero(&self, at: u64, len: u64) -> media::Result {
        self.medium.zero(at, len)
    }

    fn zero_nt(&self, at: u64, len: u64) -> media::Result {
        self.medium.zero_nt(at, len)
    }

    fn flush(&self, at: u64, len: u64) {
        self.medium.flush(at, len);
    }

    fn fence(&self) {
        self.medium.fence();
    }

    fn set_bits(&self, at: u64, first: u32, count: u32) -> media::Result {
        self.medium.set_bits(at, first, count)
    }

    fn clear_bits(&self, at: u64, first: u32, count: u32) -> media::Result {
        self.medium.clear_bits(at, first, count)
    }
}

impl crate::meta::Machine for Machine {
    fn cpu(&self) -> u32 {
        CpuId::current().as_u32()
    }

    fn writable(&self) -> bool {
        self.medium.is_writable()
    }

    fn lane<R>(&self, lane: u32, f: impl FnOnce(&mut Lane) -> R) -> R {
        f(&mut self.lanes.get(lane as usize).unwrap_or(&self.no_lane).lock())
    }

    fn checkpoint<R>(&self, f: impl FnOnce(&mut Checkpoint) -> R) -> R {
        f(&mut self.checkpoint.lock())
    }

    fn table<R>(&self, f: impl FnOnce() -> R) -> R {
        let _guard = self.table.lock();
        f()
    }

    fn gone<R>(&self, f: impl FnOnce(&mut Gone) -> R) -> R {
        f(&mut self.gone.lock())
    }

    fn group<R>(&self, group: u32, f: impl FnOnce(GroupMut<'_>) -> R) -> R {
        let mut guard = self.groups.get(group as usize).unwrap_or(&self.no_group).lock();
        let Group { bits, state } = &mut *guard;
        f(GroupMut { bits, state })
    }

    fn limbo<R>(&self, f: impl FnOnce(LimboMut<'_>) -> R) -> R {
        let mut guard = self.limbo.lock();
        let Limbo { list, state } = &mut *guard;
        f(LimboMut { list, state })
    }

    fn inodes<R>(&self, f: impl FnOnce(InodesMut<'_>) -> R) -> R {
        let mut guard = self.inodes.lock();
        let Inodes { bits, chunks, state } = &mut *guard;
        f(InodesMut { bits, chunks, state })
    }

    fn draw(&self) -> u64 {
        self.drawn.fetch_add(1, Full).wrapping_add(1)
    }

    fn drawn(&self) -> u64 {
        self.drawn.load(Relaxed)
    }

    fn set_drawn(&self, seq: u64) {
        self.drawn.store(seq, Relaxed);
    }

    fn random(&self) -> u64 {
        random::u64()
    }
}
