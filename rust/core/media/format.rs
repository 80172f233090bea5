// SPDX-License-Identifier: GPL-2.0

//! Every type that lies on the media, format 1. The only file that knows the layout of bytes.
//!
//! All is little-endian, and unaligned so that no padding can hide. Reserved bytes are zero. Checksums are CRC-32C over the
//! object with the checksum itself left out, begun with the volume's uuid and the object's own position or number
//! ([`super::check`]). Codes are plain integers here and become enums in `check`.

use zerocopy::little_endian::{I64, U16, U32, U64};
use zerocopy_derive::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// First bytes of a superblock.
pub const SUPER_MAGIC: [u8; 8] = *b"pfnfs\0\0\0";
/// Major version of this format: another one is refused.
pub const VERSION: u32 = 1;
/// Magic of an inode.
pub const INODE_MAGIC: u16 = 0x4e49;
/// Magic of a tree node.
pub const NODE_MAGIC: u32 = 0x4544_4f4e;
/// Magic of the header of a chunk of inodes.
pub const CHUNK_MAGIC: u32 = 0x4b4e_4843;

/// Blocks of the fixed objects at the start of the volume.
pub const SLOT_BLOCK: u64 = 1;
/// Block of the table inode.
pub const TABLE_BLOCK: u64 = 2;
/// Positions of the two slots within their block: never in one line, page half or ECC word.
pub const SLOT_OFFSETS: [u64; 2] = [0, 2048];

/// Inode number of the inode table itself.
pub const TABLE_INO: u64 = 0;
/// Inodes in a chunk of the table, the header's share included.
pub const CHUNK_INODES: u64 = 256;
/// Numbers at the start of a chunk that its header takes.
pub const CHUNK_HEADER_INODES: u64 = 16;
/// Blocks of a chunk.
pub const CHUNK_BLOCKS: u64 = 16;
/// Inode number of the root directory: the first there is.
pub const ROOT_INO: u64 = CHUNK_HEADER_INODES;
/// Bytes of an inode.
pub const INODE_SIZE: u64 = 256;
/// Longest name.
pub const NAME_MAX: usize = 255;
/// Largest number of lanes.
pub const LANES_MAX: u32 = 64;

/// A point in time, UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Time {
    /// Seconds since 1970.
    pub sec: I64,
    /// Nanoseconds, below 10^9.
    pub nsec: U32,
}
const _: () = assert!(size_of::<Time>() == 12);

/// One device of the volume.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Device {
    /// Identity of the device.
    pub uuid: [u8; 16],
    /// Blocks it adds to the volume.
    pub blocks: U64,
}
const _: () = assert!(size_of::<Device>() == 24);

/// The superblock: in the first and in the last block of the volume. Written by mkfs only.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Super {
    /// [`SUPER_MAGIC`].
    pub magic: [u8; 8],
    /// [`VERSION`].
    pub major: U32,
    /// Minor version: for information.
    pub minor: U32,
    /// Bytes of this structure, for growth.
    pub super_len: U32,
    /// Zero.
    pub reserved0: U32,
    /// Features that do not matter to who does not know them.
    pub compat: U64,
    /// Features that allow reading to who does not know them.
    pub ro_compat: U64,
    /// Features without which nothing can be understood.
    pub incompat: U64,
    /// Identity of the volume.
    pub uuid: [u8; 16],
    /// Label, UTF-8, padded with zeroes.
    pub label: [u8; 32],
    /// Key of the names' hash.
    pub hash_seed: [u8; 16],
    /// Size of the volume.
    pub blocks: U64,
    /// Lanes of the log.
    pub lanes: U32,
    /// Bytes of one of the two halves of a lane.
    pub half_size: U32,
    /// First block of the lanes.
    pub lane_start: U64,
    /// First block of the bitmaps.
    pub bitmap_start: U64,
    /// Blocks of bitmaps: one per group.
    pub bitmap_blocks: U64,
    /// First block that can be allocated.
    pub data_start: U64,
    /// Blocks in a group.
    pub group_blocks: U32,
    /// Devices of the volume.
    pub devices: U16,
    /// Which of them this is.
    pub device: U16,
    /// Limit of inode numbers.
    pub max_inodes: U64,
    /// Inode number of the root directory.
    pub root: U64,
    /// When the volume was made.
    pub created: Time,
    /// Device table.
    pub table: [Device; 1],
    /// Zero.
    pub reserved: [u8; 32],
    /// Checksum of the above, begun with the uuid and the own position.
    pub crc: U32,
}
const _: () = assert!(size_of::<Super>() == 256);
const _: () = assert!(core::mem::offset_of!(Super, crc) == 252);

/// State of the log; two copies, each in a line of its own, that a checkpoint writes one after the other.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Slot {
    /// Checksum of the rest, begun with the uuid and the own position.
    pub crc: U32,
    /// [`SLOT_DIRTY`] or [`SLOT_CLEAN`].
    pub state: U32,
    /// The cut: records up to this sequence are in place.
    pub cut: U64,
    /// The present mount's nonce: records that carry another one do not count.
    pub nonce: U64,
    /// Mounts for writing so far.
    pub mounts: U64,
    /// Zero.
    pub reserved: [u8; 32],
}
const _: () = assert!(size_of::<Slot>() == 64);

/// Largest sequence number of a record. That of no record and no cut is larger.
pub const SEQ_MAX: u64 = u64::MAX / 2 - 1;
/// With a cut from here on a log takes no record any more. Until then there are numbers for all
/// that it has room for.
pub const SEQ_END: u64 = SEQ_MAX - (1 << 32);
const _: () = assert!(LANES_MAX as u64 * 2 * (super::check::HALF_MAX as u64 / super::LINE) < 1 << 32);
/// The log may hold records past the cut.
pub const SLOT_DIRTY: u32 = 0;
/// The volume was closed: the log holds nothing.
pub const SLOT_CLEAN: u32 = 1;

/// Header of a chunk of the inode table, in the chunk's first block. The bits are changed by bit patches, the rest never.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Chunk {
    /// One bit per inode: in use.
    pub used: [U64; 4],
    /// One bit per inode: an orphan, to be finished (the inode says how).
    pub orphans: [U64; 4],
    /// [`CHUNK_MAGIC`].
    pub magic: U32,
    /// Checksum of the fields below, begun with the uuid and the own position.
    pub crc: U32,
    /// Number of the chunk.
    pub index: U64,
    /// Device block this header lies in.
    pub block: U64,
    /// Zero.
    pub reserved: [u8; 40],
}
const _: () = assert!(size_of::<Chunk>() == 128);
const _: () = assert!(core::mem::offset_of!(Chunk, orphans) == 32);
const _: () = assert!(core::mem::offset_of!(Chunk, magic) == 64);

/// An inode. What an append changes is contiguous: `crc` to `blocks`, then the inline extents.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Inode {
    /// [`INODE_MAGIC`].
    pub magic: U16,
    /// Type and permissions, as in `st_mode`.
    pub mode: U16,
    /// Incremented whenever the number is given to a new file.
    pub generation: U32,
    /// Own number.
    pub ino: U64,
    /// Owner.
    pub uid: U32,
    /// Group.
    pub gid: U32,
    /// Links.
    pub nlink: U32,
    /// `INODE_*` flags.
    pub flags: U32,
    /// Device number of a device node, in the encoding of `new_encode_dev`.
    pub rdev: U32,
    /// [`ORPHAN_NONE`], [`ORPHAN_UNLINKED`] or [`ORPHAN_TRUNCATING`].
    pub orphan: u8,
    /// Level of the root node, if there is a tree.
    pub level: u8,
    /// Inline area: number of extents, or bytes of it that a symlink uses.
    pub inline_len: u8,
    /// Zero.
    pub reserved0: u8,
    /// Directory: the directory it is in.
    pub parent: U64,
    /// Block of the tree's root (with [`INODE_TREE`]), of a directory's tree, or of a long symlink's target; or 0.
    pub root: U64,
    /// Creation.
    pub btime: Time,
    /// Last access.
    pub atime: Time,
    /// Checksum of all the rest, the inline area included, begun with the uuid and the number.
    pub crc: U32,
    /// Last change of the contents.
    pub mtime: Time,
    /// Last change of the inode.
    pub ctime: Time,
    /// Size in bytes.
    pub size: U64,
    /// Blocks allocated, in 4 KiB, those of the tree included.
    pub blocks: U64,
    /// Zero.
    pub reserved1: [u8; 4],
    /// Up to [`INLINE_EXTENTS`] extents, a symlink of up to [`INLINE_SYMLINK`] bytes, or the checksum of a longer one (4 bytes),
    /// begun with the uuid, the inode's number and its block; zeroes beyond.
    pub inline: [u8; 128],
}
const _: () = assert!(size_of::<Inode>() == INODE_SIZE as usize);
const _: () = assert!(core::mem::offset_of!(Inode, crc) == 80);
const _: () = assert!(core::mem::offset_of!(Inode, inline) == 128);

/// The extents are in a tree, the inline area is unused.
pub const INODE_TREE: u32 = 1;
/// Extents that fit into an inode.
pub const INLINE_EXTENTS: usize = 5;
/// Longest target of a symlink that fits into an inode.
pub const INLINE_SYMLINK: usize = 120;

/// Not an orphan.
pub const ORPHAN_NONE: u8 = 0;
/// Unlinked, and to be freed when the last user is gone.
pub const ORPHAN_UNLINKED: u8 = 1;
/// A truncation has begun: what lies beyond the size is to be freed before anybody sees the file.
pub const ORPHAN_TRUNCATING: u8 = 2;

/// Header of a tree node, which is one block.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Node {
    /// [`NODE_MAGIC`].
    pub magic: U32,
    /// 0 for a leaf.
    pub level: u8,
    /// Order of the leaf's slots: [`NODE_SORTED`] or [`NODE_HASHED`].
    pub order: u8,
    /// Slots in use.
    pub count: U16,
    /// Offset of the lowest byte in use by entries.
    pub heap: U16,
    /// Bytes above `heap` that belong to no entry.
    pub garbage: U16,
    /// Generation of the inode that the tree belongs to.
    pub generation: U32,
    /// Inode that the tree belongs to.
    pub owner: U64,
    /// Device block this node lies in.
    pub block: U64,
    /// First eight bytes of the volume's uuid.
    pub tag: U64,
    /// Zero.
    pub reserved: [u8; 16],
    /// Multilinear sum of the node's 32-bit words, this field taken as zero.
    pub sum: U64,
}
const _: () = assert!(size_of::<Node>() == 64);
const _: () = assert!(core::mem::offset_of!(Node, sum) == 56);

/// Slots sorted by key.
pub const NODE_SORTED: u8 = 0;
/// Slots in any order, found by fingerprint.
pub const NODE_HASHED: u8 = 1;

/// Slot of a leaf.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct LeafSlot {
    /// Some bits of the key.
    pub fingerprint: U16,
    /// Offset of the entry in the node.
    pub offset: U16,
}
const _: () = assert!(size_of::<LeafSlot>() == 4);

/// Entry of an inner node.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Child {
    /// Smallest key that may be found below.
    pub key: U64,
    /// Block of the child.
    pub block: U64,
}
const _: () = assert!(size_of::<Child>() == 16);

/// A run of blocks of a file: inline in the inode, or entry of a leaf.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Extent {
    /// First block of the file.
    pub file_block: U64,
    /// First block of the device.
    pub block: U64,
    /// Blocks, at least 1.
    pub len: U32,
    /// `EXTENT_*` flags.
    pub flags: U32,
}
const _: () = assert!(size_of::<Extent>() == 24);

/// Allocated, but reads as zeroes.
pub const EXTENT_UNWRITTEN: u32 = 1;
/// Other files may refer to these blocks (reserved for a later format feature).
pub const EXTENT_SHARED: u32 = 2;

/// Head of an entry of a directory leaf; the name follows.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct DirEntry {
    /// Hash of the name and a uniquifier: the position in the directory.
    pub key: U64,
    /// Inode.
    pub ino: U64,
    /// Type, as `d_type`.
    pub kind: u8,
    /// Length of the name.
    pub len: u8,
}
const _: () = assert!(size_of::<DirEntry>() == 18);

/// Header of a log record. It starts on a line; patches follow without padding.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Record {
    /// Checksum of the patches, the own position and the rest of the header.
    pub crc: U32,
    /// Bytes of header and patches.
    pub len: U32,
    /// Sequence number.
    pub seq: U64,
    /// The mount's nonce.
    pub nonce: U64,
}
const _: () = assert!(size_of::<Record>() == 24);

/// Bits of the position in the head of a patch; the length follows, then the kind.
pub const PATCH_AT_BITS: u32 = 48;
/// Bits of the length.
pub const PATCH_LEN_BITS: u32 = 14;
/// Patch: `len` bytes follow and go to `at`.
pub const PATCH_WRITE: u8 = 0;
/// Patch: `len` bytes at `at` become zero; none follow.
pub const PATCH_ZERO: u8 = 1;
/// Patch: set bits; a [`Bits`] follows.
pub const PATCH_SET: u8 = 2;
/// Patch: clear bits; a [`Bits`] follows.
pub const PATCH_CLEAR: u8 = 3;

/// Payload of a bit patch, relative to the 8-byte aligned position in the head.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Bits {
    /// First bit.
    pub first: U32,
    /// Number of bits.
    pub count: U32,
}
const _: () = assert!(size_of::<Bits>() == 8);
