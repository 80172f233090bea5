// SPDX-License-Identifier: GPL-2.0

//! Opens an image as a mount does, in the ways that there are, and reads all that is in it.

use pfnfs_core::media::format::SEQ_END;
use pfnfs_core::media::{self, Error, Geometry, BLOCK};
use pfnfs_core::meta::extent::{self, Extent};
use pfnfs_core::meta::walk::{Problem, Visitor};
use pfnfs_core::meta::{dir, inode, walk, Machine, Open, Volume};

use crate::canvas::Canvas;
use crate::fs::driver::Driver;
use crate::fs::model::Model;
use crate::plain::Plain;

/// The machine that images are opened on.
pub type Memory = Plain<Canvas>;

/// Mounts, walks and reads a volume.
pub fn usual(machine: &Memory, geometry: Geometry) -> Result<Model, String> {
    let driver = Driver::mount_at(machine, geometry).map_err(|error| format!("mount: {error:?}"))?;
    whole(&driver)
}

/// Walks and reads a volume that is mounted for writing.
fn whole(driver: &Driver<&Memory>) -> Result<Model, String> {
    driver.volume.reclaim().map_err(|error| format!("orphans: {error:?}"))?;
    if driver.volume.orphans(0) != Ok(None) {
        return Err("an orphan that the mount left".into());
    }
    look(driver)
}

/// Walks and reads a volume.
fn look(driver: &Driver<&Memory>) -> Result<Model, String> {
    let summary = driver.check().map_err(|error| format!("check: {error:?}"))?;
    let space = driver.volume.space();
    if space.blocks - space.free != summary.blocks || space.inodes - space.free_inodes != summary.inodes {
        return Err("free space in DRAM is not that on the media".into());
    }
    driver.read_back().map_err(|error| format!("read: {error:?}"))
}

/// Opens a volume for reading.
fn reading(machine: &Memory, geometry: Geometry, how: Open) -> media::Result<Driver<&Memory>> {
    Driver::over(machine, Volume::open(machine, geometry, how)?)
}

/// As [`usual`], but if the log can take no more records the volume is one to read.
pub fn at_the_end(machine: &Memory, geometry: Geometry) -> Result<Model, String> {
    match Driver::mount_at(machine, geometry) {
        Err(Error::ReadOnly) => {
            let driver = reading(machine, geometry, Open::ReadOnly).map_err(|error| format!("read-only: {error:?}"))?;
            look(&driver)
        }
        driver => {
            let driver = driver.map_err(|error| format!("mount: {error:?}"))?;
            if driver.volume.backlog().cut >= SEQ_END {
                return Err("mounted for writing, and there are no sequence numbers".into());
            }
            whole(&driver)
        }
    }
}

/// Mounts a volume in the ways that may not store, looks at everything there, and only then as
/// [`usual`]: by a remount, or by another mount.
pub fn first_to_read(machine: &Memory, geometry: Geometry, models: &[&Model], remount: bool) -> Result<Model, String> {
    let stores = machine.memory.changes();
    let untouched = |what: &str| match machine.memory.changes() == stores {
        true => Ok(()),
        false => Err(format!("{what} has stored something")),
    };
    // What is not in place yet may look like damage. Nothing else may go wrong, and it has to end.
    match Volume::open(machine, geometry, Open::NoRecovery) {
        Ok(volume) => tolerant(&volume),
        Err(Error::Corrupt { .. } | Error::Damaged(_)) => {}
        Err(error) => return Err(format!("without recovery: {error:?}")),
    }
    untouched("a mount without recovery")?;
    machine.writable.set(false);
    let refused = match reading(machine, geometry, Open::ReadOnly) {
        Ok(driver) => known(&driver, models, "read-only device").map(|()| false),
        Err(Error::ReadOnly) => Ok(true),
        Err(error) => Err(format!("read-only device: {error:?}")),
    };
    machine.writable.set(true);
    let refused = refused?;
    untouched("a mount of a device that is read-only")?;
    let driver = reading(machine, geometry, Open::ReadOnly).map_err(|error| format!("read-only: {error:?}"))?;
    let recovered = machine.memory.changes();
    known(&driver, models, "read-only")?;
    tolerant(&driver.volume);
    for error in [driver.volume.checkpoint(), driver.volume.close()] {
        error.map_err(|error| format!("read-only, at its end: {error:?}"))?;
    }
    if machine.memory.changes() != recovered {
        return Err("a mount that is read-only has stored something after the recovery".into());
    }
    if refused && recovered == stores {
        return Err("a mount of a device that is read-only was refused, and there is nothing to recover".into());
    }
    if !remount {
        return usual(machine, geometry);
    }
    driver.volume.make_writable().map_err(|error| format!("remount: {error:?}"))?;
    driver.finish_orphans().map_err(|error| format!("remount, orphans: {error:?}"))?;
    whole(&driver)
}

/// What is mounted for reading is one of these models.
fn known(driver: &Driver<&Memory>, models: &[&Model], what: &str) -> Result<(), String> {
    driver.check().map_err(|error| format!("{what}: check: {error:?}"))?;
    let found = driver.read_back().map_err(|error| format!("{what}: read: {error:?}"))?;
    Model::one_of(models, &found).map_err(|why| format!("{what}: {why}"))
}

/// A visitor that goes on whatever is wrong.
pub struct Patient;

impl Visitor for Patient {
    fn problem(&mut self, _problem: &Problem) -> media::Result {
        Ok(())
    }
}

/// Reads all that can be, of a volume that may look damaged.
pub fn tolerant<M: Machine>(volume: &Volume<M>) {
    let mut blocks = vec![0; walk::Scratch::block_words(volume.geometry())];
    let mut links = vec![0; walk::Scratch::link_words(volume)];
    let mut keys = dir::Scratch::new();
    let mut scratch = walk::Scratch { blocks: &mut blocks, links: &mut links, keys: &mut keys };
    let _ = walk::check(volume, &mut scratch, &mut Patient);
    let mut buffer = vec![0; BLOCK as usize];
    for ino in 0..links.len() as u64 {
        let Ok(live) = inode::find(volume, ino, None) else { continue };
        if live.is_dir() {
            let _ = dir::read(volume, &live, 0, &mut dir::Scratch::new(), &mut |entry| {
                let _ = dir::lookup(volume, &live, entry.name);
                true
            });
        } else if live.is_symlink() {
            let _ = inode::read_link(volume, &live, 0, &mut buffer);
        } else if live.is_file() {
            let mut at = 0;
            // A file has no more extents than the volume has blocks.
            for _ in 0..volume.geometry().blocks() {
                match extent::find(volume, &live, at) {
                    Ok(Extent::Data { len, .. }) => at += u64::from(len),
                    Ok(Extent::Hole { len }) if at + len < live.size().div_ceil(BLOCK) => at += len,
                    _ => break,
                }
            }
        }
    }
}
