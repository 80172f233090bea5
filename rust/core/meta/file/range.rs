// SPDX-License-Identifier: GPL-2.0

//! Ranges that are given blocks, or made to read as zeroes.

use core::ops::Range;

use super::size::{write_back, zero_written};
use super::{piece, place, Carrier, Failure, Piece, Result};
use crate::media::format::Time;
use crate::media::{BLOCK, GROUP_BLOCKS};
use crate::meta::extent::{self, Extent};
use crate::meta::inode::Live;
use crate::meta::span::patiently;
use crate::meta::{ops, Machine, Volume};

/// Blocks for the holes of a range: they read as zeroes.
pub struct Allocate {
    at: u64,
    end: u64,
}

impl Allocate {
    /// For all blocks that these bytes touch.
    pub fn new(bytes: &Range<u64>) -> Self {
        Self { at: bytes.start / BLOCK, end: bytes.end.div_ceil(BLOCK) }
    }

    /// One extent more; `false` when there is nothing left to do. Faults allocate as well: what is
    /// found is true as long as the inode's lock is held, alone.
    ///
    /// # Errors
    ///
    /// Those of [`ops::preallocate`]; `NoSpace`. What was allocated before stays.
    pub fn next<M: Machine>(&mut self, volume: &Volume<M>, live: &mut Live, now: Time) -> Result<bool> {
        if self.at >= self.end {
            return Ok(false);
        }
        let step = match extent::find(volume, live, self.at)? {
            Extent::Data { len, .. } => u64::from(len),
            Extent::Hole { len } => {
                let want = len.min(self.end.wrapping_sub(self.at)).min(GROUP_BLOCKS.into());
                let place = place(volume, live, self.at, want)?;
                let done = patiently(|| {
                    let blocks = volume.reserve(place.near, place.want, place.aligned)?;
                    let count = u64::from(blocks.count());
                    let done = ops::preallocate(volume, live, self.at, blocks, None, now)?;
                    Ok(done.map(|()| count))
                })?;
                done.reply()
            }
        };
        self.at = self.at.saturating_add(step);
        Ok(true)
    }
}

/// How whole blocks are made to read as zeroes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// They become a hole.
    Punch,
    /// They stay the file's, unwritten.
    Keep,
}

/// A range that is to read as zeroes: parts of blocks at its ends in place, whole blocks by
/// records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clear {
    edges: [Range<u64>; 2],
    whole: Range<u64>,
}

impl Clear {
    /// These bytes, as far as a file of `size` bytes goes.
    pub fn new(bytes: Range<u64>, size: u64) -> Self {
        let bytes = bytes.start..bytes.end.min(size);
        let whole = bytes.start.div_ceil(BLOCK)..bytes.end / BLOCK;
        let head = bytes.start..bytes.end.min(whole.start.saturating_mul(BLOCK));
        // Within one block there is a head and nothing else.
        let tail = whole.end.max(whole.start).saturating_mul(BLOCK)..bytes.end;
        Self { edges: [head, tail], whole }
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.whole.is_empty() && self.edges.iter().all(Range::is_empty)
    }

    /// Parts of blocks, in bytes of the file; those that are not empty.
    pub fn edges(&self) -> impl Iterator<Item = &Range<u64>> {
        self.edges.iter().filter(|edge| !edge.is_empty())
    }

    /// File blocks to be cleared as a whole, if there are any. Who maps them is unmapped before
    /// [`Clear::whole`].
    pub fn blocks(&self) -> Option<Range<u64>> {
        (!self.whole.is_empty()).then(|| self.whole.clone())
    }

    /// Zeroes one of the edges in place, where it is written, and fences. Returns whether anything
    /// was stored. The inode's lock is held, shared at least.
    ///
    /// # Errors
    ///
    /// Those of the carrier, and of [`extent::find`].
    pub fn edge<M: Machine, C: Carrier>(
        volume: &Volume<M>,
        live: &Live,
        edge: &Range<u64>,
        carrier: &mut C,
    ) -> Result<bool, Failure<C::Error>> {
        let Piece::Media(at, _) = piece(volume, live, edge.start)? else { return Ok(false) };
        let zeroed = carrier.zero(at, edge.end.saturating_sub(edge.start));
        carrier.fence();
        zeroed.map_err(Failure::Carrier)?;
        Ok(true)
    }

    /// Makes the whole blocks read as zeroes. Returns those for which there was no space to say so:
    /// they were zeroed in place. The inode's lock is held alone.
    ///
    /// # Errors
    ///
    /// Those of [`ops::punch`] and [`ops::unwrite`], and of the carrier. A part of the range may
    /// read as zeroes then; what mappings stored into the rest is durable.
    pub fn whole<M: Machine, C: Carrier>(
        &self,
        volume: &Volume<M>,
        live: &mut Live,
        how: How,
        carrier: &mut C,
        now: Time,
    ) -> Result<Range<u64>, Failure<C::Error>> {
        let blocks = || self.whole.clone();
        let left = match how {
            How::Punch => ops::punch(volume, live, blocks(), now).map(|_| 0..0),
            How::Keep => ops::unwrite(volume, live, blocks(), now).map(|left| left.reply()),
        };
        if left.is_err() {
            write_back(volume, live, blocks(), carrier);
        }
        let left = left?;
        zero_written(volume, live, left.start.saturating_mul(BLOCK)..left.end.saturating_mul(BLOCK), carrier)?;
        Ok(left)
    }
}
