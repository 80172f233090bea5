// SPDX-License-Identifier: GPL-2.0

//! Frees inodes without links, several in one record.
//!
//! The last unlink has marked them as orphans. Once nobody uses them they wait in the machine's state ([`Gone`]) for company; who
//! needs what they occupy frees them at once. A power cut loses nothing: the next mount finds the marks. Until they are freed
//! their numbers are taken, and [`inode::find`] does not find them.

use super::free::cut;
use crate::media::{Error, Result, GROUP_BLOCKS};
use crate::meta::change::Change;
use crate::meta::extent::{self, FILE_BLOCKS};
use crate::meta::inode::{self, Live};
use crate::meta::log::Stage;
use crate::meta::machine::Gone;
use crate::meta::span::Patience;
use crate::meta::{Machine, Volume};

/// Bytes of record that an inode takes at most: two bits, and inline extents that reach into two groups each.
const COST: usize = 192;

/// Frees an inode without links and all it has, now or later, at the latest with the last of
/// [`GONE_MAX`](crate::meta::machine::GONE_MAX). Nobody uses it any more. What is large of it is freed at once.
///
/// # Errors
///
/// `Invalid` if it has links; `Corrupt` if a directory has entries; `ReadOnly`. What was freed until an error stays so; the rest
/// is done at the next mount. An error can be that of another inode that waited.
pub fn evict<M: Machine>(volume: &Volume<M>, live: Live) -> Result {
    let mut live = live;
    if volume.read_only() {
        return Err(Error::ReadOnly);
    }
    if live.nlink() != 0 {
        return Err(Error::Invalid("inode with links"));
    }
    if live.is_dir() && live.raw.root.get() != 0 {
        return Err(Error::Corrupt { at: live.at, why: "removed directory with entries" });
    }
    if live.is_file() && (extent::in_tree(&live.raw) || live.blocks() > GROUP_BLOCKS.into()) {
        empty(volume, &mut live)?;
    }
    volume.gone(|gone| {
        if let Some(place) = gone.list.iter_mut().find(|place| place.is_none()) {
            *place = Some(live);
        }
        if gone.list.iter().all(Option::is_some) {
            some(volume, gone).map(drop)
        } else {
            Ok(())
        }
    })
}

/// Frees all blocks of a file, in as many records as that takes.
fn empty<M: Machine>(volume: &Volume<M>, live: &mut Live) -> Result {
    let mut patience = Patience::default();
    loop {
        let mut stage = Stage::new();
        let mut change = Change::new(volume, &mut stage);
        let mut raw = live.next();
        let Some(left) = patience.unless_lost_free(cut(&mut change, &mut raw, 0, FILE_BLOCKS))? else { continue };
        inode::stage(&mut change, live, &mut raw)?;
        let _durable = change.commit(())?;
        live.accept(&raw);
        if !left {
            return Ok(());
        }
    }
}

/// Frees as many of the inodes as one record takes. An inode that cannot be freed stays an orphan, and keeps nobody else from it.
fn some<M: Machine>(volume: &Volume<M>, gone: &mut Gone) -> Result<usize> {
    let Gone { list, stage } = gone;
    let all = list.iter().flatten();
    // The first error is the one that tells what was lost.
    let freed =
        together(volume, stage, all.clone()).or_else(|error| together(volume, stage, all.take(1)).map_err(|_| error));
    let taken = *freed.as_ref().unwrap_or(&1);
    list.iter_mut().filter(|place| place.is_some()).take(taken).for_each(|place| *place = None);
    freed
}

/// Frees the first of these inodes, and as many others as fit into the same record. Says how many.
fn together<'a, M: Machine>(
    volume: &Volume<M>,
    stage: &mut Stage,
    gone: impl Iterator<Item = &'a Live>,
) -> Result<usize> {
    let mut change = Change::new(volume, stage);
    let mut freed = 0usize;
    for live in gone {
        if change.record().room() < COST {
            break;
        }
        contents(&mut change, live)?;
        // The slot stays as it is: its bit says that it is free, and its generation is wanted when it is taken again.
        change.record().orphan(live.ino(), false)?;
        change.record().free_number(live.ino())?;
        freed = freed.saturating_add(1);
    }
    change.commit(freed).map(|durable| durable.reply())
}

/// Frees the blocks of an inode without a tree.
fn contents<M: Machine>(change: &mut Change<'_, '_, M>, live: &Live) -> Result {
    if live.is_symlink() && live.raw.root.get() != 0 {
        return change.record().free_meta(live.raw.root.get(), 1);
    }
    let geometry = *change.geometry();
    let mut end = if live.is_file() { FILE_BLOCKS } else { 0 };
    while let Some(run) = extent::last_within(change, &geometry, &live.raw, 0, end)? {
        change.record().free_data(run.block, run.len)?;
        end = run.file_block;
    }
    Ok(())
}

impl<M: Machine> Volume<M> {
    /// Frees all inodes that wait for it, and says how many there were.
    ///
    /// # Errors
    ///
    /// `Corrupt`, `Poison`, `ReadOnly`: those of the last inode that could not be freed; none waits any more.
    pub fn reclaim(&self) -> Result<usize> {
        self.gone(|gone| {
            let (mut freed, mut outcome) = (0usize, Ok(()));
            while gone.list.iter().any(Option::is_some) {
                match some(self, gone) {
                    Ok(n) => freed = freed.saturating_add(n),
                    Err(error) => outcome = Err(error),
                }
            }
            outcome.map(|()| freed)
        })
    }

    /// How many inodes wait to be freed, and the blocks that they have.
    pub(in crate::meta) fn waiting(&self) -> (u64, u64) {
        self.gone(|gone| {
            let waiting = gone.list.iter().flatten();
            waiting.fold((0u64, 0u64), |(n, blocks), live| (n.saturating_add(1), blocks.saturating_add(live.blocks())))
        })
    }
}
