// SPDX-License-Identifier: GPL-2.0

//! A page fault: what a mapping gets to see of a window of a file, and what has to be done before.
//!
//! What is shown holds what the file does: blocks that are fresh or unwritten are zeroed and given
//! to the file first, and so is what lies beyond the end of the file in its last block. Where
//! nothing may be stored, readers get a copy of that block.

use core::ops::Range;

use super::size::zero_past_end;
use super::{is_lost, near, Carrier, Failure, Result};
use crate::media::format::Time;
use crate::media::{BLOCK, HUGE};
use crate::meta::extent::{self, Extent};
use crate::meta::inode::Live;
use crate::meta::span::{Blocks, Fresh};
use crate::meta::{ops, Machine, Volume};

/// Most blocks of an unwritten extent that one fault zeroes: 64 MiB.
const ZERO_MAX: u64 = 16384;

/// A fault under way. All in blocks of the file.
#[derive(Clone, Debug)]
pub struct Fault {
    /// The blocks around the fault that are looked at, as far as the file goes.
    window: Range<u64>,
    /// The block that was touched.
    at: u64,
    /// It is about to be written: blocks must be there, no hole.
    write: bool,
    /// All of the window could be mapped at once.
    huge: bool,
    /// Where to look next.
    next: u64,
}

/// What the mapping gets to see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// Zeroes at this block, which is the one that was touched.
    Hole(u64),
    /// Blocks of the device, some of them perhaps outside the window.
    Blocks(Shown),
}

/// Blocks of the device that are the file's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// First block of the file.
    pub at: u64,
    /// First block of the device.
    pub block: u64,
    /// Blocks; 0 if there is nothing but a copy.
    pub len: u64,
    /// File blocks that a record has made written ones: what was shown as a hole there is none.
    pub filled: Range<u64>,
    /// A copy is to be shown of the last block, in the place of the one at the end of these: the
    /// first bytes at this position of the media, this many, and zeroes.
    pub copy: Option<(u64, u64)>,
}

/// A run of written blocks: file block, block, number of blocks.
struct Run(u64, u64, u64);

impl Fault {
    /// A fault at block `at`, in `window`. Who writes has a carrier that may store.
    pub fn new(window: Range<u64>, at: u64, write: bool, huge: bool) -> Self {
        let next = window.start;
        Self { window, at, write, huge, next }
    }

    /// Whether the block that was touched is about to be written.
    pub fn writes(&self) -> bool {
        self.write
    }

    /// What is to be shown next; `None` when that is all. The inode's lock is held alone. Nothing
    /// is stored for who does not write, unless [`Carrier::may_store`] says that it may be.
    ///
    /// # Errors
    ///
    /// Those of the carrier and of the records; `NoSpace`.
    pub fn next<M: Machine, C: Carrier>(
        &mut self,
        volume: &Volume<M>,
        live: &mut Live,
        carrier: &mut C,
        now: Time,
    ) -> Result<Option<Seen>, Failure<C::Error>> {
        while self.next < self.window.end {
            let at = self.next;
            let (len, found) = match extent::find(volume, live, at)? {
                Extent::Data { block, len, unwritten, .. } => (u64::from(len), Some((block, unwritten))),
                Extent::Hole { len } => (len, None),
            };
            self.next = at.saturating_add(len.max(1));
            if let Some((block, false)) = found {
                return self.show(volume, live, &Run(at, block, len), 0..0, carrier).map(Some);
            }
            if !(at..self.next).contains(&self.at) {
                continue;
            }
            return Ok(Some(match found {
                _ if !self.write => Seen::Hole(self.at),
                Some((block, _)) => self.convert(volume, live, &Run(at, block, len), carrier, now)?,
                None => self.allocate(volume, live, at..self.next, carrier, now)?,
            }));
        }
        Ok(None)
    }

    /// Written blocks. The last one of the file is zeroed behind its end, by a read fault too if
    /// that may store; if not, a copy of it is shown.
    fn show<M: Machine, C: Carrier>(
        &self,
        volume: &Volume<M>,
        live: &Live,
        run: &Run,
        filled: Range<u64>,
        carrier: &mut C,
    ) -> Result<Seen, Failure<C::Error>> {
        let &Run(at, block, len) = run;
        // Blocks beyond the end of the file are not to be seen.
        let mut len = live.size().div_ceil(BLOCK).saturating_sub(at).min(len);
        let (last, used) = (live.size() / BLOCK, live.size() % BLOCK);
        let mut copy = None;
        if used != 0 && (at..at.saturating_add(len)).contains(&last) {
            let tail = block.wrapping_add(last.wrapping_sub(at));
            if carrier.may_store() {
                zero_past_end(volume, live, tail, carrier).map_err(Failure::Carrier)?;
            } else if !is_lost(volume, tail, 1) {
                len = last.wrapping_sub(at);
                copy = (self.at == last).then_some((tail.saturating_mul(BLOCK), used));
            }
        }
        Ok(Seen::Blocks(Shown { at, block, len, filled, copy }))
    }

    /// A write fault in an unwritten extent: zeroes a part of it.
    fn convert<M: Machine, C: Carrier>(
        &self,
        volume: &Volume<M>,
        live: &mut Live,
        run: &Run,
        carrier: &mut C,
        now: Time,
    ) -> Result<Seen, Failure<C::Error>> {
        let run = self.part(volume, live, run);
        let &Run(at, block, len) = &run;
        let zeroed = carrier.zero(block.saturating_mul(BLOCK), len.saturating_mul(BLOCK));
        carrier.fence();
        zeroed.map_err(Failure::Carrier)?;
        let filled = ops::written(volume, live, at, len, None, now)?.reply();
        self.show(volume, live, &run, filled, carrier)
    }

    /// What of an unwritten extent is zeroed: all of the window, and if huge pages are possible
    /// also what follows, as that saves the faults.
    fn part<M: Machine>(&self, volume: &Volume<M>, live: &Live, run: &Run) -> Run {
        let &Run(at, block, len) = run;
        let most = if self.huge { at.saturating_add(ZERO_MAX) } else { self.window.end };
        let end = at.saturating_add(len).min(most);
        let end = end.min(live.size().div_ceil(BLOCK)).max(self.at.wrapping_add(1));
        let len = end.wrapping_sub(at);
        if is_lost(volume, block, len) {
            // Failed memory is the loss of those alone who touch it.
            return Run(self.at, block.wrapping_add(self.at.wrapping_sub(at)), 1);
        }
        Run(at, block, len)
    }

    /// A write fault in a hole: gives it blocks, the whole window if that can be one huge page.
    fn allocate<M: Machine, C: Carrier>(
        &self,
        volume: &Volume<M>,
        live: &mut Live,
        hole: Range<u64>,
        carrier: &mut C,
        now: Time,
    ) -> Result<Seen, Failure<C::Error>> {
        let filled = ops::attach_zeroes(volume, live, now, |live| self.reserve(volume, live, &hole))?.reply();
        let run = Run(filled.file_block, filled.block, filled.len.into());
        self.show(volume, live, &run, run.0..run.0.saturating_add(run.2), carrier)
    }

    /// Blocks for a hole, and the file block of the first.
    fn reserve<'v, M: Machine>(
        &self,
        volume: &'v Volume<M>,
        live: &Live,
        hole: &Range<u64>,
    ) -> Result<(u64, Blocks<'v, M, Fresh>)> {
        let window = &self.window;
        let huge = self.huge && hole.start <= window.start && hole.end >= window.end;
        if huge && window.end.wrapping_sub(window.start) == u64::from(HUGE) {
            let blocks = volume.reserve(0, HUGE, true)?;
            if blocks.count() == HUGE {
                return Ok((window.start, blocks));
            }
        }
        Ok((self.at, volume.reserve(near(volume, live, self.at)?, 1, false)?))
    }
}
