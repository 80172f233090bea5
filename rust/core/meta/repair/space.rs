// SPDX-License-Identifier: GPL-2.0

//! Repairs of who has which block: bits, and blocks that two files have.

use core::ops::Range;

use super::Repair;
use crate::media::{Error, Pmem, Result, BLOCK, GROUP_BLOCKS};
use crate::meta::bitmap;
use crate::meta::change::Change;
use crate::meta::extent::{self, Run};
use crate::meta::log::Stage;
use crate::meta::Machine;

impl<M: Machine> Repair<'_, M> {
    /// Marks blocks as in use or free, on the media and in DRAM.
    pub(super) fn bits(&mut self, block: u64, count: u64, set: bool) -> Result {
        let (data, end) = (self.volume.geometry().data(), block.saturating_add(count));
        let part = |from: u64, to: u64| block.clamp(from, to)..end.clamp(from, to);
        self.fixed_bits(part(0, data.start))?;
        self.fixed_bits(part(data.end, u64::MAX))?;
        let Range { start: mut block, end } = part(data.start, data.end);
        while block < end {
            let (group, bit) = self.volume.geometry().bit(block);
            let piece = end.saturating_sub(block).min(u64::from(GROUP_BLOCKS.saturating_sub(bit))) as u32;
            let at = self.volume.geometry().bitmap_at(group);
            let mut stage = Stage::new();
            let mut change = Change::new(self.volume, &mut stage);
            if set {
                change.record().set_bits(at, bit, piece)?;
            } else {
                change.record().clear_bits(at, bit, piece)?;
            }
            change.commit(())?.reply();
            self.volume.group(group, |mut state| bitmap::change(&mut state, bit, piece, set));
            block = block.saturating_add(u64::from(piece));
        }
        Ok(())
    }

    /// Sets bits of blocks that no file can have. The log does not reach them.
    fn fixed_bits(&mut self, blocks: Range<u64>) -> Result {
        for block in blocks {
            let (group, bit) = self.volume.geometry().bit(block);
            let at = self.volume.geometry().bitmap_at(group).saturating_add(u64::from(bit / 8));
            let byte: u8 = self.volume.media().read(at)?;
            self.volume.store_fresh(at, &[byte | 1 << (bit % 8)])?;
        }
        self.volume.fence();
        Ok(())
    }

    /// The extent of a file that has this block, and its part of the range.
    fn part(&self, ino: u64, file_block: u64, count: u32) -> Result<Option<(Run, Run)>> {
        let raw = self.load(ino)?.raw;
        let (media, geometry) = (self.volume.media(), self.volume.geometry());
        let run = extent::last_before(media, geometry, &raw, file_block)?.filter(|run| run.end() > file_block);
        Ok(run.map(|run| (run, run.part(file_block, file_block.saturating_add(u64::from(count))))))
    }

    /// Puts blocks of its own into a file, with the bytes of those that it shares.
    pub(super) fn copy(&mut self, ino: u64, file_block: u64, count: u32) -> Result {
        let end = file_block.saturating_add(u64::from(count));
        let mut next = file_block;
        while next < end {
            let left = end.saturating_sub(next) as u32;
            let Some((whole, part)) = self.part(ino, next, left)? else { return Ok(()) };
            let blocks = self.volume.reserve(0, part.len, false)?;
            let len = blocks.count();
            if !part.unwritten() {
                copy_bytes(self.volume.media(), part.block, len, &|offset, bytes| blocks.store(offset, bytes))?;
            }
            let old = Run { len, ..part };
            let new = Run { block: blocks.first(), ..old };
            self.edit(ino, |change, raw| {
                change.record().attach(blocks.written())?;
                extent::carve(change, raw, &whole, &old)?;
                extent::add(change, raw, new)
            })?;
            next = next.saturating_add(u64::from(len));
        }
        Ok(())
    }

    /// Takes blocks out of a file that are somebody's metadata. They stay in use.
    pub(super) fn hole(&mut self, ino: u64, file_block: u64, count: u32) -> Result {
        let Some((whole, part)) = self.part(ino, file_block, count)? else { return Ok(()) };
        self.edit(ino, |change, raw| {
            raw.blocks = raw.blocks.get().saturating_sub(u64::from(part.len)).into();
            extent::carve(change, raw, &whole, &part)
        })
    }
}

/// Copies blocks in pieces. What cannot be read becomes zero.
fn copy_bytes(media: &impl Pmem, block: u64, count: u32, store: &dyn Fn(u64, &[u8]) -> Result) -> Result {
    let mut piece = [0u8; 256];
    let mut offset = 0u64;
    while offset < u64::from(count).saturating_mul(BLOCK) {
        match media.read_bytes(block.saturating_mul(BLOCK).saturating_add(offset), &mut piece) {
            Err(Error::Poison { .. }) => piece.fill(0),
            read => read?,
        }
        store(offset, &piece)?;
        offset = offset.saturating_add(piece.len() as u64);
    }
    Ok(())
}
