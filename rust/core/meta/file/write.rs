// SPDX-License-Identifier: GPL-2.0

//! One write(2), step by step: as far as the file is made of the same kind of blocks.
//!
//! | what is there | what is done | fences |
//! |---|---|---|
//! | a hole | fresh blocks are filled, fenced, then given to the file by a record | 2 |
//! | written blocks, before the end | overwritten in place | 1 |
//! | written blocks at the end, unwritten ones | through a buffer, under the inode's lock, then a record | 2 |
//!
//! Overwriting is not atomic. Of the others a power cut leaves a step done or not.

use core::ops::Range;

use super::{place, Failure, Place, Result, Source};
use crate::media::format::Time;
use crate::media::{Error, BLOCK};
use crate::meta::extent::{self, Extent};
use crate::meta::inode::{Live, SIZE_MAX};
use crate::meta::span::{Blocks, Patience, Written};
use crate::meta::{ops, Machine, Volume};

/// Most blocks that are filled before they are given to the file: 8 MiB.
const FRESH_MAX: u64 = 2048;
/// Most bytes that go through the buffer at once, from the beginning of a block on.
pub const BOUNCE: u64 = 65536;
/// Up to as many bytes go through it into fresh blocks too: a copy from user memory past the cache
/// ends with a fence in the kernel, in vain, as zeroes and the ends of what is not aligned are
/// stored after it.
const SMALL: u64 = BLOCK;

/// A write under way.
pub struct Write {
    pos: u64,
    /// Size of the file; nobody else changes it meanwhile.
    size: u64,
    overwrote: bool,
    patience: Patience,
}

/// How the next bytes are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Into fresh blocks.
    Fresh {
        /// Where to look for them.
        place: Place,
        /// Bytes that are left.
        left: u64,
    },
    /// In place.
    Over {
        /// From this byte of the media on.
        at: u64,
        /// Bytes.
        len: u64,
    },
    /// Through the buffer, into blocks whose bytes nobody sees.
    Unseen {
        /// Bytes.
        len: u64,
    },
}

/// What [`Write::carry`] has done.
#[must_use]
pub enum Carried<'v, M: Machine> {
    /// So many bytes are durable, and in the file.
    Done(u64),
    /// These blocks have so many bytes, durable, and are to be given to the file.
    Filled(Blocks<'v, M, Written>, u64),
    /// So many bytes are in the buffer.
    Fetched(u64),
    /// Fresh memory has failed: look again.
    Again,
}

/// A step that is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    /// Bytes written, durable. 0: look again; somebody else has filled the hole, or fresh memory
    /// has failed. The source has to give again what it has given beyond these.
    pub bytes: u64,
    /// File blocks that a record has made written ones; there were holes for readers before.
    pub filled: Range<u64>,
}

impl Done {
    const AGAIN: Self = Self { bytes: 0, filled: 0..0 };
}

impl Write {
    /// A write from `pos` on. [`prepare_end`](super::prepare_end) was called if that is beyond the
    /// end.
    pub fn new(pos: u64) -> Self {
        Self { pos, size: 0, overwrote: false, patience: Patience::default() }
    }

    /// Whether something was overwritten in place, and no record has set the times since.
    pub fn overwrote(&self) -> bool {
        self.overwrote
    }

    /// What comes next, with `left` bytes to write, at least one. The inode's lock is shared.
    ///
    /// # Errors
    ///
    /// As of [`extent::find`]; `TooBig` beyond the largest size of a file.
    pub fn next<M: Machine>(&mut self, volume: &Volume<M>, live: &Live, left: u64) -> Result<Step> {
        let (at, offset) = (self.pos / BLOCK, self.pos % BLOCK);
        self.size = live.size();
        if self.pos.saturating_add(left) > SIZE_MAX {
            return Err(Error::TooBig);
        }
        Ok(match extent::find(volume, live, at)? {
            Extent::Hole { len } => {
                let want = offset.saturating_add(left).div_ceil(BLOCK).min(len).min(FRESH_MAX);
                Step::Fresh { place: place(volume, live, at, want)?, left }
            }
            Extent::Data { block, len, unwritten: false, .. } if self.pos < self.size => {
                let len = u64::from(len).wrapping_mul(BLOCK).wrapping_sub(offset);
                let len = len.min(self.size.wrapping_sub(self.pos)).min(left);
                Step::Over { at: block.wrapping_mul(BLOCK).wrapping_add(offset), len }
            }
            Extent::Data { .. } => Step::Unseen { len: left.min(BOUNCE.wrapping_sub(offset)) },
        })
    }

    /// Moves the bytes, as far as that can be done without the inode's lock, which is not held.
    /// [`Carried::Done`] and [`Carried::Again`] end the step.
    ///
    /// # Errors
    ///
    /// Those of the carrier; `NoSpace`.
    pub fn carry<'v, M: Machine, S: Source>(
        &mut self,
        volume: &'v Volume<M>,
        step: Step,
        source: &mut S,
    ) -> Result<Carried<'v, M>, Failure<S::Error>> {
        match step {
            Step::Fresh { place, left } => self.fresh(volume, &place, left, source),
            Step::Over { at, len } => {
                let copied = source.copy(at, len);
                source.fence();
                let n = copied.map_err(Failure::Carrier)?;
                self.overwrote = true;
                self.pos = self.pos.wrapping_add(n);
                Ok(Carried::Done(n))
            }
            Step::Unseen { len } => Ok(Carried::Fetched(source.fetch(len).map_err(Failure::Carrier)?)),
        }
    }

    /// Fresh blocks for a hole, filled.
    fn fresh<'v, M: Machine, S: Source>(
        &mut self,
        volume: &'v Volume<M>,
        place: &Place,
        left: u64,
        source: &mut S,
    ) -> Result<Carried<'v, M>, Failure<S::Error>> {
        let offset = self.pos % BLOCK;
        let blocks = volume.reserve(place.near, place.want, place.aligned)?;
        let room = u64::from(blocks.count()).wrapping_mul(BLOCK).wrapping_sub(offset);
        let mut copied = Ok(0);
        let written = blocks.write_with(|first, _| {
            let start = first.wrapping_mul(BLOCK);
            copied = self.fill(start, room.min(left), source);
            match &copied {
                Err(error) if S::is_loss(error) => Err(Error::Poison { at: start }),
                // Whatever was copied stays; nothing at all is told apart below.
                _ => Ok(()),
            }
        });
        if written.as_ref().is_err_and(|error| self.patience.again(error)) {
            return Ok(Carried::Again);
        }
        let n = copied.map_err(Failure::Carrier)?;
        let (blocks, _rest) = written?.split(offset.wrapping_add(n).div_ceil(BLOCK) as u32);
        Ok(Carried::Filled(blocks, n))
    }

    /// Copies `n` bytes to their place in fresh blocks at `start`, and zeroes what else of them
    /// will be visible. Their owner fences. The source may keep us waiting: it comes first.
    fn fill<S: Source>(&self, start: u64, n: u64, source: &mut S) -> Result<u64, S::Error> {
        let at = start.wrapping_add(self.pos % BLOCK);
        let n = if n <= SMALL {
            let n = source.fetch(n)?;
            source.store(at, n)?;
            n
        } else {
            source.copy(at, n)?
        };
        self.zero_around(start, n, source)?;
        Ok(n)
    }

    /// Zeroes what else becomes visible of the blocks at `start` into which `n` bytes go: before
    /// these, and behind them as far as the block and the file go.
    fn zero_around<S: Source>(&self, start: u64, n: u64, source: &mut S) -> Result<(), S::Error> {
        let head = self.pos % BLOCK;
        if head > 0 {
            source.zero(start, head)?;
        }
        let used = head.wrapping_add(n);
        let tail = used.wrapping_neg() % BLOCK;
        if tail > 0 && self.pos.wrapping_add(n) < self.size {
            source.zero(start.wrapping_add(used), tail)?;
        }
        Ok(())
    }

    /// Puts into the file what was carried. The inode's lock is held alone.
    ///
    /// # Errors
    ///
    /// Those of the carrier, and of the record.
    pub fn record<M: Machine, S: Source>(
        &mut self,
        volume: &Volume<M>,
        live: &mut Live,
        carried: Carried<'_, M>,
        source: &mut S,
        now: Time,
    ) -> Result<Done, Failure<S::Error>> {
        match carried {
            Carried::Filled(blocks, n) => Ok(self.attach(volume, live, blocks, n, now)?),
            Carried::Fetched(n) => self.unseen(volume, live, n, source, now),
            Carried::Done(bytes) => Ok(Done { bytes, filled: 0..0 }),
            Carried::Again => Ok(Done::AGAIN),
        }
    }

    /// The size of the file with `n` bytes more, if that makes it larger.
    fn grown(&self, live: &Live, n: u64) -> Option<u64> {
        let end = self.pos.wrapping_add(n);
        (end > live.size()).then_some(end)
    }

    /// So many bytes are in the file, by a record.
    fn recorded(&mut self, bytes: u64, filled: Range<u64>) -> Done {
        self.overwrote = false;
        self.pos = self.pos.wrapping_add(bytes);
        Done { bytes, filled }
    }

    /// Gives the blocks to the file, if there is still a hole: a fault can have been faster.
    fn attach<M: Machine>(
        &mut self,
        volume: &Volume<M>,
        live: &mut Live,
        blocks: Blocks<'_, M, Written>,
        n: u64,
        now: Time,
    ) -> Result<Done> {
        let (at, count) = (self.pos / BLOCK, u64::from(blocks.count()));
        if !matches!(extent::find(volume, live, at)?, Extent::Hole { len } if len >= count) {
            return Ok(Done::AGAIN);
        }
        let size = self.grown(live, n);
        match ops::attach(volume, live, at, blocks, size, now) {
            Err(error) if self.patience.again(&error) => Ok(Done::AGAIN),
            done => {
                done?.reply();
                Ok(self.recorded(n, at..at.wrapping_add(count)))
            }
        }
    }

    /// Blocks that the file has, but whose bytes here are not visible: those in the buffer go
    /// there, as far as they go.
    fn unseen<M: Machine, S: Source>(
        &mut self,
        volume: &Volume<M>,
        live: &mut Live,
        n: u64,
        source: &mut S,
        now: Time,
    ) -> Result<Done, Failure<S::Error>> {
        let (at, offset) = (self.pos / BLOCK, self.pos % BLOCK);
        let Extent::Data { block, len, unwritten, .. } = extent::find(volume, live, at)? else {
            return Ok(Done::AGAIN);
        };
        let n = n.min(u64::from(len).wrapping_mul(BLOCK).wrapping_sub(offset));
        self.put(block.wrapping_mul(BLOCK), n, unwritten, source).map_err(Failure::Carrier)?;
        let size = self.grown(live, n);
        if unwritten {
            let count = offset.wrapping_add(n).div_ceil(BLOCK);
            let filled = ops::written(volume, live, at, count, size, now)?.reply();
            return Ok(self.recorded(n, filled));
        }
        if let Some(size) = size {
            ops::extend(volume, live, size, now)?.reply();
            return Ok(self.recorded(n, at..at));
        }
        // A fault was faster, and has zeroed it: it is an overwrite now.
        self.overwrote = true;
        self.pos = self.pos.wrapping_add(n);
        Ok(Done { bytes: n, filled: at..at })
    }

    /// Stores the buffer's first `n` bytes to blocks at `start`, with zeroes around them if these
    /// are not written; fenced.
    fn put<S: Source>(&self, start: u64, n: u64, unwritten: bool, source: &mut S) -> Result<(), S::Error> {
        let zeroed = if unwritten { self.zero_around(start, n, source) } else { Ok(()) };
        let stored = zeroed.and_then(|()| source.store(start.wrapping_add(self.pos % BLOCK), n));
        // Also after an error: no store is under way when the blocks have another owner.
        source.fence();
        stored
    }
}
