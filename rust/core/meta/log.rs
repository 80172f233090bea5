// SPDX-License-Identifier: GPL-2.0

//! The redo log: the only writer of metadata.
//!
//! [`Volume`] owns the machine, and with it the media; nothing outside this file and its children can store. An operation
//! collects patches in a [`Record`] (`record`), whose commit here stores the record, fences, and only then applies it in place.
//! `checkpoint` writes back what was applied and moves the cut; `replay` does the same after a crash; `open` mounts.
//!
//! Locks: commit takes one lane; the checkpoint its mutex and then the lanes, one after the other. See `machine` for the order.
//!
//! Positions and lengths here are bounded by [`Geometry`] (below 2^48) or by the stage (1 KiB), both checked where they come
//! in: `wrapping_` operations on them never wrap, they only spare the panic path.

mod checkpoint;
mod open;
pub mod patch;
mod record;
mod replay;

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use zerocopy::IntoBytes;

use super::machine::{Gone, GroupMut, Half, InodesMut, Lane, LimboMut, Machine};
use crate::media::{format, Error, Geometry, Pmem, Result, LINE};
use crate::plat::crc32c;

pub use checkpoint::Backlog;
pub use open::Open;
pub use record::{Record, Stage};
pub use replay::Buffer;

/// Bytes of the largest record, header included: the size of a stage, at most half of a half.
pub const RECORD_MAX: usize = 1024;
const _: () = assert!(RECORD_MAX as u32 <= crate::media::check::HALF_MIN / 2);

/// Bytes of a record's header.
const HEADER: usize = size_of::<format::Record>();

/// Proof that what it carries is durable. Made by a commit only.
#[must_use]
#[derive(Debug)]
pub struct Durable<T>(T);

impl<T> Durable<T> {
    /// The answer to the caller of the operation.
    pub fn reply(self) -> T {
        self.0
    }

    /// Changes what is carried, not its durability.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Durable<U> {
        Durable(f(self.0))
    }
}

/// A mounted volume.
///
/// # Invariants
///
/// No other code stores to the metadata of the media while this exists; `nonce` is the one in the slots, unless `read_only`. Both
/// change under the checkpoint's lock.
pub struct Volume<M> {
    machine: M,
    geometry: Geometry,
    nonce: AtomicU64,
    read_only: AtomicBool,
    /// Metadata was found lost or wrong: [`Volume::failed`] has said so.
    failed: AtomicBool,
    /// The log was replayed, if need be, when it was opened.
    recovered: bool,
    /// A slot that was damaged when this was mounted.
    damaged: Option<u64>,
}

/// Why a record did not enter its lane.
enum Entry {
    /// Durable and applied, with this sequence number and the result of the apply.
    Done(u64, Result),
    /// No room until the next checkpoint.
    Full,
    /// The volume was closed.
    Closed,
}

impl<M: Machine> Volume<M> {
    /// The media, for reading.
    pub fn media(&self) -> &impl Pmem {
        &self.machine
    }

    /// Where things lie.
    pub fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// Whether every change is refused.
    pub fn read_only(&self) -> bool {
        self.read_only.load(Ordering::Acquire)
    }

    /// What tells the records of this mount.
    fn nonce(&self) -> u64 {
        self.nonce.load(Ordering::Relaxed)
    }

    /// Position of a slot of the log that was damaged at the mount, so that its copy was used.
    pub fn damaged(&self) -> Option<u64> {
        self.damaged
    }

    /// Number of this CPU.
    pub(in crate::meta) fn cpu(&self) -> u32 {
        self.machine.cpu()
    }

    /// [`Machine::random`].
    pub(in crate::meta) fn random(&self) -> u64 {
        self.machine.random()
    }

    /// Visits every lane: a record that was being applied before is in place when this returns. No lane may be held.
    pub(in crate::meta) fn pass_lanes(&self) {
        for number in 0..self.geometry.lanes() {
            self.machine.lane(number, |_| ());
        }
    }

    /// [`Machine::group`], without the stores.
    pub(in crate::meta) fn group<R>(&self, group: u32, f: impl FnOnce(GroupMut<'_>) -> R) -> R {
        self.machine.group(group, f)
    }

    /// [`Machine::limbo`], likewise.
    pub(in crate::meta) fn limbo<R>(&self, f: impl FnOnce(LimboMut<'_>) -> R) -> R {
        self.machine.limbo(f)
    }

    /// [`Machine::inodes`], likewise.
    pub(in crate::meta) fn inodes<R>(&self, f: impl FnOnce(InodesMut<'_>) -> R) -> R {
        self.machine.inodes(f)
    }

    /// [`Machine::table`], likewise.
    pub(in crate::meta) fn table<R>(&self, f: impl FnOnce() -> R) -> R {
        self.machine.table(f)
    }

    /// [`Machine::gone`], likewise.
    pub(in crate::meta) fn gone<R>(&self, f: impl FnOnce(&mut Gone) -> R) -> R {
        self.machine.gone(f)
    }

    /// Begins a record in `stage`, which is emptied. No lock is taken until the commit. For `ops`, and for tests of the log: what
    /// a record means is not checked here, only that it stays within its areas.
    pub fn begin<'v, 's>(&'v self, stage: &'s mut Stage) -> Record<'v, 's, M> {
        Record::new(self, stage)
    }

    /// Non-temporal stores into blocks that are in no map yet. The owner of the blocks checked the range.
    pub(in crate::meta) fn store_fresh(&self, at: u64, bytes: &[u8]) -> Result {
        self.machine.store_nt(at, bytes)
    }

    /// The same with zeroes.
    pub(in crate::meta) fn zero_fresh(&self, at: u64, len: u64) -> Result {
        self.machine.zero_nt(at, len)
    }

    /// Waits for this CPU's non-temporal stores.
    pub(in crate::meta) fn fence(&self) {
        self.machine.fence();
    }

    /// An operation met this error. If metadata cannot be read or makes no sense, every further change is refused, and the
    /// log stays as it is for the next mount to replay; reading goes on. Tells whether that is new.
    pub fn failed(&self, error: Error) -> bool {
        if self.read_only() || !matches!(error, Error::Poison { .. } | Error::Corrupt { .. }) {
            return false;
        }
        // Lanes alone do not tell whether it is new: whoever closes the volume closes them first, and
        // may be the one who meets the error.
        for number in 0..self.geometry.lanes() {
            self.machine.lane(number, |lane| {
                lane.closed = true;
                lane.torn = true;
            });
        }
        !self.failed.swap(true, Ordering::AcqRel)
    }

    /// Makes the staged record durable, applies it, and tells its sequence number. Nothing was stored if this fails, but for
    /// the second error, that of the apply: memory was lost under it.
    fn enter(&self, stage: &mut Stage) -> Result<(u64, Result)> {
        let crc = crc32c(!0, stage.patches());
        let number = self.machine.cpu().checked_rem(self.geometry.lanes()).unwrap_or_default();
        loop {
            match self.machine.lane(number, |lane| self.append(number, lane, stage, crc))? {
                Entry::Done(seq, applied) => return Ok((seq, applied)),
                Entry::Full => self.checkpoint()?,
                Entry::Closed => return Err(Error::ReadOnly),
            }
        }
    }

    /// Under the lane lock: room, number, record, fence, apply, in this order.
    fn append(&self, number: u32, lane: &mut Lane, stage: &mut Stage, crc: u32) -> Result<Entry> {
        // Numbers come to an end as well: a record with too large a one would not count.
        if lane.closed || lane.torn || lane.cut >= format::SEQ_END {
            return Ok(Entry::Closed);
        }
        let len = (stage.len() as u64).next_multiple_of(LINE) as u32;
        if !lane.make_room(len, self.geometry.half_size()) {
            return Ok(Entry::Full);
        }
        let Some(half) = lane.filling() else { return Ok(Entry::Full) };
        let at = self.geometry.half_at(number, half.number).wrapping_add(u64::from(half.end));
        let seq = self.machine.draw();
        stage.seal(seq, self.nonce(), crc, at);
        self.machine.store_nt(at, stage.lines())?;
        self.machine.fence();
        half.end = half.end.wrapping_add(len);
        half.last = seq;
        let applied = patch::apply(&self.machine, stage.patches());
        lane.torn = applied.is_err();
        Ok(Entry::Done(seq, applied))
    }
}

impl Lane {
    /// The half that is being filled.
    fn filling(&mut self) -> Option<&mut Half> {
        self.halves.get_mut(usize::from(self.active & 1))
    }

    /// Whether `len` bytes fit, after a change to the other half if need be and possible.
    fn make_room(&mut self, len: u32, size: u32) -> bool {
        let cut = self.cut;
        let fits = |half: &mut Half| half.end.checked_add(len).is_some_and(|end| end <= size);
        if self.filling().is_some_and(fits) {
            return true;
        }
        let other = self.active & 1 ^ 1;
        let Some(half) = self.halves.get_mut(usize::from(other)) else { return false };
        if half.last > cut {
            return false;
        }
        *half = Half { number: other, ..Half::default() };
        self.active = other;
        true
    }
}

/// Checksum of a record at byte `at`: continues that of the patches, which starts with all ones.
pub fn header_crc(header: &format::Record, patches: u32, at: u64) -> u32 {
    crc32c(crc32c(patches, &at.to_le_bytes()), header.as_bytes().get(4..).unwrap_or_default())
}
