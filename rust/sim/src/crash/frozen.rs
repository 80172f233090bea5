// SPDX-License-Identifier: GPL-2.0

//! A volume that is frozen: whoever copies the device gets all of it, and nothing is stored until
//! the thaw.

use pfnfs_core::media::Error;
use pfnfs_core::meta::{inode, Open, Volume};

use super::open::tolerant;
use crate::canvas::Canvas;
use crate::fs::driver::Driver;
use crate::plain::Plain;
use crate::world::World;

/// Looks at a volume that has come to rest, in every way that does not store.
pub fn look(world: &World, driver: &Driver<World>) -> Result<(), String> {
    let lost = world.media.borrow().risks().len();
    if lost > 0 {
        return Err(format!("frozen, and a cut may take {lost} words"));
    }
    let backlog = driver.volume.backlog();
    if !backlog.is_empty() {
        return Err(format!("frozen, and there is left to do: {backlog:?}"));
    }
    world.protect();
    let looked = inside(driver);
    world.unprotect();
    looked?;
    copy(world, driver)
}

/// Who reads does not store.
fn inside(driver: &Driver<World>) -> Result<(), String> {
    driver.verify()?;
    tolerant(&driver.volume);
    for ino in driver.lives.keys() {
        match inode::find(&driver.volume, *ino, None) {
            Ok(_) | Err(Error::NotFound) => {}
            Err(error) => return Err(format!("frozen: inode {ino}: {error:?}")),
        }
    }
    driver.volume.checkpoint().map_err(|error| format!("frozen: checkpoint: {error:?}"))
}

/// A copy of the device can be read as it is, by a machine that cannot store.
fn copy(world: &World, driver: &Driver<World>) -> Result<(), String> {
    let geometry = *driver.volume.geometry();
    let machine = Plain::new(Canvas::default(), &geometry);
    machine.memory.mount(world.media.borrow().durable().clone());
    machine.writable.set(false);
    let volume = Volume::open(&machine, geometry, Open::ReadOnly).map_err(|error| format!("a copy: {error:?}"))?;
    let copy = Driver::over(&machine, volume).map_err(|error| format!("a copy: {error:?}"))?;
    copy.check().map_err(|error| format!("a copy: {error:?}"))?;
    let found = copy.read_back().map_err(|error| format!("a copy: {error:?}"))?;
    driver.model.difference(&found).map_or(Ok(()), |why| Err(format!("a copy: {why}")))
}
