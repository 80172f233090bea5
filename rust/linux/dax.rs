// SPDX-License-Identifier: GPL-2.0

//! Layer: linux. `struct dax_device`: registers memory that file systems can map directly.
//!
//! The kernel's `struct dax_operations` has three members today. `copy_from_iter`, `copy_to_iter` and `flush` left it for
//! flags; they are operations of our trait all the same, because the file system reaches the media through them.
//!
//! The kernel's own holder of a `dax_device` (`fs_dax_get`) assumes a `dev_dax` or a disk behind it and must never see
//! one of ours: the layer above has its own holder.
//!
//! C header: [`include/linux/dax.h`](srctree/include/linux/dax.h)

use core::{marker::PhantomData, ops::Range, ptr::NonNull};

use kernel::{
    error::{from_err_ptr, VTABLE_DEFAULT_ERROR},
    iov::{IovIterDest, IovIterSource},
    prelude::*,
    sync::Arc,
};

use super::{
    bindings,
    pmem::{ReadGuard, Run, StoreGuard, PAGE},
};

/// Why an address is asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Ordinary access: fails on poison.
    Access,
    /// To write over poison.
    RecoveryWrite,
}

/// What the kernel may assume of a device.
#[derive(Clone, Copy)]
pub(crate) struct Flags {
    /// A store is durable after write-back and fence, without a call to anybody (allows MAP_SYNC).
    pub(crate) synchronous: bool,
    /// Stores stay in the CPU's caches until written back.
    pub(crate) write_cache: bool,
}

/// The operations of a dax device. Units: pages of 4 KiB where the argument is called `pages`, else bytes.
#[vtable]
pub(crate) trait Operations: Send + Sync + 'static {
    /// Where the pages are, or as many of them from the first on as there are. `ERANGE` beyond the end.
    fn direct_access(&self, pages: Range<u64>, mode: Mode) -> Result<Run<'_>>;
    /// Zeroes pages durably. May refuse: who calls has shown no right to store.
    fn zero_page_range(&self, pages: Range<u64>) -> Result;
    /// Copies up to `len` bytes to the media past the cache, durable after a fence; fewer if the source is not present.
    fn copy_from_iter(&self, guard: &StoreGuard<'_>, at: u64, len: usize, src: &mut IovIterSource<'_>)
        -> Result<usize>;
    /// Copies up to `len` bytes from the media; fewer if the destination is not present or the media fails.
    fn copy_to_iter(&self, guard: &ReadGuard<'_>, at: u64, len: usize, dst: &mut IovIterDest<'_>) -> Result<usize>;
    /// Writes cache lines back; durable after a fence.
    fn flush(&self, at: u64, len: u64);
    /// Writes over poisoned pages and heals them. Returns how much was written. Refuses as `zero_page_range` may.
    fn recovery_write(&self, at: u64, len: usize, src: &mut IovIterSource<'_>) -> Result<usize> {
        let _ = (at, len, src);
        build_error!(VTABLE_DEFAULT_ERROR)
    }
}

/// A number of a character device.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Devt(pub(in crate::linux) bindings::dev_t);

impl Devt {
    /// From a kernel `dev_t`, for instance an inode's `i_rdev`.
    pub(crate) fn from_raw(devt: u32) -> Self {
        Self(devt)
    }
}

/// A registered `dax_device`, killed and put on drop.
///
/// # Invariants
///
/// `dev` is a dax device with one reference of ours, whose private data is `_data` and whose table is `Self::OPS`.
pub(crate) struct Registration<T: Operations> {
    dev: NonNull<bindings::dax_device>,
    // Dropped after `Drop::drop`, when no operation is running any more.
    _data: Arc<T>,
}

// SAFETY: a dax device may be used and released by any task; `T` is `Send` and `Sync`.
unsafe impl<T: Operations> Send for Registration<T> {}
// SAFETY: as above.
unsafe impl<T: Operations> Sync for Registration<T> {}

impl<T: Operations> Registration<T> {
    const OPS: bindings::dax_operations = bindings::dax_operations {
        direct_access: Some(Adapter::<T>::direct_access),
        zero_page_range: Some(Adapter::<T>::zero_page_range),
        recovery_write: if T::HAS_RECOVERY_WRITE { Some(Adapter::<T>::recovery_write) } else { None },
    };

    /// Registers the device; its operations may be called from now on.
    pub(crate) fn new(data: Arc<T>, flags: Flags) -> Result<Self> {
        let private = Arc::as_ptr(&data).cast_mut();
        // SAFETY: the table is constant; the private data lives until `drop` has waited for all operations.
        let dev = unsafe { from_err_ptr(bindings::alloc_dax(private.cast(), &Self::OPS))? };
        // INVARIANT: allocated just now.
        let this = Self { dev: NonNull::new(dev).ok_or(ENOMEM)?, _data: data };
        // SAFETY: the device is ours. The kernel does not reset flags when it reuses a dax_device, so both states of the
        // one flag that can be cleared are written.
        unsafe {
            bindings::set_dax_nocache(dev);
            bindings::set_dax_nomc(dev);
            bindings::dax_write_cache(dev, flags.write_cache);
            if flags.synchronous {
                bindings::set_dax_synchronous(dev);
            }
        }
        Ok(this)
    }

    /// The number that the kernel reserved for the device's node.
    pub(crate) fn devt(&self) -> Devt {
        // SAFETY: the device exists, so its inode does, and `i_rdev` is constant.
        Devt(unsafe { (*bindings::dax_inode(self.dev.as_ptr())).i_rdev })
    }
}

impl<T: Operations> Drop for Registration<T> {
    fn drop(&mut self) {
        // SAFETY: by the invariant the reference is ours; `kill_dax` waits for running operations.
        unsafe {
            bindings::kill_dax(self.dev.as_ptr());
            bindings::put_dax(self.dev.as_ptr());
        }
    }
}

struct Adapter<T>(PhantomData<T>);

impl<T: Operations> Adapter<T> {
    /// # Safety
    ///
    /// `dev` is the device of a `Registration<T>`, in a section of `dax_read_lock`, which lasts as long as `'a`.
    unsafe fn data<'a>(dev: *mut bindings::dax_device) -> Result<&'a T> {
        // SAFETY: by the contract; NULL while the device is being killed.
        let private = unsafe { bindings::dax_get_private(dev) };
        // SAFETY: not NULL, so `kill_dax` has not finished waiting for this section and `_data` is still there.
        unsafe { private.cast::<T>().as_ref() }.ok_or(ENXIO)
    }

    /// # Safety
    ///
    /// Called by dax under `dax_read_lock`, with the device of a `Registration<T>`; pointers are NULL or valid.
    unsafe extern "C" fn direct_access(
        dev: *mut bindings::dax_device,
        pgoff: usize,
        nr: isize,
        mode: bindings::dax_access_mode,
        kaddr: *mut *mut c_void,
        pfn: *mut usize,
    ) -> isize {
        let mode = match mode {
            bindings::dax_access_mode_DAX_RECOVERY_WRITE => Mode::RecoveryWrite,
            _ => Mode::Access,
        };
        let start = pgoff as u64;
        let pages = start..start.saturating_add(nr.max(0) as u64);
        // SAFETY: dax calls operations of live devices, under dax_read_lock.
        let found = unsafe { Self::data(dev) }.and_then(|d| d.direct_access(pages, mode));
        match found {
            Ok(run) => {
                // SAFETY: the caller passes NULL or valid pointers.
                unsafe {
                    if let Some(kaddr) = kaddr.as_mut() {
                        *kaddr = run.kaddr.cast();
                    }
                    if let Some(pfn) = pfn.as_mut() {
                        *pfn = run.pfn as usize;
                    }
                }
                run.nr as isize
            }
            Err(e) => e.to_errno() as isize,
        }
    }

    /// # Safety
    ///
    /// As `direct_access`.
    unsafe extern "C" fn zero_page_range(dev: *mut bindings::dax_device, pgoff: usize, nr: usize) -> i32 {
        let start = pgoff as u64;
        let pages = start..start.saturating_add(nr as u64);
        // SAFETY: as in `direct_access`.
        match unsafe { Self::data(dev) }.and_then(|d| d.zero_page_range(pages)) {
            Ok(()) => 0,
            Err(e) => e.to_errno(),
        }
    }

    /// # Safety
    ///
    /// As `direct_access`, with a valid iterator that nobody else uses.
    unsafe extern "C" fn recovery_write(
        dev: *mut bindings::dax_device,
        pgoff: usize,
        addr: *mut c_void,
        len: usize,
        iter: *mut bindings::iov_iter,
    ) -> usize {
        let at = (pgoff as u64).saturating_mul(PAGE).saturating_add(addr as u64 % PAGE);
        // SAFETY: the caller passes a valid iterator.
        if u32::from(unsafe { (*iter).data_source }) != bindings::ITER_SOURCE {
            return 0;
        }
        // SAFETY: it is a valid source, which nobody else uses during the call.
        let src = unsafe { IovIterSource::from_raw(iter) };
        // SAFETY: as in `direct_access`.
        unsafe { Self::data(dev) }.and_then(|d| d.recovery_write(at, len, src)).unwrap_or(0)
    }
}
