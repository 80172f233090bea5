// SPDX-License-Identifier: GPL-2.0

//! Repairs of what everything stands on: superblocks, and the inode table.

use zerocopy::IntoBytes;

use super::Repair;
use crate::media::format::{Chunk, Super, CHUNK_BLOCKS};
use crate::media::{check, Error, Geometry, Pmem, PmemMut, Result, BLOCK};
use crate::meta::change::Change;
use crate::meta::extent::{self, Run};
use crate::meta::inode::Live;
use crate::meta::log::Stage;
use crate::meta::{mkfs, table, Machine};

/// Writes the superblock at `at` anew from the other copy. Done before the volume is opened: the log does not reach there.
///
/// # Errors
///
/// The copy is not sound either.
pub fn superblock(media: &impl PmemMut, geometry: &Geometry, at: u64) -> Result {
    let last = geometry.blocks().saturating_sub(1).saturating_mul(BLOCK);
    let from = if at == 0 { last } else { 0 };
    check::superblock(media, from)?;
    let mut sb: Super = media.read(from)?;
    sb.crc = check::super_crc(&sb, at).into();
    media.store_nt(at, sb.as_bytes())?;
    media.fence();
    Ok(())
}

impl<M: Machine> Repair<'_, M> {
    /// Makes the header of a chunk anew; its bits stay.
    pub(super) fn chunk(&mut self, index: u64) -> Result {
        let at = self.volume.chunk_at(index)?;
        let old: Chunk = self.volume.media().read(at)?;
        let mut new = mkfs::chunk(self.volume.geometry().uuid(), index, at / BLOCK);
        for (new, old) in new.used.iter_mut().zip(&old.used) {
            *new = (new.get() | old.get()).into();
        }
        for ((new, old), used) in new.orphans.iter_mut().zip(&old.orphans).zip(&new.used) {
            *new = (old.get() & used.get()).into();
        }
        let [first, ..] = &mut new.orphans;
        *first = (first.get() & !0xffff).into();
        let mut stage = Stage::new();
        let mut change = Change::new(self.volume, &mut stage);
        change.record().patch(at, &old, &new)?;
        change.commit(()).map(|durable| durable.reply())
    }

    /// Finds the chunks of the inode table by their headers, and makes its inode anew.
    pub(super) fn table(&mut self) -> Result {
        let volume = self.volume;
        for block in volume.geometry().data() {
            let at = block.saturating_mul(BLOCK);
            let Ok(chunk) = volume.media().read::<Chunk>(at) else { continue };
            let index = chunk.index.get();
            let known = index >= volume.geometry().max_chunks() || volume.chunk_at(index).is_ok();
            if !known && check::chunk(volume.geometry(), &chunk, index, at).is_ok() {
                volume.adopt_chunk(index, block, &chunk.used.map(|word| word.get()))?;
            }
        }
        let chunks = volume.chunks();
        if chunks == 0 || (0..chunks).any(|index| volume.chunk_at(index).is_err()) {
            return Err(Error::Invalid("a chunk of the inode table is not to be found"));
        }
        let mut raw = mkfs::table(self.now);
        let old = volume.media().read(table::AT).unwrap_or(raw);
        let mut live = Live::new(table::AT, old);
        for index in 0..chunks {
            let block = volume.chunk_at(index)? / BLOCK;
            let mut stage = Stage::new();
            let mut change = Change::new(volume, &mut stage);
            let file_block = index.saturating_mul(CHUNK_BLOCKS);
            extent::add(&mut change, &mut raw, Run { file_block, block, len: CHUNK_BLOCKS as u32, flags: 0 })?;
            raw.blocks = raw.blocks.get().saturating_add(CHUNK_BLOCKS).into();
            raw.size = raw.size.get().saturating_add(CHUNK_BLOCKS.saturating_mul(BLOCK)).into();
            let crc = check::inode_crc(volume.geometry().uuid(), &raw);
            // A part of a table is none: after a power cut the inodes in the rest would be taken for
            // free.
            raw.crc = if index.saturating_add(1) < chunks { !crc } else { crc }.into();
            change.record().patch(table::AT, &live.raw, &raw)?;
            change.commit(())?.reply();
            live.accept(&raw);
        }
        Ok(())
    }
}
