// SPDX-License-Identifier: GPL-2.0

//! The inode table: a file, inode 0, made of chunks of 256 slots. It grows by a chunk and never shrinks.
//!
//! Its inode is read at mount and when it grows, under the machine's lock `table`; where the chunks lie is known in DRAM.

use zerocopy::{FromBytes, FromZeros, IntoBytes};

use super::alloc::Number;
use super::change::Change;
use super::extent::{self, Extent, Run};
use super::inode::{self, Live};
use super::log::Stage;
use super::mkfs;
use super::span::{Blocks, Fresh, Patience};
use super::walk::{Fix, Problem};
use super::{Machine, Volume};
use crate::media::format::{self, Chunk, Inode, CHUNK_BLOCKS, CHUNK_INODES};
use crate::media::{check, Error, Pmem, Result, BLOCK};

/// Position of the table inode.
pub(in crate::meta) const AT: u64 = format::TABLE_BLOCK * BLOCK;

/// Reads the table inode.
pub(in crate::meta) fn read<M: Machine>(volume: &Volume<M>) -> Result<Inode> {
    let raw: Inode = volume.media().read(AT)?;
    check::inode(volume.geometry(), &raw, format::TABLE_INO, AT)?;
    Ok(raw)
}

impl<M: Machine> Volume<M> {
    /// Finds the chunks of the inode table and loads their in-use bits, at mount. What is wrong goes to `tell`.
    pub(in crate::meta) fn load_table(&self, tell: &mut dyn FnMut(&Problem) -> Result) -> Result {
        let mut table = |error| tell(&Problem { error, ino: Some(format::TABLE_INO), fix: Fix::Table });
        let raw = match read(self) {
            Ok(raw) => raw,
            Err(error) => return table(error),
        };
        let mut chunks = raw.size.get() / (CHUNK_BLOCKS * BLOCK);
        if raw.size.get() % (CHUNK_BLOCKS * BLOCK) != 0 || chunks == 0 || chunks > self.geometry().max_chunks() {
            table(Error::Corrupt { at: AT, why: "size of the inode table" })?;
            chunks = chunks.min(self.geometry().max_chunks());
        }
        // Each extent once, in order. What a damaged one leaves out is looked for below, to tell what is wrong.
        let mut next = 0u64;
        let _ = extent::each(self.media(), self.geometry(), &raw, &mut |run| {
            let whole = u64::from(run.len) % CHUNK_BLOCKS == 0 && !run.unwritten();
            if run.file_block != next.saturating_mul(CHUNK_BLOCKS) || !whole {
                return Err(Error::Corrupt { at: AT, why: "extents of the inode table" });
            }
            let end = next.saturating_add(u64::from(run.len) / CHUNK_BLOCKS).min(chunks);
            let mut block = run.block;
            while next < end {
                self.load_chunk(next, block, tell)?;
                block = block.saturating_add(CHUNK_BLOCKS);
                next = next.saturating_add(1);
            }
            Ok(())
        });
        for index in next..chunks {
            match self.find_chunk(&raw, index) {
                Ok(block) => self.load_chunk(index, block, tell)?,
                Err(error) => tell(&Problem { error, ino: Some(format::TABLE_INO), fix: Fix::Table })?,
            }
        }
        Ok(())
    }

    /// First block of a chunk of the inode table.
    fn find_chunk(&self, raw: &Inode, index: u64) -> Result<u64> {
        let corrupt = |why| Err(Error::Corrupt { at: AT, why });
        match extent::map(self.media(), self.geometry(), raw, index.saturating_mul(CHUNK_BLOCKS))? {
            Extent::Data { len, .. } if u64::from(len) < CHUNK_BLOCKS => corrupt("chunk of the inode table in pieces"),
            Extent::Data { block, unwritten: false, .. } => Ok(block),
            _ => corrupt("hole in the inode table"),
        }
    }

    /// Loads a chunk. One whose header is damaged is still the chunk if something in it says so.
    fn load_chunk(&self, index: u64, block: u64, tell: &mut dyn FnMut(&Problem) -> Result) -> Result {
        let at = block.saturating_mul(BLOCK);
        let (chunk, wrong) = match self.media().read::<Chunk>(at) {
            Ok(chunk) => (chunk, check::chunk(self.geometry(), &chunk, index, at).err()),
            Err(error) => return tell(&Problem { error, ino: Some(format::TABLE_INO), fix: Fix::Table }),
        };
        if let Some(error) = wrong {
            let marks =
                [chunk.magic.get() == format::CHUNK_MAGIC, chunk.index.get() == index, chunk.block.get() == block];
            let known = marks.iter().filter(|mark| **mark).count() >= 2;
            let fix = if known { Fix::Chunk(index) } else { Fix::Table };
            tell(&Problem { error, ino: Some(format::TABLE_INO), fix })?;
            if !known {
                return Ok(());
            }
        }
        self.adopt_chunk(index, block, &chunk.used.map(|word| word.get()))
    }

    /// The next inode from number `from` on that is marked as an orphan.
    ///
    /// # Errors
    ///
    /// `Poison`.
    pub fn orphans(&self, from: u64) -> Result<Option<u64>> {
        for index in from / CHUNK_INODES..self.chunks() {
            let at = self.orphans_at(index.saturating_mul(CHUNK_INODES))?;
            let words: [zerocopy::little_endian::U64; 4] = self.media().read(at)?;
            let mut first = index.saturating_mul(CHUNK_INODES);
            for word in words {
                let skip = from.saturating_sub(first);
                let bits = if skip < 64 { word.get() >> skip << skip } else { 0 };
                if bits != 0 {
                    return Ok(Some(first.saturating_add(u64::from(bits.trailing_zeros()))));
                }
                first = first.saturating_add(64);
            }
        }
        Ok(None)
    }
}

/// Reserves an inode number close to `near`. If there is none, those of orphans that wait to be freed come first: the inode table,
/// which grows otherwise, never shrinks.
///
/// # Errors
///
/// `NoInodes`, `NoSpace`.
#[inline(never)]
pub(in crate::meta) fn number<M: Machine>(volume: &Volume<M>, near: u64) -> Result<Number<'_, M>> {
    let mut patience = Patience::default();
    loop {
        let chunks = volume.chunks();
        match volume.reserve_number(near) {
            Err(Error::NoInodes) if volume.reclaim().is_ok_and(|freed| freed > 0) => {}
            Err(Error::NoInodes) => match grow(volume, chunks) {
                // In other blocks then.
                Err(error) if patience.again(&error) => {}
                grown => grown?,
            },
            number => return number,
        }
    }
}

/// Adds a chunk to the inode table, if it still has `chunks`.
///
/// # Errors
///
/// `NoInodes` if the table has its full size; `NoSpace`.
#[inline(never)]
fn grow<M: Machine>(volume: &Volume<M>, chunks: u64) -> Result {
    volume.table(|| {
        if volume.chunks() != chunks {
            // Somebody else was faster.
            return Ok(());
        }
        if chunks >= volume.geometry().max_chunks() {
            return Err(Error::NoInodes);
        }
        let blocks = reserve(volume)?;
        let first = blocks.first();
        let header = mkfs::chunk(volume.geometry().uuid(), chunks, first);
        blocks.store(0, header.as_bytes())?;
        let start = size_of_val(&header) as u64;
        blocks.zero(start, CHUNK_BLOCKS.saturating_mul(BLOCK).saturating_sub(start))?;
        let blocks = blocks.written();
        let mut raw = read(volume)?;
        let table = Live::new(AT, raw);
        let mut stage = Stage::new();
        let mut change = Change::new(volume, &mut stage);
        change.record().attach(blocks)?;
        let file_block = chunks.saturating_mul(CHUNK_BLOCKS);
        extent::add(&mut change, &mut raw, Run { file_block, block: first, len: CHUNK_BLOCKS as u32, flags: 0 })?;
        raw.blocks = raw.blocks.get().saturating_add(CHUNK_BLOCKS).into();
        raw.size = raw.size.get().saturating_add(CHUNK_BLOCKS.saturating_mul(BLOCK)).into();
        inode::stage(&mut change, &table, &mut raw)?;
        let _durable = change.commit(())?;
        volume.adopt_chunk(chunks, first, &header.used.map(|word| word.get()))
    })
}

/// Reserves the blocks of a chunk, which are contiguous.
fn reserve<M: Machine>(volume: &Volume<M>) -> Result<Blocks<'_, M, Fresh>> {
    let blocks = volume.reserve(0, CHUNK_BLOCKS as u32, false)?;
    if u64::from(blocks.count()) < CHUNK_BLOCKS {
        return Err(Error::NoSpace);
    }
    Ok(blocks)
}

/// An inode for a number that is being taken: all zero but what every inode has, with the next generation. The first one of a slot
/// has any, so that nobody can tell the handle of a file that he was never given.
pub(in crate::meta) fn fresh<M: Machine>(volume: &Volume<M>, ino: u64) -> Result<Live> {
    let at = volume.inode_at(ino)?;
    let mut before = [0u8; 16];
    volume.media().read_bytes(at, &mut before)?;
    let generation = match u32::read_from_bytes(before.get(4..8).unwrap_or_default()).map_or(0, u32::from_le) {
        0 => volume.random() as u32,
        before => before.wrapping_add(1),
    };
    let mut raw = Inode::new_zeroed();
    raw.magic = format::INODE_MAGIC.into();
    raw.ino = ino.into();
    // Zero says that the slot was never used.
    raw.generation = generation.max(1).into();
    Ok(Live::new(at, raw))
}
