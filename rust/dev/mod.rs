// SPDX-License-Identifier: GPL-2.0

//! Layer: dev. Persistent memory devices pfnfs0, pfnfs1, ...: who has one, what it can do, and how it goes away.
//!
//! A backend (`nd`, `nfit`, `phys`) finds memory and calls [`attach`]; the memory is mapped, becomes a `dax_device` with a node
//! and sysfs attributes, and is listed in `registry`. A file system gets a device with [`find`] and [`Claimed::mount`] and hands in a
//! [`Holder`], which is told of failing memory and of removal. This layer knows no file system.
//!
//! May import: linux. Locks: those of `slot` (outermost: no lock is held when a device is attached or removed), the
//! registry's, innermost.

#![forbid(unsafe_code)]

mod binding;
mod copy;
mod foreign;
#[cfg(CONFIG_LIBNVDIMM)]
mod nd;
#[cfg(all(CONFIG_ACPI, not(CONFIG_LIBNVDIMM)))]
mod nfit;
mod node;
mod phys;
pub(crate) mod registry;
mod slot;

use core::ops::Range;

use kernel::{
    device,
    iov::{IovIterDest, IovIterSource},
    prelude::*,
    str::CString,
    sync::{
        atomic::{Atomic, Relaxed},
        Arc,
    },
};

use crate::linux::{
    dax,
    pmem::{Frames, Poison, ReadGuard, Region, Run, StoreGuard, PAGE},
};

pub(crate) use self::binding::{attach, Binding};
pub(crate) use self::{
    registry::{find, Claimed, Source},
    slot::Holder,
};

/// What survives a power failure, besides what has been written back and fenced.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Persistence {
    /// Stores in CPU caches as well: write-backs are not needed, fences are.
    CpuCache,
    /// What has reached the memory controller.
    MemoryController,
    /// As `MemoryController`, we hope: the platform does not say.
    Unknown,
}

impl Persistence {
    fn name(self) -> &'static str {
        match self {
            Self::CpuCache => "cpu_cache",
            Self::MemoryController => "memory_controller",
            Self::Unknown => "unknown",
        }
    }
}

/// What a backend can do for a device beyond loads and stores. Called only while the device is there.
pub(crate) trait Backend: Send + Sync {
    /// Flushes the platform's own write queues.
    fn deep_flush(&self, guard: &ReadGuard<'_>) -> Result;

    /// Puts good memory in place of failed device pages. `EOPNOTSUPP` or another error if it cannot.
    fn clear_poison(&self, guard: &ReadGuard<'_>, pages: Range<u64>) -> Result;
}

/// A device. It may outlive its memory: once removed, everything fails with `ENXIO`.
pub(crate) struct Device {
    name: CString,
    region: Arc<Region>,
    persistence: Persistence,
    node: i32,
    read_only: Atomic<u32>,
    slot: Arc<slot::Slot>,
    backend: KBox<dyn Backend>,
}

impl Device {
    /// "pfnfs0".
    pub(crate) fn name(&self) -> &CStr {
        &self.name
    }

    /// The bytes of the device, for reading. The right to store comes from [`Claimed::writer`] alone.
    pub(crate) fn region(&self) -> &Region {
        &self.region
    }

    /// Size in bytes, a multiple of 2 MiB.
    pub(crate) fn size(&self) -> u64 {
        self.region.len()
    }

    /// Whether caches are durable.
    pub(crate) fn persistence(&self) -> Persistence {
        self.persistence
    }

    /// Must not be written: switched by the administrator in the region's sysfs folder.
    pub(crate) fn is_read_only(&self) -> bool {
        self.read_only.load(Relaxed) != 0
    }

    /// Has removal begun? Then nothing new starts, while what is dirty can still be written back.
    pub(crate) fn is_dead(&self) -> bool {
        self.region.is_dead()
    }

    /// Begins a section that may sleep and in which the device stays mapped. Removal and memory failure wait for its end: it
    /// must not wait for a user. `ENXIO` once removal has begun.
    pub(crate) fn enter(&self) -> Result<ReadGuard<'_>> {
        self.region.enter()
    }

    /// The page frames of device pages: the only source of page frame numbers. Mappings of them must be gone when
    /// [`Holder::dead`] returns.
    pub(crate) fn frames(&self, pages: Range<u64>) -> Result<Frames<'_>> {
        self.region.frames(pages)
    }

    /// Has any of these device pages failed? Reading or mapping one would deliver stale bytes or a machine check.
    pub(crate) fn is_poisoned(&self, pages: Range<u64>) -> bool {
        self.region.is_poisoned(&pages)
    }

    /// Flushes the platform's write queues: once per sync, not per operation.
    pub(crate) fn deep_flush(&self) -> Result {
        self.backend.deep_flush(&self.enter()?)
    }
}

#[vtable]
impl dax::Operations for Device {
    fn direct_access(&self, pages: Range<u64>, mode: dax::Mode) -> Result<Run<'_>> {
        let end = pages.end.min(self.size() / PAGE);
        if pages.start >= end {
            return Err(ERANGE);
        }
        if mode == dax::Mode::Access && self.is_poisoned(pages.start..end) {
            return Err(EIO);
        }
        self.region.run(pages.start..end)
    }

    fn zero_page_range(&self, _pages: Range<u64>) -> Result {
        // The kernel wants to have it, but calls it only for file systems of its own, which cannot have our devices.
        Err(EROFS)
    }

    fn copy_from_iter(
        &self,
        guard: &StoreGuard<'_>,
        at: u64,
        len: usize,
        src: &mut IovIterSource<'_>,
    ) -> Result<usize> {
        guard.copy_from_iter(at, len, src)
    }

    fn copy_to_iter(&self, guard: &ReadGuard<'_>, at: u64, len: usize, dst: &mut IovIterDest<'_>) -> Result<usize> {
        guard.copy_to_iter(at, len, dst)
    }

    fn flush(&self, at: u64, len: u64) {
        self.region.flush(at, len);
    }
}

/// Memory that a backend has found.
pub(crate) struct Found<'a> {
    /// The parent of the node's device, also named in messages.
    pub(crate) parent: &'a device::Device,
    /// Physical addresses.
    pub(crate) range: Range<u64>,
    pub(crate) node: i32,
    pub(crate) persistence: Persistence,
    /// Durable by write-back and fence alone.
    pub(crate) synchronous: bool,
    pub(crate) read_only: bool,
    /// Adds the failed pages of a range of physical addresses that the platform knows of.
    pub(crate) note_bad: &'a dyn Fn(&Range<u64>, &Poison) -> Result,
    pub(crate) backend: KBox<dyn Backend>,
}

/// The layer as the module brings it up. Fields are dropped in their order: first the devices, then the registry.
pub(crate) struct Layer {
    _phys: Option<phys::Phys>,
    #[cfg(CONFIG_LIBNVDIMM)]
    _nd: nd::Registration,
    #[cfg(all(CONFIG_ACPI, not(CONFIG_LIBNVDIMM)))]
    _nfit: nfit::Nfit,
    _registry: registry::Registry,
}

impl Layer {
    /// Makes devices of all free namespaces (without libnvdimm: of all ranges in the firmware's table), and of the memory at
    /// `phys` if `size` is not 0.
    #[cfg_attr(not(CONFIG_LIBNVDIMM), expect(unused_variables, reason = "whose driver it would be"))]
    pub(crate) fn new(module: &'static ThisModule, phys: u64, size: u64) -> Result<Self> {
        let registry = registry::Registry::new()?;
        let phys = phys::Phys::new(phys, size)?;
        Ok(Self {
            _phys: phys,
            #[cfg(CONFIG_LIBNVDIMM)]
            _nd: nd::Registration::new(module)?,
            #[cfg(all(CONFIG_ACPI, not(CONFIG_LIBNVDIMM)))]
            _nfit: nfit::Nfit::new()?,
            _registry: registry,
        })
    }
}
