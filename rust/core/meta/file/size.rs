// SPDX-License-Identifier: GPL-2.0

//! The end of a file: what is zeroed before it moves up, what is made durable before it moves down.
//! The inode's lock is held alone by all of this, and nobody else changes the size.

use core::ops::Range;

use super::{is_lost, Carrier, Failure, Result};
use crate::media::format::Time;
use crate::media::BLOCK;
use crate::meta::extent::{self, Extent};
use crate::meta::inode::Live;
use crate::meta::{ops, Machine, Volume};

/// Sets the size. Who makes a file smaller has unmapped all from the block of the new end on: that
/// block as well, as its next fault zeroes what is beyond.
///
/// # Errors
///
/// Those of [`ops::extend`] and [`ops::truncate`], and of the carrier. A truncation that fails can
/// have been done in part.
pub fn resize<M: Machine, C: Carrier>(
    volume: &Volume<M>,
    live: &mut Live,
    size: u64,
    carrier: &mut C,
    now: Time,
) -> Result<(), Failure<C::Error>> {
    let old = live.size();
    if size > old {
        prepare_end(volume, live, size, carrier)?;
        ops::extend(volume, live, size, now)?.reply();
        return Ok(());
    }
    // What mappings have stored into the block that stays: its mark went with its entry.
    let stays = size / BLOCK..size.div_ceil(BLOCK);
    write_back(volume, live, stays.clone(), carrier);
    let done = ops::truncate(volume, live, size, now).map(drop);
    if done.is_err() {
        write_back(volume, live, stays.start..old.div_ceil(BLOCK), carrier);
    }
    Ok(done?)
}

/// Before the end of a file moves up to `to`: zeroes what lies between in written blocks, and
/// fences. Beyond the end these have whatever a power cut kept of a write that did not return.
///
/// # Errors
///
/// Those of the carrier, and of [`extent::find`].
pub fn prepare_end<M: Machine, C: Carrier>(
    volume: &Volume<M>,
    live: &Live,
    to: u64,
    carrier: &mut C,
) -> Result<(), Failure<C::Error>> {
    zero_written(volume, live, live.size()..to, carrier)
}

/// Zeroes written blocks from the beginning of these bytes to the end of the block of the last one,
/// and fences.
pub(super) fn zero_written<M: Machine, C: Carrier>(
    volume: &Volume<M>,
    live: &Live,
    bytes: Range<u64>,
    carrier: &mut C,
) -> Result<(), Failure<C::Error>> {
    each_written(volume, live, bytes.start / BLOCK..bytes.end.div_ceil(BLOCK), |at, block, len| {
        let used = bytes.start.saturating_sub(at.saturating_mul(BLOCK));
        let start = block.saturating_mul(BLOCK).saturating_add(used);
        let zeroed = carrier.zero(start, len.saturating_mul(BLOCK).saturating_sub(used));
        carrier.fence();
        zeroed.map_err(Failure::Carrier)
    })
}

/// Zeroes what lies beyond the end of a file in its last block, which is `block`, and fences:
/// before a mapping shows it.
pub(super) fn zero_past_end<M: Machine, C: Carrier>(
    volume: &Volume<M>,
    live: &Live,
    block: u64,
    carrier: &mut C,
) -> Result<(), C::Error> {
    let used = live.size() % BLOCK;
    // A page that has failed is not seen again before all of it is written.
    if used == 0 || is_lost(volume, block, 1) {
        return Ok(());
    }
    let zeroed = carrier.zero(block.saturating_mul(BLOCK).saturating_add(used), BLOCK.wrapping_sub(used));
    carrier.fence();
    zeroed
}

/// Makes durable what mappings have stored into blocks of a file that stay its own, when their
/// entries, and with them the marks, are gone. What cannot be found cannot be reached either.
pub fn write_back<M: Machine, C: Carrier>(volume: &Volume<M>, live: &Live, blocks: Range<u64>, carrier: &mut C) {
    let mut flushed = false;
    let _ = each_written(volume, live, blocks, |_, block, len| {
        carrier.flush(block.saturating_mul(BLOCK), len.saturating_mul(BLOCK));
        flushed = true;
        Ok::<(), Failure<C::Error>>(())
    });
    if flushed {
        carrier.fence();
    }
}

/// Calls `each` with the written runs in a range of file blocks: file block, block, number of
/// blocks.
fn each_written<M: Machine, E>(
    volume: &Volume<M>,
    live: &Live,
    blocks: Range<u64>,
    mut each: impl FnMut(u64, u64, u64) -> Result<(), Failure<E>>,
) -> Result<(), Failure<E>> {
    let mut at = blocks.start;
    while at < blocks.end {
        let len = match extent::find(volume, live, at)? {
            Extent::Data { block, len, unwritten: false, .. } => {
                let len = u64::from(len).min(blocks.end.wrapping_sub(at));
                each(at, block, len)?;
                len
            }
            Extent::Data { len, .. } => len.into(),
            // Beyond all blocks that a file can have there is nothing.
            Extent::Hole { len: 0 } => break,
            Extent::Hole { len } => len,
        };
        at = at.saturating_add(len);
    }
    Ok(())
}
