// SPDX-License-Identifier: GPL-2.0

//! The media: what lies where, byte by byte, and how it is reached.
//!
//! `format` has the types, `check` decides whether bytes found on the media are one of them, `pmem` is the access to the
//! media. Nothing here holds state or a lock, and nothing here decides when to write: that is `meta::log`.
//!
//! Positions on the media (`at`) are bytes from the start of the device, below 2^48. Block numbers count 4 KiB blocks.

#![forbid(unsafe_code)]
#![allow(unreachable_pub, reason = "also a cargo library")]

pub mod check;
pub mod format;
mod geometry;
pub mod pmem;

pub use geometry::{Geometry, GROUP_BLOCKS};
pub use pmem::{Pmem, PmemMut};

/// Bytes in a block.
pub const BLOCK: u64 = 4096;
/// Bytes in a cache line: the unit of write-back, and of the log.
pub const LINE: u64 = 64;
/// Blocks in the largest mapping we aim for: 2 MiB.
pub const HUGE: u32 = 512;

/// What went wrong, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// The memory at this position cannot be read (machine check).
    Poison {
        /// Byte position on the media.
        at: u64,
    },
    /// The memory at this position failed while a block was being filled that nobody had yet: the loss of nobody. The block is kept
    /// from everybody from now on, so another try takes another one.
    LostFree {
        /// Byte position on the media.
        at: u64,
    },
    /// What lies at this position cannot be right.
    Corrupt {
        /// Byte position on the media.
        at: u64,
        /// What is wrong.
        why: &'static str,
    },
    /// No pfnfs volume here.
    NotPfnfs,
    /// A volume of a major version of the format that this code does not know.
    Version(u32),
    /// A volume that uses incompatible features of these bits.
    Feature(u64),
    /// Both superblocks are damaged; this is wrong with the first.
    Damaged(&'static str),
    /// The volume does not fit the device; both in bytes.
    WrongSize {
        /// Size of the device.
        media: u64,
        /// Size of the volume.
        volume: u64,
    },
    /// No free block, also after a checkpoint.
    NoSpace,
    /// No free inode.
    NoInodes,
    /// The volume is open for reading only.
    ReadOnly,
    /// The name exists.
    Exists,
    /// No such name or inode.
    NotFound,
    /// Not a directory.
    NotDir,
    /// A directory.
    IsDir,
    /// The directory has entries.
    NotEmpty,
    /// The link count would exceed its limit.
    TooManyLinks,
    /// A name of more than 255 bytes.
    NameTooLong,
    /// A file, a symlink or a record would exceed its limit.
    TooBig,
    /// The caller asked for something that makes no sense.
    Invalid(&'static str),
}

/// Result with [`Error`].
pub type Result<T = ()> = core::result::Result<T, Error>;
