// SPDX-License-Identifier: GPL-2.0

//! Layer: dev. From memory that a backend has found to a device in the registry, and back.

use kernel::{
    prelude::*,
    str::CString,
    sync::{
        atomic::{Atomic, Relaxed},
        Arc,
    },
};

use super::{foreign, registry, slot::Slot, Device, Found, Persistence};
use crate::linux::{
    cdev, dax,
    mm::selftest,
    pagemap::{Pagemap, ALIGN},
    pmem::Poison,
    pmem::PAGE,
    resource,
};

/// A device that is there. Dropping it removes the device: the fields go in their order, after the holder has drained
/// the device.
pub(crate) struct Binding {
    device: Arc<Device>,
    node: Option<cdev::Node<Device>>,
    _dax: dax::Registration<Device>,
    _pagemap: Pagemap<Slot>,
    id: registry::Id,
}

/// Makes a device of memory. Says in the log why it cannot: `EINVAL` misaligned or too small, `ENXIO` ordinary memory or
/// asynchronous, `EBUSY` claimed by somebody else, `ENODEV` formatted for another driver.
pub(crate) fn attach(found: Found<'_>) -> Result<KBox<Binding>> {
    let parent = found.parent;
    let mut range = found.range.clone();
    if range.start % ALIGN != 0 {
        dev_err!(parent, "pfnfs: refused: starts at {:#x}, not a multiple of 2 MiB\n", range.start);
        return Err(EINVAL);
    }
    range.end -= range.end % ALIGN;
    if range.end <= range.start {
        dev_err!(parent, "pfnfs: refused: too small, a device has at least 2 MiB\n");
        return Err(EINVAL);
    }
    if !found.synchronous {
        dev_err!(parent, "pfnfs: refused: stores become durable only by asking the host\n");
        return Err(ENXIO);
    }
    if resource::is_ram(&range) {
        dev_err!(parent, "pfnfs: refused: {:#x} to {:#x} is ordinary memory\n", range.start, range.end);
        return Err(ENXIO);
    }
    let id = registry::Id::new()?;
    let name = CString::try_from_fmt(fmt!("pfnfs{}", id.get()))?;
    let claim = resource::Claim::new(&range, &name).inspect_err(|_| {
        dev_err!(parent, "pfnfs: refused: {:#x} to {:#x} is in use\n", range.start, range.end);
    })?;
    let poison = Poison::new()?;
    let slot = Slot::new(id.get(), poison.clone())?;
    let durable = found.persistence == Persistence::CpuCache;
    let pagemap = Pagemap::new(claim, found.node, durable, poison.clone(), slot.clone())?;
    foreign::check(pagemap.region(), parent)?;
    // The kernel's DAX internals must be those we know, before anybody can map anything.
    selftest::run(pagemap.region().frames(0..ALIGN / PAGE)?)?;
    (found.note_bad)(&range, &poison)?;
    let device = Device {
        name,
        region: pagemap.region().clone(),
        persistence: found.persistence,
        node: found.node,
        read_only: Atomic::new(found.read_only.into()),
        slot,
        backend: found.backend,
    };
    let device = Arc::new(device, GFP_KERNEL)?;
    let flags = dax::Flags { synchronous: found.synchronous, write_cache: !durable };
    let dax = dax::Registration::new(device.clone(), flags)?;
    let devt = dax.devt();
    let mut binding = KBox::new(Binding { device, node: None, _dax: dax, _pagemap: pagemap, id }, GFP_KERNEL)?;
    let device = &binding.device;
    binding.id.publish(devt, device.clone());
    let node = cdev::Node::new(&registry::class()?, parent, devt, device.name(), device.clone())?;
    dev_info!(
        parent,
        "pfnfs: {} of {} MiB, persistence domain {}\n",
        device.name(),
        device.size() >> 20,
        device.persistence().name()
    );
    binding.node = Some(node);
    Ok(binding)
}

/// What a platform reports later.
#[cfg(CONFIG_LIBNVDIMM)]
impl Binding {
    /// The record of failed pages.
    pub(super) fn poison(&self) -> &Poison {
        self.device.slot.poison()
    }

    /// Follows the administrator's switch.
    pub(super) fn set_read_only(&self, read_only: bool) {
        self.device.read_only.store(read_only.into(), Relaxed);
    }
}

impl Drop for Binding {
    fn drop(&mut self) {
        self.id.retract();
        self.device.region().kill();
        self.device.slot.die();
    }
}
