// SPDX-License-Identifier: GPL-2.0

//! fsck.pfnfs: one check of everything, in memory: the image is only read. The same walk as the crash tests use.

use pfnfs_core::media::format::{self, Slot, Super};
use pfnfs_core::media::{check, Error, Geometry, Pmem, Result, BLOCK};
use pfnfs_core::meta::walk::{self, Fix, Problem, Summary, Visitor};
use pfnfs_core::meta::{dir, Open, Volume};
use zerocopy::IntoBytes;

use super::progress::Progress;
use crate::image::Image;
use crate::overlay::Overlay;

/// What a check found.
#[derive(Default)]
pub struct Survey {
    pub problems: Vec<Problem>,
    pub summary: Summary,
    /// The log has to be replayed.
    pub dirty: bool,
}

/// Checks everything. `None` if the user stopped it.
///
/// # Errors
///
/// What is no damage: it cannot be checked.
pub fn survey(image: &Image, geometry: &Geometry, progress: &Progress) -> Result<Option<Survey>> {
    let mut found = Survey::default();
    superblocks(image, geometry, &mut found)?;
    slots(image, geometry, &mut found);
    let overlay = Overlay::new(image, geometry);
    let volume = Volume::open_in_spite(overlay, *geometry, Open::ReadOnly, &mut |problem| {
        found.note(problem);
        Ok(())
    })?;
    let mut checker = Checker { found: &mut found, progress };
    match walk(&volume, &mut checker) {
        Ok(summary) => found.summary = summary,
        Err(_) if progress.stopped() => return Ok(None),
        Err(error) => return Err(error),
    }
    Ok(Some(found))
}

/// Walks a volume.
///
/// # Errors
///
/// What the visitor returned.
pub fn walk(volume: &Volume<Overlay<'_>>, visitor: &mut dyn Visitor) -> Result<Summary> {
    let mut blocks = vec![0; walk::Scratch::block_words(volume.geometry())];
    let mut links = vec![0; walk::Scratch::link_words(volume)];
    let mut keys = dir::Scratch::new();
    walk::check(volume, &mut walk::Scratch { blocks: &mut blocks, links: &mut links, keys: &mut keys }, visitor)
}

impl Survey {
    /// Keeps a problem; some show themselves to both who opens and who walks.
    fn note(&mut self, problem: &Problem) {
        if !matches!(problem.fix.rank(), walk::Rank::Ground) || !self.problems.contains(problem) {
            self.problems.push(*problem);
        }
    }
}

/// Notes problems and progress.
struct Checker<'a> {
    found: &'a mut Survey,
    progress: &'a Progress,
}

impl Visitor for Checker<'_> {
    fn problem(&mut self, problem: &Problem) -> Result {
        self.found.note(problem);
        Ok(())
    }

    fn progress(&mut self, done: u64, all: u64) -> Result {
        self.progress.at(done, all);
        if self.progress.stopped() {
            return Err(Error::Invalid("stopped"));
        }
        Ok(())
    }
}

/// Whether the volume was unmounted in order: superblocks and slots say so.
pub fn unmounted(image: &Image, geometry: &Geometry) -> bool {
    let mut found = Survey::default();
    slots(image, geometry, &mut found);
    superblocks(image, geometry, &mut found).is_ok() && found.problems.is_empty() && !found.dirty
}

/// Both copies of the superblock are sound and the same.
fn superblocks(image: &Image, geometry: &Geometry, found: &mut Survey) -> Result {
    let last = (geometry.blocks() - 1) * BLOCK;
    let problem = |at, error| Problem { error, ino: None, fix: Fix::Super(at) };
    // Read again: a round before may have repaired it.
    if let Some(at) = Geometry::read(image)?.damaged() {
        let error = match check::superblock(image, at) {
            Err(error @ Error::Poison { .. }) => error,
            Err(Error::Damaged(why)) => Error::Corrupt { at, why },
            _ => Error::Corrupt { at, why: "superblock" },
        };
        found.note(&problem(at, error));
        return Ok(());
    }
    let read = |at| {
        image.read::<Super>(at).map(|mut sb| {
            sb.crc = 0.into();
            sb
        })
    };
    if read(0)?.as_bytes() != read(last)?.as_bytes() {
        found.note(&problem(last, Error::Corrupt { at: last, why: "superblock that differs from the first" }));
    }
    Ok(())
}

/// The copies of the slot, one by one; without any the volume says so when it is opened.
fn slots(image: &Image, geometry: &Geometry, found: &mut Survey) {
    let slots = format::SLOT_OFFSETS.map(|offset| {
        let at = format::SLOT_BLOCK * BLOCK + offset;
        image.read::<Slot>(at).and_then(|slot| check::slot(geometry.uuid(), &slot, at).map(|()| slot))
    });
    found.dirty = slots.iter().flatten().any(|slot| slot.state.get() == format::SLOT_DIRTY);
    if slots.iter().all(Result::is_err) {
        found.dirty = true;
    } else {
        for error in slots.iter().filter_map(|slot| slot.as_ref().err()) {
            found.note(&Problem { error: *error, ino: None, fix: Fix::Slots });
        }
    }
}
