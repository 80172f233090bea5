// SPDX-License-Identifier: GPL-2.0

//! Layer: linux. A driver for raw namespaces of libnvdimm, and what a namespace and its region tell about themselves.
//!
//! Namespaces are bound raw: those with labels (type PMEM) and without (type IO). Claims on top of them (BTT, PFN and DAX
//! devices) are left to other drivers.
//!
//! C headers: [`include/linux/nd.h`](srctree/include/linux/nd.h),
//! [`include/linux/libnvdimm.h`](srctree/include/linux/libnvdimm.h),
//! [`drivers/nvdimm/nd.h`](srctree/drivers/nvdimm/nd.h)
//!
//! Not wrapped: BTT, labels, DIMM devices, buses.

use core::{marker::PhantomData, ops::Range, pin::Pin};

use kernel::{
    device,
    error::{from_err_ptr, from_result, to_result},
    page::PAGE_SIZE,
    prelude::*,
    types::Opaque,
};

use super::{bindings, pmem::ReadGuard};

/// A driver of raw namespaces.
pub(crate) trait Driver: 'static {
    /// The folder in /sys/bus/nd/drivers.
    const NAME: &'static CStr;

    /// What a bound namespace owns. Dropped when it is unbound, which cannot fail and may come at any time.
    type Data: Send + Sync + 'static;

    /// Binds a namespace. `ENODEV` leaves it to other drivers.
    fn probe(namespace: &Namespace<'_>) -> Result<KBox<Self::Data>>;

    /// The record of bad blocks or the read-only state has changed.
    fn notify(data: &Self::Data, namespace: &Namespace<'_>);
}

/// A namespace that is being bound, or is bound.
///
/// # Invariants
///
/// `dev` is a device of the nd bus whose parent is a region; `range` is its resource.
pub(crate) struct Namespace<'a> {
    dev: *mut bindings::device,
    range: Range<u64>,
    _lifetime: PhantomData<&'a bindings::device>,
}

impl Namespace<'_> {
    /// # Safety
    ///
    /// `dev` is a raw namespace with a region as its parent, for as long as the value is used.
    unsafe fn new(dev: *mut bindings::device) -> Result<Self> {
        // SAFETY: by the contract. It fails for namespaces that are claimed, locked or too small for libnvdimm.
        let range = unsafe {
            let ndns = from_err_ptr(bindings::nvdimm_namespace_common_probe(dev))?;
            let res = bindings::pfnfs_namespace_resource(ndns);
            (*res).start..(*res).end.saturating_add(1)
        };
        // INVARIANT: by the contract.
        Ok(Self { dev, range, _lifetime: PhantomData })
    }

    fn nd_region(&self) -> *mut bindings::nd_region {
        // SAFETY: by the invariant the parent is a region.
        unsafe { bindings::to_nd_region((*self.dev).parent) }
    }

    /// The device, for messages and as a parent.
    pub(crate) fn device(&self) -> &device::Device {
        // SAFETY: valid by the invariant.
        unsafe { device::Device::from_raw(self.dev) }
    }

    /// Physical addresses.
    pub(crate) fn range(&self) -> Range<u64> {
        self.range.clone()
    }

    /// The NUMA node, -1 if unknown.
    pub(crate) fn node(&self) -> i32 {
        // SAFETY: valid by the invariant.
        unsafe { bindings::pfnfs_dev_to_node(self.dev) }
    }

    /// Do stores stay in CPU caches that lose power? If not, no write-back is needed.
    pub(crate) fn has_cache(&self) -> bool {
        // SAFETY: a region by the invariant.
        unsafe { bindings::nvdimm_has_cache(self.nd_region()) != 0 }
    }

    /// Is a store durable after write-back and fence, without a call to the host?
    pub(crate) fn is_sync(&self) -> bool {
        // SAFETY: a region by the invariant.
        unsafe { bindings::is_nvdimm_sync(self.nd_region()) }
    }

    /// Does the platform say how its writes become durable?
    pub(crate) fn is_known(&self) -> bool {
        // SAFETY: a region by the invariant.
        unsafe { bindings::nvdimm_has_flush(self.nd_region()) >= 0 }
    }

    /// What the platform can do for the memory while the namespace is bound.
    pub(crate) fn platform(&self) -> Platform {
        Platform { dev: self.dev, nd_region: self.nd_region() }
    }

    /// The region's read-only switch. The structure that holds it is private to libnvdimm, so ask its sysfs attribute.
    pub(crate) fn is_read_only(&self) -> Result<bool> {
        let mut page = KVec::<u8>::with_capacity(PAGE_SIZE, GFP_KERNEL)?;
        let page = page.as_mut_ptr();
        // SAFETY: the region is registered, so its type and the groups of that are constant lists that end with NULL;
        // attributes in the groups of a device type are device attributes; the buffer is a page, and written if the
        // attribute says so.
        unsafe {
            let region = (*self.dev).parent;
            let Some(attr) = find_attribute(region, c"read_only") else { return Ok(false) };
            let Some(show) = (*attr).__bindgen_anon_1.show else { return Ok(false) };
            Ok(show(region, attr, page) > 0 && page.read() == b'1')
        }
    }

    /// Calls `found` for each bad range that libnvdimm knows of, in bytes from `range.start`.
    pub(crate) fn bad_ranges(&self, range: &Range<u64>, mut found: impl FnMut(Range<u64>) -> Result) -> Result {
        let bad = KBox::new(Opaque::<bindings::badblocks>::zeroed(), GFP_KERNEL)?;
        let of = bindings::range { start: range.start, end: range.end.saturating_sub(1) };
        // SAFETY: the record is zeroed and does not move; the region is valid by the invariant.
        unsafe {
            to_result(bindings::badblocks_init(bad.get(), 1))?;
            bindings::nvdimm_badblocks_populate(self.nd_region(), bad.get(), &of);
        }
        let (mut at, end) = (0, range.end.saturating_sub(range.start) / 512);
        let mut result = Ok(());
        while at < end && result.is_ok() {
            let (mut first, mut n) = (0, 0);
            // SAFETY: initialised above.
            let any = unsafe { bindings::badblocks_check(bad.get(), at, end.wrapping_sub(at), &mut first, &mut n) };
            if any == 0 || n == 0 {
                break;
            }
            at = first.saturating_add(n);
            result = found(first.saturating_mul(512)..at.saturating_mul(512));
        }
        // SAFETY: initialised above.
        unsafe { bindings::badblocks_exit(bad.get()) };
        result
    }
}

/// # Safety
///
/// `dev` is registered.
unsafe fn find_attribute(dev: *mut bindings::device, name: &CStr) -> Option<*mut bindings::device_attribute> {
    // SAFETY: by the contract; lists of groups and attributes end with NULL.
    unsafe {
        let mut group = (*dev).type_.as_ref()?.groups;
        while let Some(attrs) = group.as_ref().and_then(|g| g.as_ref()) {
            let mut attr = attrs.__bindgen_anon_2.attrs;
            while let Some(&a) = attr.as_ref().filter(|a| !a.is_null()) {
                if CStr::from_char_ptr((*a).name) == name {
                    // `attr` is the first field of a device attribute.
                    return Some(a.cast());
                }
                attr = attr.add(1);
            }
            group = group.add(1);
        }
    }
    None
}

/// Write queues and failed memory of a namespace. Its user keeps the namespace bound.
pub(crate) struct Platform {
    dev: *mut bindings::device,
    nd_region: *mut bindings::nd_region,
}

// SAFETY: libnvdimm takes its own locks.
unsafe impl Send for Platform {}
// SAFETY: as above.
unsafe impl Sync for Platform {}

impl Platform {
    /// Flushes the region's write queues, beyond what a fence guarantees: for platforms that may fail to drain them when
    /// power goes. `guard` is of the namespace's memory.
    pub(crate) fn flush(&self, guard: &ReadGuard<'_>) -> Result {
        let _ = guard;
        // SAFETY: the data of a binding is dropped, and with it the region of the guard revoked, before the namespace is
        // unbound; that waits for the guard. The nd region outlives its namespaces.
        to_result(unsafe { bindings::nvdimm_flush(self.nd_region, core::ptr::null_mut()) })
    }

    /// Asks the platform to replace failed memory at a physical address. `EIO` if it did so only in part. `guard` is of
    /// the namespace's memory.
    pub(crate) fn clear_poison(&self, guard: &ReadGuard<'_>, phys: u64, len: u32) -> Result {
        let _ = guard;
        // SAFETY: as in `flush`.
        let cleared = unsafe { bindings::nvdimm_clear_poison(self.dev, phys, len) };
        to_result(i32::try_from(cleared.min(0))?)?;
        if cleared == len as isize {
            Ok(())
        } else {
            Err(EIO)
        }
    }
}

/// A registered driver. On drop all namespaces are unbound.
///
/// # Invariants
///
/// `driver` is registered and does not move.
pub(crate) struct Registration<T: Driver> {
    driver: Pin<KBox<Opaque<bindings::nd_device_driver>>>,
    _driver: PhantomData<T>,
}

// SAFETY: drivers may be registered and unregistered by any task.
unsafe impl<T: Driver> Send for Registration<T> {}
// SAFETY: a shared reference gives access to nothing.
unsafe impl<T: Driver> Sync for Registration<T> {}

/// `ND_DEVICE_NAMESPACE_IO` and `ND_DEVICE_NAMESPACE_PMEM` as bits of driver types.
const TYPES: usize = 1 << bindings::ND_DEVICE_NAMESPACE_IO | 1 << bindings::ND_DEVICE_NAMESPACE_PMEM;

impl<T: Driver> Registration<T> {
    /// Registers the driver and binds all namespaces that are free.
    pub(crate) fn new(module: &'static ThisModule) -> Result<Self> {
        let driver = KBox::pin(Opaque::<bindings::nd_device_driver>::zeroed(), GFP_KERNEL)?;
        let raw = driver.get();
        // SAFETY: nobody else knows the driver yet; it does not move; names and functions are constant.
        unsafe {
            (*raw).drv.name = T::NAME.as_char_ptr();
            (*raw).type_ = TYPES;
            (*raw).probe = Some(Self::probe);
            (*raw).remove = Some(Self::remove);
            (*raw).shutdown = Some(Self::shutdown);
            (*raw).notify = Some(Self::notify);
            to_result(bindings::__nd_driver_register(raw, module.as_ptr(), T::NAME.as_char_ptr()))?;
        }
        // INVARIANT: registered just now.
        Ok(Self { driver, _driver: PhantomData })
    }

    /// # Safety
    ///
    /// Called by the nd bus with a device of one of our types, under its lock.
    unsafe extern "C" fn probe(dev: *mut bindings::device) -> i32 {
        from_result(|| {
            // SAFETY: the bus passes a valid device with one of our types.
            if unsafe { is_claim(dev) } {
                return Err(ENODEV);
            }
            // SAFETY: a namespace, because its type matched and it is no claim on one; its parent is a region.
            let data = T::probe(&unsafe { Namespace::new(dev) }?)?;
            // SAFETY: driver data belongs to the bound driver; `remove` takes it back.
            unsafe { bindings::dev_set_drvdata(dev, KBox::into_raw(data).cast()) };
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// Called by the nd bus once, with a device that `probe` accepted, under its lock.
    unsafe extern "C" fn remove(dev: *mut bindings::device) {
        // SAFETY: `probe` put it there, and the bus calls `remove` once; nobody uses it any more, because `notify` runs
        // under the device lock as this does.
        unsafe {
            let data = bindings::dev_get_drvdata(dev).cast::<T::Data>();
            bindings::dev_set_drvdata(dev, core::ptr::null_mut());
            drop(KBox::from_raw(data));
        }
        // SAFETY: the bus passes a device that was bound.
        unsafe { Self::shutdown(dev) };
    }

    /// # Safety
    ///
    /// Called by the nd bus, or by `remove`, with a device that `probe` accepted.
    unsafe extern "C" fn shutdown(dev: *mut bindings::device) {
        // SAFETY: the bus passes a bound namespace, whose parent is a region.
        unsafe { bindings::nvdimm_flush(bindings::to_nd_region((*dev).parent), core::ptr::null_mut()) };
    }

    /// # Safety
    ///
    /// Called by the nd bus with a device that `probe` accepted, under its lock.
    unsafe extern "C" fn notify(dev: *mut bindings::device, _: bindings::nvdimm_event) {
        // SAFETY: libnvdimm notifies bound devices under their lock, so the data of `probe` is there.
        unsafe {
            let data = bindings::dev_get_drvdata(dev).cast::<T::Data>();
            let (Some(data), Ok(namespace)) = (data.as_ref(), Namespace::new(dev)) else { return };
            T::notify(data, &namespace);
        }
    }
}

/// Is it a BTT, PFN or DAX device on top of a namespace?
///
/// # Safety
///
/// `dev` is a device of the nd bus.
unsafe fn is_claim(dev: *mut bindings::device) -> bool {
    #[cfg(CONFIG_BTT)]
    // SAFETY: by the contract.
    if unsafe { bindings::is_nd_btt(dev) } {
        return true;
    }
    #[cfg(CONFIG_NVDIMM_PFN)]
    // SAFETY: by the contract.
    if unsafe { bindings::is_nd_pfn(dev) } {
        return true;
    }
    #[cfg(CONFIG_NVDIMM_DAX)]
    // SAFETY: by the contract.
    if unsafe { bindings::is_nd_dax(dev) } {
        return true;
    }
    let _ = dev;
    false
}

impl<T: Driver> Drop for Registration<T> {
    fn drop(&mut self) {
        // SAFETY: registered by the invariant.
        unsafe { bindings::driver_unregister(&raw mut (*self.driver.get()).drv) };
    }
}
