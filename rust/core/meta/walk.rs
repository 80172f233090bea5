// SPDX-License-Identifier: GPL-2.0

//! Visits everything that is reachable in a volume, and checks that it fits together: no block used twice, none lost, none used
//! and free; links, parents and entries agree; every checksum and sum is right; orphans are marked.
//!
//! For tests and tools. Nothing may change meanwhile. The caller provides the memory, and decides at each problem whether to go
//! on. The work is bounded on any image: a node that is met a second time is left out.
//!
//! Three passes: `objects` has inodes, their trees and the entries of directories; `links` what follows from the entries, and
//! then the extents (`space`), as a block of metadata proves whose it is and one of data does not; last the bitmaps.

mod links;
mod objects;
mod problem;
mod space;

use super::dir::{self, Scratch as Keys};
use super::inode::{self, Live};
use super::{Machine, Volume};
use crate::media::format;
use crate::media::{check as valid, Error, Geometry, Pmem, Result, BLOCK};

pub(in crate::meta) use objects::contents;
pub use problem::{Fix, Problem, Rank};

/// What a walk shows to its caller.
pub trait Visitor {
    /// An inode in use.
    fn inode(&mut self, _live: &Live) {}

    /// An extent of a file; `ino` 0 is the inode table.
    fn extent(&mut self, _ino: u64, _file_block: u64, _block: u64, _len: u32, _unwritten: bool) {}

    /// A node of an inode's tree.
    fn node(&mut self, _ino: u64, _block: u64) {}

    /// An entry of directory `dir`, in no order.
    fn entry(&mut self, _dir: u64, _entry: &dir::Entry<'_>) {}

    /// Something is wrong. An error ends the walk, and the walk returns it.
    fn problem(&mut self, problem: &Problem) -> Result {
        Err(problem.error)
    }

    /// So many of the steps of the walk are done. An error ends it.
    fn progress(&mut self, _done: u64, _all: u64) -> Result {
        Ok(())
    }
}

/// A visitor that only wants the check.
impl Visitor for () {}

/// Memory for a walk.
pub struct Scratch<'a> {
    /// Two bits per block: [`Scratch::block_words`] words.
    pub blocks: &'a mut [u64],
    /// One word per inode number: [`Scratch::link_words`] words.
    pub links: &'a mut [u32],
    /// Keys of a directory leaf.
    pub keys: &'a mut Keys,
}

impl Scratch<'_> {
    /// Words of `blocks` that a volume needs: in use, and metadata.
    pub fn block_words(geometry: &Geometry) -> usize {
        bits_words(geometry).saturating_mul(2)
    }

    /// Words of `links` that a volume needs.
    pub fn link_words<M: Machine>(volume: &Volume<M>) -> usize {
        volume.chunks().saturating_mul(format::CHUNK_INODES) as usize
    }
}

/// Words with a bit for each block.
fn bits_words(geometry: &Geometry) -> usize {
    (geometry.groups() as usize).saturating_mul(geometry.group_words())
}

/// What there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Inodes in use.
    pub inodes: u64,
    /// Directories among them.
    pub dirs: u64,
    /// Orphans among them.
    pub orphans: u64,
    /// Entries of directories.
    pub entries: u64,
    /// Extents of files.
    pub extents: u64,
    /// Blocks in use in the data area.
    pub blocks: u64,
}

/// A walk under way.
struct Walk<'a, 's, M: Machine> {
    volume: &'a Volume<M>,
    scratch: &'a mut Scratch<'s>,
    visitor: &'a mut dyn Visitor,
    summary: Summary,
    /// Everything could be read so far. If not, blocks may seem lost and inodes nameless that are not.
    complete: bool,
    done: u64,
}

/// An inode in use, and whether it is marked as an orphan.
struct Used {
    live: Live,
    marked: bool,
}

/// Visits and checks everything. The volume is at rest: no operation under way.
///
/// # Errors
///
/// What the visitor returned: by default the first thing that is wrong, `Corrupt` or `Poison`. `Invalid` if the scratch memory is
/// too small.
pub fn check<M: Machine>(volume: &Volume<M>, scratch: &mut Scratch<'_>, visitor: &mut dyn Visitor) -> Result<Summary> {
    if scratch.blocks.len() < Scratch::block_words(volume.geometry())
        || scratch.links.len() < Scratch::link_words(volume)
    {
        return Err(Error::Invalid("scratch memory"));
    }
    scratch.blocks.fill(0);
    scratch.links.fill(0);
    let mut walk = Walk { volume, scratch, visitor, summary: Summary::default(), complete: true, done: 0 };
    walk.table()?;
    walk.root()?;
    for chunk in 0..volume.chunks() {
        walk.header(chunk)?;
        walk.chunk(chunk, true, Walk::contents)?;
    }
    for chunk in 0..volume.chunks() {
        walk.chunk(chunk, false, Walk::links)?;
    }
    walk.bitmaps()?;
    Ok(walk.summary)
}

impl<M: Machine> Walk<'_, '_, M> {
    /// Tells the visitor what is wrong, and goes on if it says so.
    fn report(&mut self, error: Error, ino: Option<u64>, fix: Fix) -> Result {
        if !matches!(error, Error::Corrupt { .. } | Error::Poison { .. }) {
            return Err(error);
        }
        if matches!(fix.rank(), Rank::Ground | Rank::Objects) {
            self.complete = false;
        }
        self.visitor.problem(&Problem { error, ino, fix })
    }

    /// The same for what lies at `at`.
    fn corrupt(&mut self, at: u64, why: &'static str, ino: u64, fix: Fix) -> Result {
        self.report(Error::Corrupt { at, why }, Some(ino), fix)
    }

    fn step(&mut self) -> Result {
        let all = self.volume.chunks().saturating_mul(2).saturating_add(u64::from(self.volume.geometry().groups()));
        self.done = self.done.saturating_add(1);
        self.visitor.progress(self.done, all)
    }

    /// The header of a chunk of inodes.
    fn header(&mut self, index: u64) -> Result {
        let Ok(at) = self.volume.chunk_at(index) else {
            self.complete = false;
            return Ok(());
        };
        let header = self.volume.media().read::<format::Chunk>(at);
        match header.and_then(|header| valid::chunk(self.volume.geometry(), &header, index, at)) {
            Ok(()) => Ok(()),
            Err(error) => self.report(error, Some(format::TABLE_INO), Fix::Chunk(index)),
        }
    }

    /// Calls `each` with the inodes in use of a chunk. What cannot be read is told if `first`.
    fn chunk(&mut self, index: u64, first: bool, each: fn(&mut Self, &Used) -> Result) -> Result {
        self.step()?;
        // A chunk that was not found was told when the volume was opened.
        let Ok(at) = self.volume.chunk_at(index) else { return Ok(()) };
        let Ok(header) = self.volume.media().read::<format::Chunk>(at) else { return Ok(()) };
        let start = index.saturating_mul(format::CHUNK_INODES);
        for number in format::CHUNK_HEADER_INODES..format::CHUNK_INODES {
            let bit = |words: &[zerocopy::little_endian::U64; 4]| {
                let word = words.get((number / 64) as usize).map_or(0, |word| word.get());
                word >> (number % 64) & 1 != 0
            };
            if !bit(&header.used) {
                continue;
            }
            let ino = start.saturating_add(number);
            match inode::load(self.volume, ino, None) {
                Ok(live) => each(self, &Used { live, marked: bit(&header.orphans) })?,
                Err(error) if first => self.report(error, Some(ino), Fix::Inode(ino))?,
                Err(_) => {}
            }
        }
        Ok(())
    }

    /// Takes a block of metadata; false if it is in use already.
    fn take_meta(&mut self, block: u64) -> Result<bool> {
        if self.bit(block, false)? {
            return Ok(false);
        }
        self.set(block, false)?;
        self.set(block, true)?;
        self.summary.blocks = self.summary.blocks.saturating_add(1);
        Ok(true)
    }

    /// Gives back a block that turned out not to be what it was taken for.
    fn release(&mut self, block: u64) -> Result {
        for half in [0, bits_words(self.volume.geometry())] {
            let word = self.scratch.blocks.get_mut(half.saturating_add((block / 64) as usize));
            *word.ok_or(Error::Invalid("scratch memory"))? &= !(1 << (block % 64));
        }
        self.summary.blocks = self.summary.blocks.saturating_sub(1);
        Ok(())
    }

    /// Whether a block was met, or as metadata.
    fn bit(&self, block: u64, meta: bool) -> Result<bool> {
        let half = if meta { bits_words(self.volume.geometry()) } else { 0 };
        let word = self.scratch.blocks.get(half.saturating_add((block / 64) as usize));
        Ok(*word.ok_or(Error::Invalid("scratch memory"))? >> (block % 64) & 1 != 0)
    }

    fn set(&mut self, block: u64, meta: bool) -> Result {
        let half = if meta { bits_words(self.volume.geometry()) } else { 0 };
        let word = self.scratch.blocks.get_mut(half.saturating_add((block / 64) as usize));
        *word.ok_or(Error::Invalid("scratch memory"))? |= 1 << (block % 64);
        Ok(())
    }
}

/// Position of a block.
fn at(block: u64) -> u64 {
    block.saturating_mul(BLOCK)
}
