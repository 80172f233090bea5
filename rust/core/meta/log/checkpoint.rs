// SPDX-License-Identifier: GPL-2.0

//! The checkpoint: writes back what the records changed in place, then moves the cut past them, so that their room in the log
//! and the blocks in limbo can be used again.
//!
//! Holds the checkpoint mutex; takes each lane lock briefly, and group locks to release limbo. Takes no object lock and
//! allocates nothing, so anybody may run it who holds no lane and no leaf.

use core::sync::atomic::Ordering;

use zerocopy::IntoBytes;

use super::{patch, Buffer, Volume};
use crate::media::format::{self, Slot};
use crate::media::{check, Error, Geometry, PmemMut, Result, BLOCK};
use crate::meta::machine::{Checkpoint, Half, Machine};

/// Position of a slot.
pub(super) fn slot_at(offset: u64) -> u64 {
    (format::SLOT_BLOCK * BLOCK).wrapping_add(offset)
}

/// Stores both copies of the slot, one durable before the other is touched; the copy at offset `last`, which is sound, last.
pub(super) fn write_slots(media: &impl PmemMut, geometry: &Geometry, mut slot: Slot, last: u64) -> Result {
    let [one, two] = format::SLOT_OFFSETS;
    for offset in if last == one { [two, one] } else { [one, two] } {
        let at = slot_at(offset);
        slot.crc = check::slot_crc(geometry.uuid(), &slot, at).into();
        media.store_nt(at, slot.as_bytes())?;
        media.fence();
    }
    Ok(())
}

/// What there is to do before nothing is left in the log. Not a snapshot while others work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backlog {
    /// Sequence of the last record.
    pub drawn: u64,
    /// Records up to this one are no longer needed, and the media say so.
    pub cut: u64,
    /// Inodes that wait to be freed.
    pub waiting: u64,
}

impl Backlog {
    /// Whether a checkpoint would change nothing.
    pub fn is_empty(&self) -> bool {
        self.drawn == self.cut && self.waiting == 0
    }
}

impl<M: Machine> Volume<M> {
    /// How far the log is ahead of the checkpoint.
    pub fn backlog(&self) -> Backlog {
        let cut = self.machine.checkpoint(|state| state.cut);
        Backlog { drawn: self.machine.drawn(), cut, waiting: self.waiting().0 }
    }

    /// Makes every record so far superfluous. On return the log holds at most records that were drawn meanwhile.
    ///
    /// # Errors
    ///
    /// `Poison` or `Corrupt` if the log cannot be read back, `ReadOnly` after [`Volume::failed`]. The cut has not moved then.
    pub fn checkpoint(&self) -> Result {
        if self.read_only() {
            return Ok(());
        }
        self.machine.checkpoint(|state| self.advance(state, false))
    }

    /// Frees the orphans that wait for it, refuses every further record, empties the log and says so in the slots. For the
    /// unmount, and for a change to reading only: the volume is that afterwards.
    ///
    /// # Errors
    ///
    /// As of [`Volume::checkpoint`]; an orphan that cannot be freed is left to the next mount.
    pub fn close(&self) -> Result {
        if self.read_only() {
            return Ok(());
        }
        let _ = self.reclaim();
        for lane in 0..self.geometry.lanes() {
            self.machine.lane(lane, |lane| lane.closed = true);
        }
        self.machine.checkpoint(|state| {
            self.advance(state, true)?;
            self.read_only.store(true, Ordering::Release);
            Ok(())
        })
    }

    fn advance(&self, state: &mut Checkpoint, clean: bool) -> Result {
        let cut = self.machine.drawn();
        if cut != state.cut || clean != state.clean {
            self.write_back_lanes(&mut state.buffer)?;
            self.machine.fence();
            write_slots(&self.machine, &self.geometry, self.slot(cut, state.mounts, clean), format::SLOT_OFFSETS[1])?;
            state.cut = cut;
            state.clean = clean;
            self.cut_lanes(cut);
        }
        self.release_limbo(state.cut);
        Ok(())
    }

    /// A slot of this mount.
    pub(super) fn slot(&self, cut: u64, mounts: u64, clean: bool) -> Slot {
        Slot {
            crc: 0.into(),
            state: if clean { format::SLOT_CLEAN } else { format::SLOT_DIRTY }.into(),
            cut: cut.into(),
            nonce: self.nonce().into(),
            mounts: mounts.into(),
            reserved: [0; 32],
        }
    }

    /// Visits every lane after the cut was read: who drew a number up to it has left its lane then, so its record is applied and
    /// its stores have reached the caches. Then starts the write-back of what the lane's records changed. These cannot be
    /// overwritten meanwhile, as the lane's cut is still the old one.
    fn write_back_lanes(&self, buffer: &mut Buffer) -> Result {
        for number in 0..self.geometry.lanes() {
            let lane = self.machine.lane(number, |lane| {
                lane.halves.iter_mut().for_each(|half| half.upto = half.end);
                *lane
            });
            if lane.torn {
                return Err(Error::ReadOnly);
            }
            for half in &lane.halves {
                self.write_back_half(number, half, buffer)?;
            }
        }
        Ok(())
    }

    fn write_back_half(&self, lane: u32, half: &Half, buffer: &mut Buffer) -> Result {
        let start = self.geometry.half_at(lane, half.number);
        let mut offset = half.clean;
        while offset < half.upto {
            let at = start.wrapping_add(u64::from(offset));
            let room = half.upto.wrapping_sub(offset);
            let record = buffer.accept(&self.machine, at, room, self.nonce(), 0)?;
            let (len, _) = record.ok_or(Error::Corrupt { at, why: "record that changed in the log" })?;
            patch::write_back(&self.machine, buffer.patches());
            offset = offset.saturating_add(len);
        }
        Ok(())
    }

    fn cut_lanes(&self, cut: u64) {
        for number in 0..self.geometry.lanes() {
            self.machine.lane(number, |lane| {
                lane.cut = cut;
                lane.halves.iter_mut().for_each(|half| half.clean = half.upto);
            });
        }
    }
}
