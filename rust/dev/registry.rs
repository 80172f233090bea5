// SPDX-License-Identifier: GPL-2.0

//! Layer: dev. The list of devices: numbers, names and node numbers, and the way from a mount's source to an
//! exclusively used device.

use core::ops::Deref;

use kernel::{prelude::*, sync::Arc};

use super::{
    slot::{Holder, Use},
    Device,
};
use crate::linux::{
    cdev::Class,
    dax::Devt,
    pmem::{Region, Writer},
    sync::Static,
};

struct Listed {
    id: u32,
    live: Option<(Devt, Arc<Device>)>,
}

struct List {
    class: Option<Arc<Class>>,
    devices: KVec<Listed>,
}

static LIST: Static<List> = Static::new(List { class: None, devices: KVec::new() });

/// The registry is open while this exists. Dropped after the last device has gone.
pub(crate) struct Registry(());

impl Registry {
    pub(super) fn new() -> Result<Self> {
        let class = Arc::new(Class::new(c"pfnfs")?, GFP_KERNEL)?;
        LIST.lock().class = Some(class);
        Ok(Self(()))
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let list = core::mem::replace(&mut *LIST.lock(), List { class: None, devices: KVec::new() });
        drop(list);
    }
}

/// The class of the nodes. `ENODEV` while the module comes or goes.
pub(super) fn class() -> Result<Arc<Class>> {
    LIST.lock().class.clone().ok_or(ENODEV)
}

/// A number of a device, free again on drop.
pub(super) struct Id(u32);

impl Id {
    /// The smallest free number.
    pub(super) fn new() -> Result<Self> {
        let mut list = LIST.lock();
        let id = (0..u32::MAX).find(|&id| list.devices.iter().all(|d| d.id != id)).ok_or(ENOSPC)?;
        list.devices.push(Listed { id, live: None }, GFP_KERNEL)?;
        Ok(Self(id))
    }

    pub(super) fn get(&self) -> u32 {
        self.0
    }

    /// From now on the device is found.
    pub(super) fn publish(&self, devt: Devt, device: Arc<Device>) {
        self.set(Some((devt, device)));
    }

    /// From now on the device is not found any more.
    pub(super) fn retract(&self) {
        self.set(None);
    }

    fn set(&self, live: Option<(Devt, Arc<Device>)>) {
        let mut list = LIST.lock();
        let old = list.devices.iter_mut().find(|d| d.id == self.0).and_then(|d| core::mem::replace(&mut d.live, live));
        // The list's lock is not held while a device is dropped.
        drop(list);
        drop(old);
    }
}

impl Drop for Id {
    fn drop(&mut self) {
        self.retract();
        let mut list = LIST.lock();
        if let Some(at) = list.devices.iter().position(|d| d.id == self.0) {
            let _ = list.devices.remove(at);
        }
    }
}

/// How a device is named.
#[derive(Clone, Copy)]
pub(crate) enum Source<'a> {
    /// By its name, "pfnfs0".
    Name(&'a [u8]),
    /// By the number of its node.
    Node(Devt),
}

/// The device of that name or number. `ENXIO` if there is none.
pub(crate) fn find(source: Source<'_>) -> Result<Arc<Device>> {
    let list = LIST.lock();
    list.devices
        .iter()
        .filter_map(|d| d.live.as_ref())
        .find(|(devt, device)| match source {
            Source::Name(name) => device.name().to_bytes_with_nul().strip_suffix(&[0]) == Some(name),
            Source::Node(node) => *devt == node,
        })
        .map(|(_, device)| device.clone())
        .ok_or(ENXIO)
}

/// Exclusive use of a device, given back on drop.
pub(crate) struct Claimed {
    device: Arc<Device>,
}

impl Claimed {
    pub(super) fn new(device: Arc<Device>, how: Use) -> Result<Self> {
        device.slot.take(how)?;
        Ok(Self { device })
    }

    /// Claims a device for a mount. `EBUSY` if it is mounted or its node is open for writing, `ENXIO` once removal has
    /// begun.
    pub(crate) fn mount(device: Arc<Device>) -> Result<Self> {
        Self::new(device, Use::Mount)
    }

    /// Hands in who is told of failures and removal. `ENXIO` once removal has begun.
    pub(crate) fn hold(&self, holder: Arc<dyn Holder>) -> Result {
        self.device.slot.hold(holder)
    }

    /// The right to change the device's bytes. `EROFS` if it is read-only, `EBUSY` if it was given out already.
    pub(crate) fn writer(&self) -> Result<Writer> {
        if self.device.is_read_only() {
            return Err(EROFS);
        }
        Region::writer(&self.device.region)
    }
}

impl Deref for Claimed {
    type Target = Device;

    fn deref(&self) -> &Device {
        &self.device
    }
}

impl Drop for Claimed {
    fn drop(&mut self) {
        self.device.slot.give_back();
    }
}
