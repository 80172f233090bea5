// SPDX-License-Identifier: GPL-2.0
//! What of the metadata a recovery would put in place: the patches of the durable records that count.
//!
//! Layer: reads the log of what is safe on the media, by the core's types; decides nothing about recovery that the core does not.

use anyhow::{anyhow, Result};
use pfnfs_core::media::format::{self, Bits, Record, Slot};
use pfnfs_core::media::{check, Geometry, Pmem, BLOCK, LINE};
use pfnfs_core::meta::log::header_crc;
use pfnfs_core::meta::log::patch::{self, Patch};
use pfnfs_core::plat::crc32c;
use std::collections::BTreeMap;

/// A byte as records have it: its values, oldest first, and bits that they set and clear.
#[derive(Default)]
struct Byte {
    values: Vec<u8>,
    set: u8,
    clear: u8,
}

/// All that durable records put in place, by position.
#[derive(Default)]
pub struct Journal {
    bytes: BTreeMap<u64, Byte>,
}

impl Journal {
    /// Reads the log of a volume.
    pub fn read(media: &impl Pmem, geometry: &Geometry) -> Result<Self> {
        let mut journal = Journal::default();
        let Some(slot) = slot(media, geometry) else { return Err(anyhow!("no slot of the log is sound")) };
        if slot.state.get() == format::SLOT_CLEAN {
            return Ok(journal);
        }
        for lane in 0..geometry.lanes() {
            for half in 0..2u8 {
                let start = geometry.half_at(lane, half);
                journal.half(media, start, geometry.half_size().into(), &slot)?;
            }
        }
        Ok(journal)
    }

    fn half(&mut self, media: &impl Pmem, start: u64, size: u64, slot: &Slot) -> Result<()> {
        const HEADER: u64 = size_of::<Record>() as u64;
        let (mut offset, mut last) = (0, 0);
        while offset + HEADER <= size {
            let header = media.read::<Record>(start + offset).map_err(|error| anyhow!("{error:?}"))?;
            let (len, seq) = (u64::from(header.len.get()), header.seq.get());
            if header.nonce != slot.nonce || seq <= last || len <= HEADER || offset + len > size {
                break;
            }
            let mut patches = vec![0; (len - HEADER) as usize];
            media.read_bytes(start + offset + HEADER, &mut patches).map_err(|error| anyhow!("{error:?}"))?;
            if header_crc(&header, crc32c(!0, &patches), start + offset) != header.crc.get() {
                break;
            }
            if seq > slot.cut.get() {
                self.patches(&patches);
            }
            last = seq;
            offset = (offset + len).next_multiple_of(LINE);
        }
        Ok(())
    }

    fn patches(&mut self, mut bytes: &[u8]) {
        while let Some((patch, rest)) = patch::split(bytes) {
            let mut put = |at, value| self.bytes.entry(at).or_default().values.push(value);
            match patch {
                Patch::Write { at, bytes } => (at..).zip(bytes).for_each(|(at, value)| put(at, *value)),
                Patch::Zero { at, len } => (at..at + len).for_each(|at| put(at, 0)),
                Patch::Set { at, bits } => self.bits(at, bits, true),
                Patch::Clear { at, bits } => self.bits(at, bits, false),
            }
            bytes = rest;
        }
    }

    fn bits(&mut self, at: u64, bits: Bits, set: bool) {
        let first = u64::from(bits.first.get());
        for bit in first..first + u64::from(bits.count.get()) {
            let byte = self.bytes.entry(at + bit / 8).or_default();
            *(if set { &mut byte.set } else { &mut byte.clear }) |= 1 << (bit % 8);
        }
    }

    /// Whether records put in place what makes `new` of `old` there: the bytes, or bits of them. (The kernel has no locked
    /// instructions where there is one CPU, so a store does not show which of the two it is.)
    pub fn has(&self, at: u64, old: &[u8], new: &[u8]) -> bool {
        (at..).zip(old.iter().zip(new)).all(|(at, (old, new))| {
            let bits = |byte: &Byte| (!old & new) & !byte.set == 0 && (old & !new) & !byte.clear == 0;
            old == new || self.bytes.get(&at).is_some_and(|byte| byte.values.contains(new) || bits(byte))
        })
    }
}

/// The slot that counts.
fn slot(media: &impl Pmem, geometry: &Geometry) -> Option<Slot> {
    let sound = format::SLOT_OFFSETS.into_iter().filter_map(|offset| {
        let at = format::SLOT_BLOCK * BLOCK + offset;
        media.read::<Slot>(at).ok().filter(|slot| check::slot(geometry.uuid(), slot, at).is_ok())
    });
    sound.max_by_key(|slot| (slot.mounts.get(), slot.cut.get(), slot.state.get()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use pfnfs_core::meta::mkfs;
    use pfnfs_sim::fs::driver::{Driver, Op, ROOT};
    use pfnfs_sim::fs::options;
    use pfnfs_sim::plain::{Memory, Plain};

    #[test]
    fn what_an_operation_changes_in_place_is_in_its_record_and_nothing_else_is() {
        let memory = Memory::new(2 << 20);
        mkfs::format(&memory, &options(1, 8192, 256)).unwrap();
        let geometry = Geometry::read(&memory).unwrap();
        let machine = Plain::new(memory, &geometry);
        let mut driver = Driver::mount_at(&machine, geometry).unwrap();
        // The first name takes a fresh block for the directory.
        driver.apply(&Op::Create(ROOT, b"first".to_vec())).unwrap();
        let old = machine.memory.0.borrow().clone();
        driver.apply(&Op::Create(ROOT, b"second".to_vec())).unwrap();
        let new = machine.memory.0.borrow().clone();
        let journal = Journal::read(&&machine, &geometry).unwrap();
        let log = geometry.half_at(0, 0) as usize..geometry.half_at(0, 1) as usize + geometry.half_size() as usize;
        let changed: Vec<usize> = (0..new.len()).filter(|at| old[*at] != new[*at] && !log.contains(at)).collect();
        assert!(changed.len() > 20, "{}", changed.len());
        for at in changed {
            assert!(journal.has(at as u64, &old[at..=at], &new[at..=at]), "{at:#x}");
            let free = (0..=255).find(|value| !journal.has(at as u64, &old[at..=at], &[*value]));
            assert!(free.is_some(), "{at:#x} may be anything");
        }
        assert!(!journal.has(new.len() as u64 - 1, &[0], &[1]));
    }
}
