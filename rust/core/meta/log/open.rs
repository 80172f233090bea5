// SPDX-License-Identifier: GPL-2.0

//! Mounting: slots, replay, a new nonce, bitmaps into DRAM.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use zerocopy::FromZeros;

use super::checkpoint::{slot_at, write_slots};
use super::replay::{self, Expected};
use super::Volume;
use crate::media::format::{self, Slot};
use crate::media::{check, Error, Geometry, Pmem, Result};
use crate::meta::machine::{Half, InodesState, Lane, LimboState, Machine};
use crate::meta::walk::{Fix, Problem};

/// How to mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Open {
    /// For reading and writing.
    ReadWrite,
    /// For reading; but the log is replayed if need be, which writes.
    ReadOnly,
    /// For reading, without replay and without any store: what is not yet in place is not seen, and may look damaged.
    NoRecovery,
}

impl<M: Machine> Volume<M> {
    /// Mounts the volume that [`Geometry::read`] found on this machine's media. All of the machine's state is initialised.
    ///
    /// # Errors
    ///
    /// `ReadOnly` if the media cannot be written and have to be, or the log has no sequence numbers
    /// left; `Corrupt` if slots, log or bitmaps are damaged. Nothing was
    /// stored unless the whole log was sound.
    pub fn open(machine: M, geometry: Geometry, how: Open) -> Result<Self> {
        // Who only reads what is there is not refused because some of it is lost, or half in place.
        Self::open_in_spite(machine, geometry, how, &mut |problem| match problem.error {
            Error::Poison { .. } | Error::Corrupt { why: check::ORPHAN_UNUSED, .. } if how == Open::NoRecovery => {
                Ok(())
            }
            error => Err(error),
        })
    }

    /// The same for a checker: what is wrong is told to `tell`, which says whether to go on without it. Without a slot or a sound
    /// log no record counts; a part of the inode table that was not found is `NotFound` later.
    ///
    /// # Errors
    ///
    /// `ReadOnly`, and what `tell` returned.
    pub fn open_in_spite(
        machine: M,
        geometry: Geometry,
        how: Open,
        tell: &mut dyn FnMut(&Problem) -> Result,
    ) -> Result<Self> {
        let Slots { slot, offset: sound, damaged } = slots(&machine, &geometry, tell)?;
        let write = how == Open::ReadWrite;
        if write && (geometry.read_only() || !machine.writable()) {
            return Err(Error::ReadOnly);
        }
        let volume = Self {
            machine,
            geometry,
            nonce: AtomicU64::new(slot.nonce.get()),
            read_only: AtomicBool::new(!write),
            failed: AtomicBool::new(false),
            recovered: how != Open::NoRecovery,
            damaged,
        };
        let mut cut = slot.cut.get();
        if how != Open::NoRecovery && slot.state.get() == format::SLOT_DIRTY {
            cut = match volume.recover(&slot) {
                Err(error @ (Error::Corrupt { .. } | Error::Poison { .. })) => {
                    tell(&Problem { error, ino: None, fix: Fix::Log })?;
                    cut
                }
                cut => cut?,
            };
        }
        if write && cut >= format::SEQ_END {
            // No record could be made.
            return Err(Error::ReadOnly);
        }
        let mounts = slot.mounts.get().wrapping_add(1);
        let dirty = slot.state.get() == format::SLOT_DIRTY && volume.machine.writable();
        if write || how == Open::ReadOnly && dirty {
            volume.nonce.store(volume.machine.random(), Ordering::Relaxed);
            let next = volume.slot(cut, mounts, !write);
            write_slots(&volume.machine, &volume.geometry, next, sound)?;
        }
        volume.reset(cut, mounts);
        volume.load_groups(tell)?;
        volume.load_table(tell)?;
        Ok(volume)
    }

    /// Replays the log. Returns the sequence number up to which everything is in place, durably.
    fn recover(&self, slot: &Slot) -> Result<u64> {
        let expected = Expected { nonce: slot.nonce.get(), cut: slot.cut.get() };
        let (highest, records) = replay::scan(&self.machine, &self.geometry, expected)?;
        if !self.machine.writable() {
            return if records == 0 { Ok(highest) } else { Err(Error::ReadOnly) };
        }
        replay::replay(&self.machine, &self.geometry, expected)?;
        self.machine.fence();
        Ok(highest)
    }

    /// Changes a volume that is open for reading only to one for writing, as if it were opened anew: with a nonce of its own and
    /// an empty log. Orphans are the caller's, as after [`Volume::open`].
    ///
    /// # Errors
    ///
    /// `ReadOnly` if the media, the features or the sequence numbers do not allow it, or the log
    /// was not looked at; `Damaged`, `Poison`.
    pub fn make_writable(&self) -> Result {
        if self.geometry.read_only() || !self.machine.writable() || !self.recovered {
            return Err(Error::ReadOnly);
        }
        self.machine.checkpoint(|state| {
            if !self.read_only() {
                return Ok(());
            }
            if state.cut >= format::SEQ_END {
                return Err(Error::ReadOnly);
            }
            let Slots { offset: sound, .. } = read_slots(&self.machine, &self.geometry)?;
            let mounts = state.mounts.wrapping_add(1);
            self.nonce.store(self.machine.random(), Ordering::Relaxed);
            write_slots(&self.machine, &self.geometry, self.slot(state.cut, mounts, false), sound)?;
            (state.mounts, state.clean) = (mounts, false);
            self.empty_lanes(state.cut);
            self.read_only.store(false, Ordering::Release);
            Ok(())
        })
    }

    /// Lanes as of a log without a record.
    fn empty_lanes(&self, cut: u64) {
        let halves = [Half::default(), Half { number: 1, ..Half::default() }];
        for lane in 0..self.geometry.lanes() {
            self.machine.lane(lane, |lane| *lane = Lane { halves, cut, ..Lane::default() });
        }
    }

    /// The machine's state of an empty log.
    fn reset(&self, cut: u64, mounts: u64) {
        self.machine.set_drawn(cut);
        self.machine.checkpoint(|state| (state.cut, state.mounts, state.clean) = (cut, mounts, false));
        self.empty_lanes(cut);
        self.machine.gone(|gone| gone.list.iter_mut().for_each(|place| *place = None));
        self.machine.limbo(|limbo| *limbo.state = LimboState::default());
        self.machine.inodes(|inodes| {
            inodes.bits.fill(!0);
            inodes.chunks.fill(0);
            *inodes.state = InodesState::default();
        });
    }
}

/// What the slots say.
struct Slots {
    /// The one that counts.
    slot: Slot,
    /// Its offset.
    offset: u64,
    /// Position of the other if that is damaged.
    damaged: Option<u64>,
}

/// Reads the slots. If there is none and `tell` lets it pass, one without a log.
fn slots(media: &impl Pmem, geometry: &Geometry, tell: &mut dyn FnMut(&Problem) -> Result) -> Result<Slots> {
    match read_slots(media, geometry) {
        Err(error @ (Error::Corrupt { .. } | Error::Poison { .. } | Error::Damaged(_))) => {
            tell(&Problem { error, ino: None, fix: Fix::Log })?;
            let [offset, _] = format::SLOT_OFFSETS;
            let mut slot = Slot::new_zeroed();
            slot.state = format::SLOT_CLEAN.into();
            Ok(Slots { slot, offset, damaged: None })
        }
        slots => slots,
    }
}

/// The one of the later mount, and with the higher cut, counts. A copy may be damaged, or behind.
fn read_slots(media: &impl Pmem, geometry: &Geometry) -> Result<Slots> {
    let [one, two] = format::SLOT_OFFSETS.map(|offset| {
        let at = slot_at(offset);
        let slot = media.read::<Slot>(at).and_then(|slot| check::slot(geometry.uuid(), &slot, at).map(|()| slot));
        slot.map(|slot| Slots { slot, offset, damaged: None }).map_err(|error| (error, at))
    });
    let order = |s: &Slots| (s.slot.mounts.get(), s.slot.cut.get(), s.slot.state.get());
    match (one, two) {
        (Ok(one), Ok(two)) => Ok(if order(&two) > order(&one) { two } else { one }),
        (Ok(slots), Err((_, at))) | (Err((_, at)), Ok(slots)) => Ok(Slots { damaged: Some(at), ..slots }),
        (Err((poison @ Error::Poison { .. }, _)), Err(_)) | (Err(_), Err((poison @ Error::Poison { .. }, _))) => {
            Err(poison)
        }
        (Err(_), Err(_)) => Err(Error::Damaged("slots of the log")),
    }
}
