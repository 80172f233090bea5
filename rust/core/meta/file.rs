// SPDX-License-Identifier: GPL-2.0

//! The data of files: every decision about it, and no byte of it.
//!
//! Which step comes next, which case a block is, what is zeroed and fenced before it can be seen,
//! where fresh blocks lie, how far a step goes: that is decided here. Bytes are moved by a
//! [`Carrier`], which the surroundings implement: over a user's memory in the kernel, over slices
//! on the host. What becomes of the file is said by records, those of [`ops`](super::ops).
//!
//! | what | where | one step |
//! |---|---|---|
//! | write(2) | [`Write`] | as far as the file is made of one kind of blocks, and as the buffer goes |
//! | a page fault | [`Fault`] | one extent of the window |
//! | fallocate(2) | [`Allocate`] | one extent, at most a group |
//! | punch, zero range | [`Clear`] | an edge within a block; all whole blocks |
//! | truncate(2) | [`resize`] | all |
//!
//! A step returns to the surroundings, which let go of locks, see fatal signals, and account.
//!
//! # Locks
//!
//! "The inode's lock" is that of its [`Live`]. `rust/fs` calls it `meta`. Beside it, whoever
//! changes the size of a file or writes to it keeps others from doing so as long as all its steps
//! take (`i_rwsem`); faults do not wait for that.
//!
//! | step | the inode's lock |
//! |---|---|
//! | [`Write::next`], [`Clear::edge`], [`piece`] | shared |
//! | [`Write::carry`] | not held: the copy may wait for the user, whose fault may need it |
//! | [`Write::record`], [`Fault::next`], [`Allocate::next`], [`Clear::whole`], [`resize`], [`prepare_end`] | alone |
//!
//! # What can be seen
//!
//! * A byte of a written block before the end of the file is seen: by reads at once, by mappings as
//!   soon as the block is shown.
//! * A byte of a written block beyond the end is not seen by reads, and may be anything: a power
//!   cut may have kept a part of an append that did not return. So [`prepare_end`] zeroes it before
//!   the end moves over it. A mapping shows it, so it is zeroed before the last block is shown
//!   ([`Fault::next`]).
//! * A byte of an unwritten block is not seen; it is zeroed, or stored to, before a record says
//!   that the block is written.
//! * A byte of a fresh block is not seen; a record gives the file what was filled.
//!
//! All that becomes visible by a record is fenced before that record. Positions are below 2^48, so
//! `wrapping_` operations on them never wrap.

mod fault;
mod range;
mod size;
mod write;

pub use fault::{Fault, Seen, Shown};
pub use range::{Allocate, Clear, How};
#[allow(unused_imports, reason = "the host's fsync")]
pub use size::write_back;
pub use size::{prepare_end, resize};
#[allow(unused_imports, reason = "types of what others return")]
pub use write::{Carried, Done, Step, Write, BOUNCE};

use super::extent::{self, Extent};
use super::inode::Live;
use super::{Machine, Volume};
use crate::media::{Error, Pmem, BLOCK, HUGE};

type Result<T, E = Error> = core::result::Result<T, E>;

/// Stores to the blocks of files, past the cache. Positions are bytes of the media.
pub trait Carrier {
    /// Why it could not.
    type Error;

    /// Stores zeroes.
    fn zero(&mut self, at: u64, len: u64) -> Result<(), Self::Error>;

    /// Begins the write-back of what mappings have stored.
    fn flush(&mut self, at: u64, len: u64);

    /// All that this task has stored and flushed is durable.
    fn fence(&mut self);

    /// Whether anything may be stored now. Asked by those who only read, and could do without.
    fn may_store(&mut self) -> bool {
        true
    }
}

/// Carries the bytes of a caller as well. The first two may wait for the caller's memory: no lock
/// is held.
pub trait Source: Carrier {
    /// Whether it is the media that failed, not the caller's memory.
    fn is_loss(error: &Self::Error) -> bool;

    /// Copies up to `len` bytes to `at`, past the cache; returns how many, at least one.
    fn copy(&mut self, at: u64, len: u64) -> Result<u64, Self::Error>;

    /// Takes up to `len` bytes, which are at most [`BOUNCE`], into a buffer, in place of what was in
    /// it; returns how many, at least one.
    fn fetch(&mut self, len: u64) -> Result<u64, Self::Error>;

    /// Stores the first `len` bytes of the buffer at `at`, past the cache.
    fn store(&mut self, at: u64, len: u64) -> Result<(), Self::Error>;
}

/// Why a step failed.
#[derive(Debug)]
pub enum Failure<E> {
    /// The core's error: metadata, space, limits.
    Core(Error),
    /// The carrier's: bytes of a file, or of the caller.
    Carrier(E),
}

impl<E> From<Error> for Failure<E> {
    fn from(error: Error) -> Self {
        Self::Core(error)
    }
}

impl From<Failure<Error>> for Error {
    fn from(failure: Failure<Error>) -> Self {
        match failure {
            Failure::Core(error) | Failure::Carrier(error) => error,
        }
    }
}

/// What a byte of a file is made of, and for how many bytes from there on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Zeroes: a hole, or blocks that are not written.
    Zeroes(u64),
    /// Bytes from this position of the media on.
    Media(u64, u64),
}

/// Looks up the byte at `pos`. Its end is not looked at. The inode's lock is held, shared at least.
///
/// # Errors
///
/// As of [`extent::find`].
pub fn piece<M: Machine>(volume: &Volume<M>, live: &Live, pos: u64) -> Result<Piece> {
    let offset = pos % BLOCK;
    let bytes = |blocks: u64| blocks.saturating_mul(BLOCK).wrapping_sub(offset);
    Ok(match extent::find(volume, live, pos / BLOCK)? {
        Extent::Data { block, len, unwritten: false, .. } => {
            Piece::Media(block.wrapping_mul(BLOCK).wrapping_add(offset), bytes(len.into()))
        }
        Extent::Data { len, .. } => Piece::Zeroes(bytes(len.into())),
        Extent::Hole { len } => Piece::Zeroes(bytes(len)),
    })
}

/// Blocks of an aligned run of 2 MiB.
const RUN: u64 = HUGE as u64;

/// Where fresh blocks are to be looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The best first block; 0: any.
    near: u64,
    /// How many at most.
    want: u32,
    /// Whether to begin a run of 2 MiB.
    aligned: bool,
}

/// Where `want` blocks for file block `at` are best taken from: so that 2 MiB of the file, aligned,
/// are 2 MiB of the media, aligned, where that can be had.
fn place<M: Machine>(volume: &Volume<M>, live: &Live, at: u64, want: u64) -> Result<Place> {
    let (near, into) = (near(volume, live, at)?, at % RUN);
    // Up to where aligned runs can begin.
    let want = if into == 0 { want } else { want.min(RUN.wrapping_sub(into)) };
    let aligned = into == 0 && (want >= RUN || at > 0);
    let near = if aligned && near % RUN != 0 { 0 } else { near };
    Ok(Place { near, want: want as u32, aligned })
}

/// The block behind those of the block before. 0: there is none.
fn near<M: Machine>(volume: &Volume<M>, live: &Live, at: u64) -> Result<u64> {
    let Some(before) = at.checked_sub(1) else { return Ok(0) };
    Ok(match extent::find(volume, live, before)? {
        Extent::Data { block, .. } => block.saturating_add(1),
        Extent::Hole { .. } => 0,
    })
}

/// Whether memory of these blocks is known to have failed.
fn is_lost<M: Machine>(volume: &Volume<M>, block: u64, blocks: u64) -> bool {
    volume.media().first_lost(block.saturating_mul(BLOCK), blocks.saturating_mul(BLOCK)).is_some()
}
