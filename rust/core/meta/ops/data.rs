// SPDX-License-Identifier: GPL-2.0

//! Operations that give a file blocks, or a larger size.
//!
//! The bytes are in place and fenced before: those of fresh blocks by [`Blocks::write_with`], those past the end of the file
//! or in unwritten blocks by the caller, under the inode's lock.
//!
//! [`Blocks::write_with`]: crate::meta::span::Blocks::write_with

use core::ops::Range;

use crate::media::format::{self, Inode, Time};
use crate::media::{Error, Pmem, Result, BLOCK};
use crate::meta::change::Change;
use crate::meta::extent::{self, Run, FILE_BLOCKS};
use crate::meta::inode::{self, Live, SIZE_MAX};
use crate::meta::log::Stage;
use crate::meta::span::{Blocks, Fresh, Patience, Written};
use crate::meta::{Durable, Machine, Volume};

/// Bytes of record that turning a part of an extent into a written one takes at most.
const CONVERT_COST: usize = 320;

/// Sets times, and a size that is larger than the present one.
fn grow(raw: &mut Inode, size: Option<u64>, now: Time) -> Result {
    inode::valid_time(now)?;
    if let Some(size) = size {
        if size > SIZE_MAX {
            return Err(Error::TooBig);
        }
        raw.size = size.max(raw.size.get()).into();
    }
    super::touch(raw, now);
    Ok(())
}

/// Refuses ranges that are not a file's.
fn valid_range(file_block: u64, count: u64) -> Result {
    match file_block.checked_add(count) {
        Some(end) if end <= FILE_BLOCKS && count > 0 => Ok(()),
        _ => Err(Error::TooBig),
    }
}

/// Fills a hole with a run whose blocks the record has.
fn fill<M: Machine>(
    mut change: Change<'_, '_, M>,
    file: &mut Live,
    run: Run,
    size: Option<u64>,
    now: Time,
) -> Result<Durable<()>> {
    valid_range(run.file_block, u64::from(run.len))?;
    let mut raw = file.next();
    if extent::last_within(&change, change.geometry(), &raw, run.file_block, run.end())?.is_some() {
        return Err(Error::Invalid("no hole"));
    }
    raw.blocks = raw.blocks.get().saturating_add(u64::from(run.len)).into();
    extent::add(&mut change, &mut raw, run)?;
    grow(&mut raw, size, now)?;
    finish(change, file, raw)
}

/// Fills a hole from `file_block` on with written blocks, and sets the size if that is larger than the present one.
///
/// # Errors
///
/// `Invalid` if there is no hole; `NoSpace` (for a node of the tree), `TooBig`, `IsDir`. The blocks are given back then.
pub fn attach<'v, M: Machine>(
    volume: &'v Volume<M>,
    file: &mut Live,
    file_block: u64,
    blocks: Blocks<'v, M, Written>,
    size: Option<u64>,
    now: Time,
) -> Result<Durable<()>> {
    super::must_be_file(file)?;
    super::settle(volume, file)?;
    let mut stage = Stage::new();
    let mut change = Change::new(volume, &mut stage);
    let run = Run { file_block, block: blocks.first(), len: blocks.count(), flags: 0 };
    change.record().attach(blocks)?;
    fill(change, file, run, size, now)
}

/// Where fresh blocks came to lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Filled {
    /// First block of the file.
    pub file_block: u64,
    /// First block of the device.
    pub block: u64,
    /// Blocks.
    pub len: u32,
}

/// Fills a hole with zeroed blocks: those that `reserve` returns, at the file block that it names. It is called again if memory
/// of them fails before they are the file's.
///
/// # Errors
///
/// As of [`attach`], and those of `reserve`.
pub fn attach_zeroes<'v, M: Machine>(
    volume: &'v Volume<M>,
    file: &mut Live,
    now: Time,
    mut reserve: impl FnMut(&Live) -> Result<(u64, Blocks<'v, M, Fresh>)>,
) -> Result<Durable<Filled>> {
    let mut patience = Patience::default();
    loop {
        let (file_block, blocks) = reserve(file)?;
        let filled = Filled { file_block, block: blocks.first(), len: blocks.count() };
        let zeroed = blocks.zero(0, u64::from(filled.len).saturating_mul(BLOCK));
        let done = zeroed.and_then(|()| attach(volume, file, file_block, blocks.written(), None, now));
        if let Some(durable) = patience.unless_lost_free(done)? {
            return Ok(durable.map(|()| filled));
        }
    }
}

/// Fills a hole from `file_block` on with blocks that read as zeroes until [`written`].
///
/// # Errors
///
/// As of [`attach`].
// Its stage should not be on the stack of a caller that goes on to do other things.
#[inline(never)]
pub fn preallocate<'v, M: Machine>(
    volume: &'v Volume<M>,
    file: &mut Live,
    file_block: u64,
    blocks: Blocks<'v, M, Fresh>,
    size: Option<u64>,
    now: Time,
) -> Result<Durable<()>> {
    super::must_be_file(file)?;
    super::settle(volume, file)?;
    let mut stage = Stage::new();
    let mut change = Change::new(volume, &mut stage);
    let flags = format::EXTENT_UNWRITTEN;
    let run = Run { file_block, block: blocks.first(), len: blocks.count(), flags };
    change.record().attach_unwritten(blocks)?;
    fill(change, file, run, size, now)
}

/// Stages the inode and commits.
fn finish<M: Machine>(mut change: Change<'_, '_, M>, file: &mut Live, mut raw: Inode) -> Result<Durable<()>> {
    inode::stage(&mut change, file, &mut raw)?;
    let durable = change.commit(())?;
    file.accept(&raw);
    Ok(durable)
}

/// Makes unwritten blocks in `count` blocks from `file_block` on written ones: all their bytes are in place and fenced. Others in
/// the range stay as they are. The size is set by the last of the records. Returns the file blocks that can have been
/// converted: more than asked for on a full volume, the others as zeroes.
///
/// # Errors
///
/// `TooBig`, `IsDir`; `NoSpace` only on a full volume, and if other memory of the extent has failed: what cannot be zeroed stays
/// unwritten, which takes an extent more.
pub fn written<M: Machine>(
    volume: &Volume<M>,
    file: &mut Live,
    file_block: u64,
    count: u64,
    size: Option<u64>,
    now: Time,
) -> Result<Durable<Range<u64>>> {
    super::must_be_file(file)?;
    super::settle(volume, file)?;
    valid_range(file_block, count)?;
    written_range(volume, file, file_block..file_block.saturating_add(count), size, now)
}

/// [`written`], once the file is settled. Apart, so that its frame is not on the stack before.
#[inline(never)]
fn written_range<M: Machine>(
    volume: &Volume<M>,
    file: &mut Live,
    range: Range<u64>,
    size: Option<u64>,
    now: Time,
) -> Result<Durable<Range<u64>>> {
    let (file_block, mut to) = (range.start, range.end);
    let mut all = range;
    let (mut full, mut patience) = (false, Patience::default());
    loop {
        let mut stage = Stage::new();
        let mut change = Change::new(volume, &mut stage);
        let mut raw = file.next();
        let step = if full {
            convert_whole(&mut change, &mut raw, file_block, to).map(|whole| {
                all = all.start.min(whole.file_block)..all.end.max(whole.end());
                whole.file_block.max(file_block)
            })
        } else {
            convert(&mut change, &mut raw, file_block, to, true)
        };
        match step {
            Err(Error::NoSpace) if !full => {
                full = true;
                continue;
            }
            // A node in another block, or less of the extent.
            Err(error) if patience.again(&error) => continue,
            rest => to = rest?,
        }
        full = false;
        if to <= file_block {
            grow(&mut raw, size, now)?;
            return Ok(finish(change, file, raw)?.map(|()| all));
        }
        let _durable = finish(change, file, raw)?;
    }
}

/// Makes written blocks in a range unwritten ones, in their place, so that they read as zeroes: in as many records as that takes,
/// from the end on. The caller has unmapped them. Returns what is left for lack of space for a node of the tree: written
/// blocks in it are as they were.
///
/// # Errors
///
/// `Invalid`, `IsDir`; never `NoSpace`. A part of the range may read as zeroes then.
pub fn unwrite<M: Machine>(
    volume: &Volume<M>,
    file: &mut Live,
    blocks: Range<u64>,
    now: Time,
) -> Result<Durable<Range<u64>>> {
    super::must_be_file(file)?;
    inode::valid_time(now)?;
    super::settle(volume, file)?;
    if blocks.start > blocks.end || blocks.end > FILE_BLOCKS {
        return Err(Error::Invalid("range of zeroes"));
    }
    unwrite_range(volume, file, blocks, now)
}

/// [`unwrite`], once the file is settled. Apart, as [`written_range`].
#[inline(never)]
fn unwrite_range<M: Machine>(
    volume: &Volume<M>,
    file: &mut Live,
    blocks: Range<u64>,
    now: Time,
) -> Result<Durable<Range<u64>>> {
    let (mut to, mut full, mut patience) = (blocks.end, false, Patience::default());
    loop {
        let mut stage = Stage::new();
        let mut change = Change::new(volume, &mut stage);
        let mut raw = file.next();
        if !full {
            match convert(&mut change, &mut raw, blocks.start, to, false) {
                Err(Error::NoSpace) => {
                    // The record is given up, with all it has; the times go alone.
                    full = true;
                    continue;
                }
                // A node in another block.
                Err(error) if patience.again(&error) => continue,
                rest => to = rest?,
            }
        }
        super::touch(&mut raw, now);
        let durable = finish(change, file, raw)?;
        if full || to <= blocks.start {
            return Ok(durable.map(|()| blocks.start..to.max(blocks.start)));
        }
    }
}

/// Makes blocks written or unwritten ones, from the end of the range as many as one record takes; returns the new end of the range.
fn convert<M: Machine>(
    change: &mut Change<'_, '_, M>,
    raw: &mut Inode,
    from: u64,
    to: u64,
    written: bool,
) -> Result<u64> {
    let geometry = *change.geometry();
    let mut to = to;
    while let Some(run) = extent::last_within(change, &geometry, raw, from, to)? {
        let part = run.part(from, to);
        if run.unwritten() == written {
            if change.room() < CONVERT_COST {
                return Ok(to);
            }
            convert_part(change, raw, &run, &part)?;
        }
        to = part.file_block;
    }
    Ok(from)
}

/// Makes a part of an extent what it is not: written, or unwritten.
fn convert_part<M: Machine>(change: &mut Change<'_, '_, M>, raw: &mut Inode, whole: &Run, part: &Run) -> Result {
    let done = Run { flags: part.flags ^ format::EXTENT_UNWRITTEN, ..*part };
    if whole == part {
        let cost = extent::removal_cost(change, raw, whole.file_block)?;
        if change.room() < cost.saturating_add(CONVERT_COST) || !extent::joins(change, raw, &done)? {
            return extent::set(change, raw, whole.file_block, &done);
        }
    }
    extent::carve(change, raw, whole, part)?;
    extent::add(change, raw, done)
}

/// Converts all of the last unwritten extent in the range, in its place, which takes no node of the tree. What of it is outside
/// the range becomes zeroes, where memory has not failed: what lies beyond such a block stays unwritten. Returns what was converted.
#[inline(never)]
fn convert_whole<M: Machine>(change: &mut Change<'_, '_, M>, raw: &mut Inode, from: u64, to: u64) -> Result<Run> {
    let mut end = to;
    while let Some(whole) = extent::last_within(change, change.geometry(), raw, from, end)? {
        let part = whole.part(from, to);
        if whole.unwritten() {
            let good = good_around(change, &whole, &part);
            for rest in [good.part(0, part.file_block), good.part(part.end(), good.end())] {
                change.zero_fresh(rest.block.saturating_mul(BLOCK), u64::from(rest.len).saturating_mul(BLOCK))?;
            }
            if good != whole {
                convert_part(change, raw, &whole, &good)?;
                return Ok(good);
            }
            let done = Run { flags: whole.flags & !format::EXTENT_UNWRITTEN, ..whole };
            extent::set(change, raw, whole.file_block, &done)?;
            return Ok(whole);
        }
        end = part.file_block;
    }
    Err(Error::Invalid("no unwritten extent"))
}

/// What of an extent lies around a part of it without memory that is known to have failed. The part itself is not asked: its
/// bytes are in place.
fn good_around<M: Machine>(change: &Change<'_, '_, M>, whole: &Run, part: &Run) -> Run {
    let lost = |run: &Run| {
        let (at, len) = (run.block.saturating_mul(BLOCK), u64::from(run.len).saturating_mul(BLOCK));
        let lost = if len > 0 { change.first_lost(at, len) } else { None };
        lost.map(|lost| run.file_block.saturating_add((lost / BLOCK).saturating_sub(run.block)))
    };
    let mut from = whole.file_block;
    while let Some(bad) = lost(&whole.part(from, part.file_block)) {
        from = bad.saturating_add(1);
    }
    let to = lost(&whole.part(part.end(), whole.end())).unwrap_or(whole.end());
    whole.part(from, to)
}

/// Makes a file larger. Every byte between the old and the new end that lies in a written block is in place and fenced: zero, or
/// what is appended.
///
/// # Errors
///
/// `Invalid` if the size is smaller; `TooBig`, `IsDir`.
pub fn extend<M: Machine>(volume: &Volume<M>, file: &mut Live, size: u64, now: Time) -> Result<Durable<()>> {
    super::must_be_file(file)?;
    super::settle(volume, file)?;
    if size < file.size() {
        return Err(Error::Invalid("smaller size"));
    }
    extend_settled(volume, file, size, now)
}

/// Apart, so that its stage is not on the stack while an interrupted truncation is finished.
#[inline(never)]
fn extend_settled<M: Machine>(volume: &Volume<M>, file: &mut Live, size: u64, now: Time) -> Result<Durable<()>> {
    let mut stage = Stage::new();
    let change = Change::new(volume, &mut stage);
    let mut raw = file.next();
    grow(&mut raw, Some(size), now)?;
    finish(change, file, raw)
}

/// Blocks that a file of `size` bytes has.
pub(super) fn blocks_of(size: u64) -> u64 {
    size.div_ceil(BLOCK)
}
