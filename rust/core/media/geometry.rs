// SPDX-License-Identifier: GPL-2.0

//! Where the parts of a volume lie: the superblock, validated, in native integers.

use core::ops::Range;

use super::{check, format, Error, Pmem, Result, BLOCK};

/// Blocks in a group: as many as one block of bitmap has bits.
pub const GROUP_BLOCKS: u32 = 32768;
const _: () = assert!(GROUP_BLOCKS.is_power_of_two());

/// A validated superblock. Copied freely.
///
/// # Invariants
///
/// `2 < lane_start`, and lanes, bitmaps and data follow each other without overlap, all before the last block. `blocks` times
/// [`BLOCK`] is below 2^48, so positions calculated from these fields do not overflow.
#[derive(Clone, Copy, Debug)]
pub struct Geometry {
    pub(in crate::media) uuid: [u8; 16],
    pub(in crate::media) label: [u8; 32],
    pub(in crate::media) hash_seed: [u8; 16],
    pub(in crate::media) compat: u64,
    pub(in crate::media) ro_compat: u64,
    pub(in crate::media) blocks: u64,
    pub(in crate::media) lanes: u32,
    pub(in crate::media) half_size: u32,
    pub(in crate::media) lane_start: u64,
    pub(in crate::media) bitmap_start: u64,
    pub(in crate::media) groups: u32,
    pub(in crate::media) data_start: u64,
    pub(in crate::media) max_inodes: u64,
    pub(in crate::media) root: u64,
    pub(in crate::media) created: format::Time,
    pub(in crate::media) damaged: Option<u64>,
}

impl Geometry {
    /// Reads and validates the superblocks. If the first is damaged the last one serves.
    ///
    /// # Errors
    ///
    /// `NotPfnfs`, `Version`, `Feature`, `Damaged`, `WrongSize`; `Poison` if neither can be read.
    pub fn read(media: &impl Pmem) -> Result<Self> {
        let last = media.size() & !(BLOCK.wrapping_sub(1));
        let copy = last.checked_sub(BLOCK).filter(|at| *at > 0).ok_or(Error::NotPfnfs)?;
        let first = check::superblock(media, 0);
        match first {
            Ok(mut geometry) => {
                if check::superblock(media, copy).is_err() {
                    geometry.damaged = Some(copy);
                }
                Ok(geometry)
            }
            // A sound superblock that we cannot use: the copy has nothing to add.
            Err(Error::Version(_) | Error::Feature(_) | Error::WrongSize { .. }) => first,
            Err(error) => match check::superblock(media, copy) {
                Ok(mut geometry) => {
                    geometry.damaged = Some(0);
                    Ok(geometry)
                }
                Err(Error::NotPfnfs) => Err(error),
                Err(Error::Poison { .. }) if error == Error::NotPfnfs => Err(error),
                Err(other) if error == Error::NotPfnfs => Err(other),
                Err(_) => Err(error),
            },
        }
    }

    /// Identity of the volume.
    pub fn uuid(&self) -> &[u8; 16] {
        &self.uuid
    }

    /// Label, without the padding.
    pub fn label(&self) -> &[u8] {
        let len = self.label.iter().position(|byte| *byte == 0).unwrap_or(self.label.len());
        self.label.get(..len).unwrap_or_default()
    }

    /// Key of the names' hash.
    pub fn hash_seed(&self) -> &[u8; 16] {
        &self.hash_seed
    }

    /// Compatible features, and those that only a writer has to know.
    pub fn features(&self) -> (u64, u64) {
        (self.compat, self.ro_compat)
    }

    /// Whether a feature forbids writing to whom does not know it.
    pub fn read_only(&self) -> bool {
        self.ro_compat != 0
    }

    /// Size in blocks.
    pub fn blocks(&self) -> u64 {
        self.blocks
    }

    /// Lanes of the log, 1 to 64.
    pub fn lanes(&self) -> u32 {
        self.lanes
    }

    /// Bytes in a half of a lane, a multiple of 64.
    pub fn half_size(&self) -> u32 {
        self.half_size
    }

    /// Position of half `half` (0 or 1) of lane `lane`.
    pub fn half_at(&self, lane: u32, half: u8) -> u64 {
        let index = u64::from(lane).wrapping_mul(2).wrapping_add(u64::from(half & 1));
        (self.lane_start.wrapping_mul(BLOCK)).wrapping_add(index.wrapping_mul(u64::from(self.half_size)))
    }

    /// First block of the bitmaps.
    pub fn bitmap_start(&self) -> u64 {
        self.bitmap_start
    }

    /// Number of groups.
    pub fn groups(&self) -> u32 {
        self.groups
    }

    /// 64-bit words in the bitmap of a group.
    pub const fn group_words(&self) -> usize {
        (GROUP_BLOCKS / 64) as usize
    }

    /// Group of a block, and the block's bit in it.
    pub fn bit(&self, block: u64) -> (u32, u32) {
        ((block >> GROUP_BLOCKS.ilog2()) as u32, (block as u32) & (GROUP_BLOCKS - 1))
    }

    /// Position of a group's bitmap.
    pub fn bitmap_at(&self, group: u32) -> u64 {
        self.bitmap_start.wrapping_add(u64::from(group)).wrapping_mul(BLOCK)
    }

    /// Blocks that can be allocated at all.
    pub fn data(&self) -> Range<u64> {
        self.data_start..self.blocks.saturating_sub(1)
    }

    /// Whether these blocks can be allocated at all: at least one, none outside.
    pub fn holds(&self, block: u64, count: u64) -> bool {
        let data = self.data();
        count > 0 && block >= data.start && block.checked_add(count).is_some_and(|end| end <= data.end)
    }

    /// Limit of inode numbers, a multiple of 256.
    pub fn max_inodes(&self) -> u64 {
        self.max_inodes
    }

    /// Limit of chunks of the inode table.
    pub fn max_chunks(&self) -> u64 {
        self.max_inodes / format::CHUNK_INODES
    }

    /// Inode number of the root directory.
    pub fn root(&self) -> u64 {
        self.root
    }

    /// When the volume was made.
    pub fn created(&self) -> format::Time {
        self.created
    }

    /// Position of a superblock that should be there and is damaged.
    pub fn damaged(&self) -> Option<u64> {
        self.damaged
    }
}
