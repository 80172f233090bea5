// SPDX-License-Identifier: GPL-2.0

//! Decides whether bytes found on the media are what they should be. One function per type; each says where and why not.
//!
//! Also makes the checksums, as both sides must agree. What needs more than the object itself (does this block belong to
//! that file?) is checked where the object is used.

use core::mem::offset_of;

use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::format::{self, Chunk, DirEntry, Extent, Inode, Node, Slot, Super};
use super::{Error, Geometry, Pmem, Result, BLOCK, GROUP_BLOCKS, LINE};
use crate::plat::crc32c;

/// Smallest half of a lane: twice the largest record.
pub const HALF_MIN: u32 = 2048;
/// Largest half of a lane.
pub const HALF_MAX: u32 = 1 << 26;
/// What is wrong with a chunk whose bits were changed by half of a record: to be expected before the replay.
pub const ORPHAN_UNUSED: &str = "orphan that is not in use";
/// Devices are smaller than this: positions have 48 bits.
pub const BLOCKS_MAX: u64 = 1 << 36;

/// Limit of inode numbers, whatever the superblock says: bitmaps count their bits with 32.
pub const INODES_MAX: u64 = 1 << 32;

/// Features this code knows.
pub const INCOMPAT: u64 = 0;
/// Features this code knows and may write with.
pub const RO_COMPAT: u64 = 0;

/// Checksum of `object` but the four bytes at `skip`, begun with the volume's uuid and the object's place.
fn sum<T: IntoBytes + Immutable>(uuid: &[u8; 16], place: u64, object: &T, skip: usize) -> u32 {
    let bytes = object.as_bytes();
    let seed = crc32c(crc32c(!0, uuid), &place.to_le_bytes());
    let seed = crc32c(seed, bytes.get(..skip).unwrap_or_default());
    crc32c(seed, bytes.get(skip.wrapping_add(4)..).unwrap_or_default())
}

/// Checksum of a superblock that lies at `at`.
pub fn super_crc(sb: &Super, at: u64) -> u32 {
    sum(&sb.uuid, at, sb, offset_of!(Super, crc))
}

/// Checksum of a slot that lies at `at`.
pub fn slot_crc(uuid: &[u8; 16], slot: &Slot, at: u64) -> u32 {
    sum(uuid, at, slot, offset_of!(Slot, crc))
}

/// Checksum of an inode.
pub fn inode_crc(uuid: &[u8; 16], inode: &Inode) -> u32 {
    sum(uuid, inode.ino.get(), inode, offset_of!(Inode, crc))
}

/// What the checksum of a long symlink begins with; it goes on over the target.
pub fn target_seed(uuid: &[u8; 16], inode: &Inode) -> u32 {
    crc32c(crc32c(crc32c(!0, uuid), inode.ino.as_bytes()), inode.root.as_bytes())
}

/// Checksum of the fixed part of a chunk's header that lies at `at`.
pub fn chunk_crc(uuid: &[u8; 16], chunk: &Chunk, at: u64) -> u32 {
    const BITS: usize = 64;
    let bytes = chunk.as_bytes();
    let seed = crc32c(crc32c(!0, uuid), &at.to_le_bytes());
    let seed = crc32c(seed, bytes.get(BITS..offset_of!(Chunk, crc)).unwrap_or_default());
    crc32c(seed, bytes.get(offset_of!(Chunk, index)..).unwrap_or_default())
}

/// The tag of this volume's tree nodes.
pub fn node_tag(uuid: &[u8; 16]) -> u64 {
    u64::read_from_prefix(uuid).map_or(0, |(tag, _)| u64::from_le(tag))
}

/// Reads and validates the superblock at `at`. See [`Geometry::read`] for the errors.
pub fn superblock(media: &impl Pmem, at: u64) -> Result<Geometry> {
    let sb: Super = media.read(at)?;
    if sb.magic != format::SUPER_MAGIC {
        return Err(Error::NotPfnfs);
    }
    if sb.major.get() != format::VERSION {
        return Err(Error::Version(sb.major.get()));
    }
    if sb.crc.get() != super_crc(&sb, at) {
        return Err(Error::Damaged("checksum of the superblock"));
    }
    let unknown = sb.incompat.get() & !INCOMPAT;
    if unknown != 0 {
        return Err(Error::Feature(unknown));
    }
    sizes(&sb, media.size())?;
    layout(&sb)?;
    let last = sb.blocks.get().wrapping_sub(1).wrapping_mul(BLOCK);
    if at != 0 && at != last {
        return Err(Error::Damaged("the last superblock is not in the last block"));
    }
    Ok(geometry(&sb))
}

fn sizes(sb: &Super, media: u64) -> Result {
    let blocks = sb.blocks.get();
    if blocks > BLOCKS_MAX {
        return Err(Error::Damaged("size of the volume"));
    }
    let volume = blocks.wrapping_mul(BLOCK);
    if media / BLOCK != blocks {
        return Err(Error::WrongSize { media, volume });
    }
    if sb.super_len.get() as usize != size_of::<Super>() {
        return Err(Error::Damaged("length of the superblock"));
    }
    if sb.devices.get() != 1 || sb.device.get() != 0 || sb.table.iter().any(|device| device.blocks.get() != blocks) {
        return Err(Error::Damaged("device table"));
    }
    Ok(())
}

fn layout(sb: &Super) -> Result {
    let (lanes, half) = (sb.lanes.get(), sb.half_size.get());
    if lanes == 0 || lanes > format::LANES_MAX {
        return Err(Error::Damaged("number of lanes"));
    }
    if !(HALF_MIN..=HALF_MAX).contains(&half) || u64::from(half) % LINE != 0 {
        return Err(Error::Damaged("size of a lane"));
    }
    let blocks = sb.blocks.get();
    let lane_blocks = u64::from(lanes).wrapping_mul(2).wrapping_mul(u64::from(half)).div_ceil(BLOCK);
    let groups = blocks.div_ceil(u64::from(GROUP_BLOCKS));
    if sb.group_blocks.get() != GROUP_BLOCKS || sb.bitmap_blocks.get() != groups {
        return Err(Error::Damaged("number of groups"));
    }
    let follows = |before: u64, len: u64, next: u64| before.checked_add(len).is_some_and(|end| end <= next);
    if sb.lane_start.get() <= format::TABLE_BLOCK
        || !follows(sb.lane_start.get(), lane_blocks, sb.bitmap_start.get())
        || !follows(sb.bitmap_start.get(), groups, sb.data_start.get())
        || !follows(sb.data_start.get(), 1, blocks)
    {
        return Err(Error::Damaged("order of the areas"));
    }
    let inodes = sb.max_inodes.get();
    let most = blocks.checked_mul(16).and_then(|most| most.checked_next_multiple_of(format::CHUNK_INODES));
    if inodes == 0 || inodes % format::CHUNK_INODES != 0 || most.is_none_or(|most| inodes > most) {
        return Err(Error::Damaged("number of inodes"));
    }
    if sb.root.get() != format::ROOT_INO {
        return Err(Error::Damaged("number of the root directory"));
    }
    Ok(())
}

fn geometry(sb: &Super) -> Geometry {
    Geometry {
        uuid: sb.uuid,
        label: sb.label,
        hash_seed: sb.hash_seed,
        compat: sb.compat.get(),
        ro_compat: sb.ro_compat.get() & !RO_COMPAT,
        blocks: sb.blocks.get(),
        lanes: sb.lanes.get(),
        half_size: sb.half_size.get(),
        lane_start: sb.lane_start.get(),
        bitmap_start: sb.bitmap_start.get(),
        groups: sb.bitmap_blocks.get() as u32,
        data_start: sb.data_start.get(),
        max_inodes: sb.max_inodes.get().min(INODES_MAX),
        root: sb.root.get(),
        created: sb.created,
        damaged: None,
    }
}

/// Validates a slot that was read from `at`.
pub fn slot(uuid: &[u8; 16], slot: &Slot, at: u64) -> Result {
    if slot.crc.get() != slot_crc(uuid, slot, at) {
        return Err(Error::Corrupt { at, why: "checksum of the slot" });
    }
    if slot.state.get() > format::SLOT_CLEAN || slot.reserved != [0; 32] || slot.cut.get() > format::SEQ_MAX {
        return Err(Error::Corrupt { at, why: "slot" });
    }
    Ok(())
}

/// Validates the header of chunk `index` that was read from `at`.
pub fn chunk(geometry: &Geometry, chunk: &Chunk, index: u64, at: u64) -> Result {
    let corrupt = |why| Err(Error::Corrupt { at, why });
    if chunk.magic.get() != format::CHUNK_MAGIC {
        return corrupt("magic of an inode chunk");
    }
    if chunk.crc.get() != chunk_crc(&geometry.uuid, chunk, at) {
        return corrupt("checksum of an inode chunk");
    }
    if chunk.index.get() != index || chunk.block.get() != at / BLOCK || chunk.reserved != [0; 40] {
        return corrupt("inode chunk in the wrong place");
    }
    if chunk.used.first().is_none_or(|word| word.get() & 0xffff != 0xffff) {
        return corrupt("first bits of an inode chunk");
    }
    if chunk.used.iter().zip(&chunk.orphans).any(|(used, orphans)| orphans.get() & !used.get() != 0) {
        return corrupt(ORPHAN_UNUSED);
    }
    Ok(())
}

/// Validates what can be said of an inode by itself. `at` is for the message.
pub fn inode(geometry: &Geometry, inode: &Inode, ino: u64, at: u64) -> Result {
    let corrupt = |why| Err(Error::Corrupt { at, why });
    if inode.magic.get() != format::INODE_MAGIC {
        return corrupt("magic of an inode");
    }
    if inode.ino.get() != ino {
        return corrupt("inode in the wrong place");
    }
    if inode.crc.get() != inode_crc(&geometry.uuid, inode) {
        return corrupt("checksum of an inode");
    }
    if inode.orphan > format::ORPHAN_TRUNCATING || inode.flags.get() & !format::INODE_TREE != 0 {
        return corrupt("state of an inode");
    }
    if inode.reserved0 != 0 || inode.reserved1 != [0; 4] {
        return corrupt("reserved bytes of an inode");
    }
    if inode.root.get() != 0 && !geometry.holds(inode.root.get(), 1) {
        return corrupt("root block of an inode");
    }
    if inode.flags.get() & format::INODE_TREE != 0 && inode.root.get() == 0 {
        return corrupt("inode without its tree");
    }
    if inode.size.get() > 1 << 47 || inode.blocks.get() > geometry.blocks {
        return corrupt("size of an inode");
    }
    if [inode.btime, inode.atime, inode.mtime, inode.ctime].iter().any(|time| time.nsec.get() >= 1_000_000_000) {
        return corrupt("time of an inode");
    }
    Ok(())
}

/// Whose a tree is: inode number and generation.
pub type Owner = (u64, u32);

/// Validates the header of a tree node that lies in `block`. `level` is what the parent says, if anybody.
pub fn node(geometry: &Geometry, node: &Node, block: u64, owner: Owner, level: Option<u8>) -> Result {
    let at = block.wrapping_mul(BLOCK);
    let corrupt = |why| Err(Error::Corrupt { at, why });
    if node.magic.get() != format::NODE_MAGIC || node.tag.get() != node_tag(&geometry.uuid) {
        return corrupt("magic of a tree node");
    }
    if node.block.get() != block || (node.owner.get(), node.generation.get()) != owner {
        return corrupt("tree node in the wrong place");
    }
    if level.is_some_and(|level| node.level != level) {
        return corrupt("level of a tree node");
    }
    if node.order > format::NODE_HASHED || node.reserved != [0; 16] {
        return corrupt("reserved bytes of a tree node");
    }
    let (heap, garbage) = (u64::from(node.heap.get()), u64::from(node.garbage.get()));
    let right = if node.level == 0 {
        heap <= BLOCK && garbage <= BLOCK.saturating_sub(heap)
    } else {
        // Inner nodes have no heap; `garbage` counts the children of 0.
        heap == BLOCK && garbage <= u64::from(node.count.get())
    };
    if !right {
        return corrupt("heap of a tree node");
    }
    let slot = if node.level == 0 { size_of::<format::LeafSlot>() } else { size_of::<format::Child>() };
    let slots = (node.count.get() as usize).wrapping_mul(slot).wrapping_add(size_of::<Node>());
    if slots as u64 > heap {
        return corrupt("number of slots of a tree node");
    }
    Ok(())
}

/// Validates an extent found at `at`: blocks that can be allocated, positions that a file may have.
pub fn extent(geometry: &Geometry, extent: &Extent, at: u64) -> Result {
    let end = extent.file_block.get().checked_add(u64::from(extent.len.get()));
    let known = format::EXTENT_UNWRITTEN | format::EXTENT_SHARED;
    if !geometry.holds(extent.block.get(), u64::from(extent.len.get())) {
        return Err(Error::Corrupt { at, why: "extent outside the data area" });
    }
    if end.is_none_or(|end| end > 1 << 35) || extent.flags.get() & !known != 0 {
        return Err(Error::Corrupt { at, why: "extent" });
    }
    Ok(())
}

/// Validates the head of a directory entry found at `at`.
pub fn dir_entry(geometry: &Geometry, entry: &DirEntry, at: u64) -> Result {
    let ino = entry.ino.get();
    if entry.len == 0 || ino >= geometry.max_inodes || ino % format::CHUNK_INODES < format::CHUNK_HEADER_INODES {
        return Err(Error::Corrupt { at, why: "directory entry" });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use zerocopy::FromZeros;

    #[test]
    fn inode_numbers_have_32_bits() {
        let mut sb = Super::new_zeroed();
        for (said, limit) in [(256, 256), (INODES_MAX, INODES_MAX), (INODES_MAX * 4, INODES_MAX)] {
            sb.max_inodes = said.into();
            assert_eq!(geometry(&sb).max_inodes(), limit);
        }
    }
}
