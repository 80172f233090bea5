// SPDX-License-Identifier: GPL-2.0

//! What the core needs of its surroundings: locks, with the DRAM state that each of them protects.
//!
//! Lock order: table > gone > checkpoint > lane; checkpoint > group, limbo, inodes. The last three are leaves, never nested in
//! each other or in a lane. Per-inode locks are not here: whoever calls an operation with `&mut Live` holds that inode's lock,
//! which comes before all of these.
//!
//! The machine makes the state, empty, in the sizes that [`Geometry`](crate::media::Geometry) says: one [`Lane`] per lane, per
//! group [`Geometry::group_words`](crate::media::Geometry::group_words) words and a [`GroupState`], a limbo list of at least
//! [`LIMBO_MIN`] entries, `max_inodes / 64` words of inode bits and `max_chunks()` words of chunk addresses.
//! `Volume::open` fills it.

use super::inode::Live;
use super::log::{Buffer, Stage};
use crate::media::PmemMut;

/// Smallest limbo list.
pub const LIMBO_MIN: usize = 64;

/// Locks and their state. Closures run under the lock.
pub trait Machine: PmemMut {
    /// Number of the CPU this runs on, to choose a lane; read without a lock, any value is right.
    fn cpu(&self) -> u32;

    /// Whether the media can be stored to at all.
    fn writable(&self) -> bool {
        true
    }

    /// Spinlock, preemption off: what a closure stores, fences and applies it does on one CPU.
    fn lane<R>(&self, lane: u32, f: impl FnOnce(&mut Lane) -> R) -> R;

    /// Mutex: the holder may sleep, but must not reclaim into the file system.
    fn checkpoint<R>(&self, f: impl FnOnce(&mut Checkpoint) -> R) -> R;

    /// Mutex around the growth of the inode table; comes before `gone`.
    fn table<R>(&self, f: impl FnOnce() -> R) -> R;

    /// Mutex around the inodes that wait to be freed, also while they are; comes before `checkpoint`. Nothing is reserved under it.
    fn gone<R>(&self, f: impl FnOnce(&mut Gone) -> R) -> R;

    /// Short lock of a group's bitmap.
    fn group<R>(&self, group: u32, f: impl FnOnce(GroupMut<'_>) -> R) -> R;

    /// Short lock of the limbo list.
    fn limbo<R>(&self, f: impl FnOnce(LimboMut<'_>) -> R) -> R;

    /// Short lock of the inode numbers.
    fn inodes<R>(&self, f: impl FnOnce(InodesMut<'_>) -> R) -> R;

    /// Draws the next sequence number: increments the counter atomically, returns the new value.
    fn draw(&self) -> u64;

    /// The number drawn last.
    fn drawn(&self) -> u64;

    /// Sets the counter, at mount.
    fn set_drawn(&self, seq: u64);

    /// 64 bits that no user can guess.
    fn random(&self) -> u64;
}

/// A lane of the log.
#[derive(Clone, Copy, Debug, Default)]
pub struct Lane {
    /// The two halves.
    pub(in crate::meta) halves: [Half; 2],
    /// Which of them is being filled: 0 or 1.
    pub(in crate::meta) active: u8,
    /// Records up to this sequence are no longer needed, and the media say so.
    pub(in crate::meta) cut: u64,
    /// Nothing more is to be written.
    pub(in crate::meta) closed: bool,
    /// What its records say is not all in place, or may not be: the cut stays where it is, for the next mount to replay them.
    pub(in crate::meta) torn: bool,
}

/// Half of a lane.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::meta) struct Half {
    /// Offset behind the last record.
    pub(in crate::meta) end: u32,
    /// Offset behind the last record that was written back (while mounting: of the record to replay next).
    pub(in crate::meta) clean: u32,
    /// Sequence of the last record.
    pub(in crate::meta) last: u64,
    /// Offset up to which the checkpoint under way writes back.
    pub(in crate::meta) upto: u32,
    /// Which half this is: 0 or 1.
    pub(in crate::meta) number: u8,
    /// While mounting: sequence of the record at `clean`, 0 if there is none.
    pub(in crate::meta) next_seq: u64,
}

/// State of the checkpoints.
#[derive(Default)]
pub struct Checkpoint {
    /// The cut on the media.
    pub(in crate::meta) cut: u64,
    /// Mounts for writing, this one included.
    pub(in crate::meta) mounts: u64,
    /// The slots say that the log is empty.
    pub(in crate::meta) clean: bool,
    /// The record being written back: who needs a checkpoint has little left of its stack.
    pub(in crate::meta) buffer: Buffer,
}

/// A group's state beside its bits.
#[derive(Clone, Copy, Debug, Default)]
pub struct GroupState {
    /// Free blocks.
    pub(in crate::meta) free: u32,
    /// Free runs of 2 MiB, aligned.
    pub(in crate::meta) whole: u32,
}

/// A group under its lock. A bit is set if the block is in use on the media, reserved, or in limbo.
pub struct GroupMut<'a> {
    /// The bits.
    pub bits: &'a mut [u64],
    /// The rest.
    pub state: &'a mut GroupState,
}

/// Most inodes that wait to be freed: as many as one record can.
pub const GONE_MAX: usize = 16;

/// Inodes without links that nobody uses any more, waiting to be freed (`ops::evict`). On the media they are orphans.
#[derive(Default)]
pub struct Gone {
    /// In no order.
    pub(in crate::meta) list: [Option<Live>; GONE_MAX],
    /// The record that frees them: who comes here may have one of its own on its stack already.
    pub(in crate::meta) stage: Stage,
}

/// A former metadata block that must not be used again until the cut has passed `seq`.
#[derive(Clone, Copy, Debug, Default)]
pub struct LimboEntry {
    /// First block.
    pub(in crate::meta) block: u64,
    /// Sequence of the record that freed it.
    pub(in crate::meta) seq: u64,
    /// Blocks.
    pub(in crate::meta) count: u32,
}

/// Fill of the limbo list.
#[derive(Clone, Copy, Debug, Default)]
pub struct LimboState {
    /// Entries in use, from the start of the list.
    pub(in crate::meta) len: usize,
    /// Entries promised to records under way.
    pub(in crate::meta) promised: usize,
}

/// The limbo list under its lock.
pub struct LimboMut<'a> {
    /// The entries.
    pub list: &'a mut [LimboEntry],
    /// Their number.
    pub state: &'a mut LimboState,
}

/// State of the inode numbers beside their bits.
#[derive(Clone, Copy, Debug, Default)]
pub struct InodesState {
    /// Chunks there are.
    pub(in crate::meta) chunks: u64,
    /// Free numbers in them.
    pub(in crate::meta) free: u64,
}

/// The inode numbers under their lock. A bit is set if the number is in use, reserved, or does not exist.
pub struct InodesMut<'a> {
    /// One bit per number.
    pub bits: &'a mut [u64],
    /// First device block of each chunk.
    pub chunks: &'a mut [u64],
    /// The rest.
    pub state: &'a mut InodesState,
}
