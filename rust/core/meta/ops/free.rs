// SPDX-License-Identifier: GPL-2.0

//! Operations that take blocks away. None of them needs a free block, but for a hole punched into the middle of an extent.
//!
//! A large one is a sequence of records. A truncation is marked in its first record, and the mark taken off in the last: in
//! between the file has its new size already and blocks beyond it, which nobody may see. The caller has unmapped what goes.

use core::ops::Range;

use super::data::blocks_of;
use crate::media::format::{self, Inode, Time};
use crate::media::{Error, Result, GROUP_BLOCKS};
use crate::meta::change::Change;
use crate::meta::extent::{self, FILE_BLOCKS};
use crate::meta::inode::{self, Live, Orphan};
use crate::meta::log::Stage;
use crate::meta::span::Patience;
use crate::meta::{Durable, Machine, Volume};

/// Bytes of record that one extent takes at most, beside the shift of slots: entry, header, sum, bits of two groups.
const CUT_COST: usize = 140;

/// Takes blocks in `from..to` out of the new version of an inode, from the end, as many as one record takes. Returns whether
/// some are left. Each call makes progress.
pub(super) fn cut<M: Machine>(change: &mut Change<'_, '_, M>, raw: &mut Inode, from: u64, to: u64) -> Result<bool> {
    let geometry = *change.geometry();
    let mut first = true;
    while let Some(whole) = extent::last_within(change, &geometry, raw, from, to)? {
        // No more than the bits of two groups, however large the extent is.
        let part = whole.part(from.max(whole.end().min(to).saturating_sub(GROUP_BLOCKS.into())), to);
        if !first {
            let cost = if part == whole { extent::removal_cost(change, raw, whole.file_block)? } else { CUT_COST };
            if change.room() < cost.saturating_add(CUT_COST) {
                return Ok(true);
            }
        }
        first = false;
        extent::carve(change, raw, &whole, &part)?;
        change.record().free_data(part.block, part.len)?;
        raw.blocks = raw.blocks.get().saturating_sub(u64::from(part.len)).into();
    }
    Ok(false)
}

/// Cuts a file to its size, or to a smaller one; blocks beyond it are freed. Bytes past the end in the last block stay.
///
/// # Errors
///
/// `Invalid` if the size is larger; `IsDir`.
pub fn truncate<M: Machine>(volume: &Volume<M>, file: &mut Live, size: u64, now: Time) -> Result<Durable<()>> {
    super::must_be_file(file)?;
    inode::valid_time(now)?;
    if size > file.size() {
        return Err(Error::Invalid("larger size"));
    }
    shrink(volume, file, size, Some(now))
}

/// Finishes a truncation that a power cut interrupted: before anybody sees the file.
///
/// # Errors
///
/// `Corrupt`, `Poison`.
pub fn finish_truncate<M: Machine>(volume: &Volume<M>, file: &mut Live) -> Result<Durable<()>> {
    super::must_be_file(file)?;
    if file.orphan() != Orphan::Truncating {
        return Err(Error::Invalid("no truncation to finish"));
    }
    let size = file.size();
    shrink(volume, file, size, None)
}

fn shrink<M: Machine>(volume: &Volume<M>, file: &mut Live, size: u64, now: Option<Time>) -> Result<Durable<()>> {
    let mut patience = Patience::default();
    loop {
        let mut stage = Stage::new();
        let mut change = Change::new(volume, &mut stage);
        let mut raw = file.next();
        raw.size = size.into();
        if let Some(now) = now {
            super::touch(&mut raw, now);
        }
        let cut = cut(&mut change, &mut raw, blocks_of(size), FILE_BLOCKS);
        let Some(left) = patience.unless_lost_free(cut)? else { continue };
        // An unlinked file is an orphan already, and stays one.
        if raw.orphan != format::ORPHAN_UNLINKED {
            raw.orphan = if left { format::ORPHAN_TRUNCATING } else { format::ORPHAN_NONE };
            if raw.orphan != file.raw.orphan {
                change.record().orphan(file.ino(), left)?;
            }
        }
        inode::stage(&mut change, file, &mut raw)?;
        let durable = change.commit(())?;
        file.accept(&raw);
        if !left {
            return Ok(durable);
        }
    }
}

/// Makes a hole. What the range has of its first and last block besides whole blocks the caller zeroes.
///
/// # Errors
///
/// `NoSpace` (for a node of the tree), `Invalid`, `IsDir`. A part of the range may be a hole then.
// Its stage should not be on the stack of a caller that goes on to do other things.
#[inline(never)]
pub fn punch<M: Machine>(volume: &Volume<M>, file: &mut Live, blocks: Range<u64>, now: Time) -> Result<Durable<()>> {
    super::must_be_file(file)?;
    inode::valid_time(now)?;
    super::settle(volume, file)?;
    if blocks.start > blocks.end || blocks.end > FILE_BLOCKS {
        return Err(Error::Invalid("range of a hole"));
    }
    let mut patience = Patience::default();
    loop {
        let mut stage = Stage::new();
        let mut change = Change::new(volume, &mut stage);
        let mut raw = file.next();
        let cut = cut(&mut change, &mut raw, blocks.start, blocks.end);
        let Some(left) = patience.unless_lost_free(cut)? else { continue };
        super::touch(&mut raw, now);
        inode::stage(&mut change, file, &mut raw)?;
        let durable = change.commit(())?;
        file.accept(&raw);
        if !left {
            return Ok(durable);
        }
    }
}
