// SPDX-License-Identifier: GPL-2.0

//! Lays out an empty volume. The only writer beside the log: nobody else has the media yet.
//!
//! Superblocks that were there go first and the new ones come last, so a half-made volume is none. Everything is stored
//! non-temporally.

use zerocopy::{FromZeros, IntoBytes};

use super::inode::S_IFDIR;
use crate::media::format::{self, Chunk, Device, Inode, Slot, Super, Time};
use crate::media::{check, Error, Geometry, PmemMut, Result, BLOCK, GROUP_BLOCKS, HUGE};

/// Smallest volume in blocks: everything fixed, one chunk of inodes and some space.
pub const BLOCKS_MIN: u64 = 32;
/// Volumes from this size in blocks on (64 MiB) start their data on a 2 MiB boundary.
const ALIGNED_FROM: u64 = 16384;

/// What the new volume is to be like.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Identity of the volume.
    pub uuid: [u8; 16],
    /// Label, UTF-8, padded with zeroes.
    pub label: [u8; 32],
    /// Random key of the names' hash.
    pub hash_seed: [u8; 16],
    /// Lanes of the log, 1 to 64.
    pub lanes: u32,
    /// Bytes of half a lane, a multiple of 64, at least 2048.
    pub half_size: u32,
    /// Limit of inode numbers; rounded up to a multiple of 256, and down to what the format allows.
    pub max_inodes: u64,
    /// Time of creation.
    pub now: Time,
    /// Owner of the root directory.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// Its permissions.
    pub mode: u16,
}

impl Options {
    /// Lanes, log and inodes that suit a device of `size` bytes; the rest is the caller's to fill in.
    pub fn suited(size: u64) -> Self {
        // A log of about a thousandth of the device, 128 KiB to 8 MiB.
        let log = (size / 1024).clamp(128 << 10, 8 << 20);
        let lanes: u32 = if size < 64 << 20 { 4 } else { 16 };
        let half = log.checked_div(u64::from(lanes).saturating_mul(2)).unwrap_or(0).clamp(16 << 10, 256 << 10) as u32;
        Options {
            uuid: [0; 16],
            label: [0; 32],
            hash_seed: [0; 16],
            lanes,
            half_size: half.next_multiple_of(BLOCK as u32),
            max_inodes: (size / (4 * BLOCK)).max(format::CHUNK_INODES),
            now: Time::default(),
            uid: 0,
            gid: 0,
            mode: 0o755,
        }
    }
}

/// Where everything goes, in blocks.
struct Layout {
    blocks: u64,
    lane_start: u64,
    bitmap_start: u64,
    groups: u64,
    data_start: u64,
    max_inodes: u64,
}

fn layout(size: u64, options: &Options) -> Result<Layout> {
    let blocks = size / BLOCK;
    if !(BLOCKS_MIN..=check::BLOCKS_MAX).contains(&blocks) {
        return Err(Error::Invalid("size of the device"));
    }
    if options.lanes == 0 || options.lanes > format::LANES_MAX {
        return Err(Error::Invalid("number of lanes"));
    }
    let half = options.half_size;
    if !(check::HALF_MIN..=check::HALF_MAX).contains(&half) || u64::from(half) % crate::media::LINE != 0 {
        return Err(Error::Invalid("size of a lane"));
    }
    let lane_start = format::TABLE_BLOCK.saturating_add(1);
    let log = u64::from(options.lanes).saturating_mul(2).saturating_mul(u64::from(half)).div_ceil(BLOCK);
    let bitmap_start = lane_start.saturating_add(log);
    let groups = blocks.div_ceil(u64::from(GROUP_BLOCKS));
    let mut data_start = bitmap_start.saturating_add(groups);
    if blocks >= ALIGNED_FROM {
        data_start = data_start.next_multiple_of(u64::from(HUGE));
    }
    let end = data_start.saturating_add(format::CHUNK_BLOCKS);
    if end >= blocks.saturating_sub(1) {
        return Err(Error::Invalid("size of the device"));
    }
    let most = blocks.saturating_mul(BLOCK / format::INODE_SIZE).next_multiple_of(format::CHUNK_INODES);
    let most = most.min(check::INODES_MAX);
    let max_inodes = options.max_inodes.clamp(1, most).next_multiple_of(format::CHUNK_INODES);
    Ok(Layout { blocks, lane_start, bitmap_start, groups, data_start, max_inodes })
}

/// Makes an empty volume of the whole device, with a root directory.
///
/// # Errors
///
/// `Invalid` if the options make no sense or the device is too small for them.
pub fn format(media: &impl PmemMut, options: &Options) -> Result {
    let layout = layout(media.size(), options)?;
    let last = layout.blocks.saturating_sub(1).saturating_mul(BLOCK);
    media.zero_nt(0, BLOCK)?;
    media.zero_nt(last, BLOCK)?;
    media.fence();
    let fixed = layout.lane_start.saturating_mul(BLOCK);
    let bitmaps = layout.bitmap_start.saturating_mul(BLOCK);
    media.zero_nt(BLOCK, fixed.saturating_sub(BLOCK))?;
    media.zero_nt(fixed, bitmaps.saturating_sub(fixed))?;
    slots(media, options)?;
    bitmap(media, &layout)?;
    inodes(media, options, &layout)?;
    media.fence();
    superblock(media, options, &layout, last)?;
    media.fence();
    superblock(media, options, &layout, 0)?;
    media.fence();
    Geometry::read(media).map(|_| ())
}

fn superblock(media: &impl PmemMut, options: &Options, layout: &Layout, at: u64) -> Result {
    let mut sb = Super::new_zeroed();
    sb.magic = format::SUPER_MAGIC;
    sb.major = format::VERSION.into();
    sb.super_len = (size_of::<Super>() as u32).into();
    sb.uuid = options.uuid;
    sb.label = options.label;
    sb.hash_seed = options.hash_seed;
    sb.blocks = layout.blocks.into();
    sb.lanes = options.lanes.into();
    sb.half_size = options.half_size.into();
    sb.lane_start = layout.lane_start.into();
    sb.bitmap_start = layout.bitmap_start.into();
    sb.bitmap_blocks = layout.groups.into();
    sb.data_start = layout.data_start.into();
    sb.group_blocks = GROUP_BLOCKS.into();
    sb.devices = 1.into();
    sb.max_inodes = layout.max_inodes.into();
    sb.root = format::ROOT_INO.into();
    sb.created = options.now;
    sb.table = [Device { uuid: options.uuid, blocks: layout.blocks.into() }];
    sb.crc = check::super_crc(&sb, at).into();
    media.store_nt(at, sb.as_bytes())
}

fn slots(media: &impl PmemMut, options: &Options) -> Result {
    for offset in format::SLOT_OFFSETS {
        let at = format::SLOT_BLOCK.saturating_mul(BLOCK).saturating_add(offset);
        let mut slot = Slot::new_zeroed();
        slot.state = format::SLOT_CLEAN.into();
        slot.crc = check::slot_crc(&options.uuid, &slot, at).into();
        media.store_nt(at, slot.as_bytes())?;
    }
    Ok(())
}

/// Bits of everything fixed, of the first chunk of inodes, of the last block and of blocks that do not exist.
fn bitmap(media: &impl PmemMut, layout: &Layout) -> Result {
    let used = layout.data_start.saturating_add(format::CHUNK_BLOCKS);
    let last = layout.blocks.saturating_sub(1);
    let mut piece = [0u8; 256];
    let mut block = 0u64;
    let mut at = layout.bitmap_start.saturating_mul(BLOCK);
    let end = layout.groups.saturating_mul(u64::from(GROUP_BLOCKS));
    while block < end {
        for byte in &mut piece {
            *byte = 0;
            for bit in 0..8u8 {
                if block < used || block >= last {
                    *byte |= 1 << bit;
                }
                block = block.saturating_add(1);
            }
        }
        media.store_nt(at, &piece)?;
        at = at.saturating_add(piece.len() as u64);
    }
    Ok(())
}

/// The header of a new chunk of the inode table.
pub(in crate::meta) fn chunk(uuid: &[u8; 16], index: u64, block: u64) -> Chunk {
    let mut chunk = Chunk::new_zeroed();
    // The numbers that the header's own bytes take do not exist.
    chunk.used = [0xffff.into(), 0.into(), 0.into(), 0.into()];
    chunk.magic = format::CHUNK_MAGIC.into();
    chunk.index = index.into();
    chunk.block = block.into();
    chunk.crc = check::chunk_crc(uuid, &chunk, block.saturating_mul(BLOCK)).into();
    chunk
}

/// The table inode, its first chunk, and in it the root directory.
fn inodes(media: &impl PmemMut, options: &Options, layout: &Layout) -> Result {
    let start = layout.data_start;
    let at = start.saturating_mul(BLOCK);
    media.zero_nt(at.saturating_add(BLOCK), format::CHUNK_BLOCKS.saturating_sub(1).saturating_mul(BLOCK))?;
    let mut chunk = chunk(&options.uuid, 0, start);
    chunk.used = [0x1_ffff.into(), 0.into(), 0.into(), 0.into()];
    media.store_nt(at, chunk.as_bytes())?;
    let rest = BLOCK.saturating_sub(size_of::<Chunk>() as u64);
    media.zero_nt(at.saturating_add(size_of::<Chunk>() as u64), rest)?;

    let mut root = inode(options.now, format::ROOT_INO);
    root.mode = (S_IFDIR | options.mode & 0o7777).into();
    root.uid = options.uid.into();
    root.gid = options.gid.into();
    root.nlink = 2.into();
    root.parent = format::ROOT_INO.into();
    root.crc = check::inode_crc(&options.uuid, &root).into();
    media.store_nt(at.saturating_add(format::ROOT_INO.saturating_mul(format::INODE_SIZE)), root.as_bytes())?;

    let mut table = table(options.now);
    table.size = format::CHUNK_BLOCKS.saturating_mul(BLOCK).into();
    table.blocks = format::CHUNK_BLOCKS.into();
    let len = format::CHUNK_BLOCKS as u32;
    let extent = format::Extent { file_block: 0.into(), block: start.into(), len: len.into(), flags: 0.into() };
    table.inline_len = 1;
    for (target, byte) in table.inline.iter_mut().zip(extent.as_bytes()) {
        *target = *byte;
    }
    table.crc = check::inode_crc(&options.uuid, &table).into();
    media.store_nt(format::TABLE_BLOCK.saturating_mul(BLOCK), table.as_bytes())
}

/// The inode of a table without chunks.
pub(in crate::meta) fn table(now: Time) -> Inode {
    let mut table = inode(now, format::TABLE_INO);
    table.nlink = 1.into();
    table
}

fn inode(now: Time, ino: u64) -> Inode {
    let mut inode = Inode::new_zeroed();
    inode.magic = format::INODE_MAGIC.into();
    inode.generation = 1.into();
    inode.ino = ino.into();
    inode.btime = now;
    inode.atime = now;
    inode.mtime = now;
    inode.ctime = now;
    inode
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn the_largest_device_has_no_more_inodes_than_numbers() {
        for size in [1 << 40, 1 << 48] {
            let suited = Options::suited(size);
            for options in [suited, Options { max_inodes: u64::MAX, ..suited }] {
                let made = layout(size, &options).unwrap();
                assert!(made.max_inodes <= 1 << 32, "{size}: {}", made.max_inodes);
            }
        }
    }
}
