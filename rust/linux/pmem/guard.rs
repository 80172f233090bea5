// SPDX-License-Identifier: GPL-2.0

//! Layer: linux. Accesses that may sleep or take longer: the [`ReadGuard`], in which a region stays mapped, the
//! [`StoreGuard`], in which it may be stored to as well, and the copies from and to user space, which stop at memory that is
//! not present.

use core::ops::Deref;

use kernel::{
    iov::{IovIterDest, IovIterSource},
    prelude::*,
};

use super::{Region, Writer, PAGE};
use crate::linux::{bindings, nofault, srcu::Section};

impl Region {
    /// Begins a section that may sleep and during which the device stays mapped. Removal and memory failure wait for its end:
    /// it must not wait for a user. `ENXIO` once removal has begun.
    pub(crate) fn enter(&self) -> Result<ReadGuard<'_>> {
        // INVARIANT: entered before `is_dead` below.
        let guard = ReadGuard { region: self, _section: self.poison.enter() };
        if self.is_dead() {
            return Err(ENXIO);
        }
        Ok(guard)
    }
}

/// A section that may sleep, during which the device stays mapped. Never keep one over an operation that waits for the
/// device to go.
///
/// # Invariants
///
/// `_section` was entered before the region was seen alive.
#[must_use]
pub(crate) struct ReadGuard<'r> {
    region: &'r Region,
    _section: Section<'r>,
}

impl Deref for ReadGuard<'_> {
    type Target = Region;

    fn deref(&self) -> &Region {
        self.region
    }
}

impl Writer {
    /// Begins a section that may sleep, during which the device stays mapped and user data may be stored, and which must not
    /// wait for a user. `ENXIO` once removal has begun.
    pub(crate) fn enter(&self) -> Result<StoreGuard<'_>> {
        Ok(StoreGuard { guard: Region::enter(self)?, _right: self })
    }
}

/// A [`ReadGuard`] of who has the right to store.
#[must_use]
pub(crate) struct StoreGuard<'r> {
    guard: ReadGuard<'r>,
    _right: &'r Writer,
}

impl<'r> Deref for StoreGuard<'r> {
    type Target = ReadGuard<'r>;

    fn deref(&self) -> &ReadGuard<'r> {
        &self.guard
    }
}

impl StoreGuard<'_> {
    /// Stores bytes past the cache. Durable after [`Region::fence`].
    pub(crate) fn store(&self, at: u64, bytes: &[u8]) -> Result {
        self.store_past_cache(at, bytes)
    }

    /// Stores zeroes past the cache. Durable after [`Region::fence`]. `EIO` at a page that has failed.
    pub(crate) fn zero(&self, at: u64, len: u64) -> Result {
        Region::zero(self, at, len)
    }

    /// Copies up to `len` bytes from the iterator past the cache; returns how many, fewer if the source is not present or a page
    /// has failed. All of them are durable after [`Region::fence`]. `EIO` if the first page has failed.
    pub(crate) fn copy_from_iter(&self, at: u64, len: usize, src: &mut IovIterSource<'_>) -> Result<usize> {
        let dst = self.at(at, len)?;
        let len = self.good(at, len)?;
        // Whoever waits for this section must not wait for the owner of the source.
        let nofault = nofault::Scope::enter();
        // SAFETY: `dst` is mapped for `len` bytes while this guard exists; the iterator is valid by its type.
        let n = unsafe { bindings::_copy_from_iter_flushcache(dst.cast(), len, src.as_raw()) };
        drop(nofault);
        if n < len && n != 0 {
            // The C function writes the ends of what it was asked to copy back, not of what it copied before a fault.
            self.flush(at, n as u64);
        }
        Ok(n)
    }

    /// Fills a failed device page, which the platform has given good memory, and takes it out of the record when that is
    /// durable: nobody sees what was in it before. `EINVAL` unless it is exactly one page, `ENOMEM` if the record cannot be
    /// changed, `EIO` if memory fails meanwhile. Sleeps, for up to a second if it failed just now.
    pub(crate) fn refill(&self, page: u64, bytes: &[u8]) -> Result {
        if bytes.len() as u64 != PAGE {
            return Err(EINVAL);
        }
        let pages = page..page.saturating_add(1);
        let pfn = self.frames(pages.clone())?.pfn();
        let dst = self.at(page.saturating_mul(PAGE), bytes.len())?;
        let poison = &self.guard.region.poison;
        let seen = poison.repair()?;
        poison.put_back(pfn)?;
        // SAFETY: the guard keeps the page structures and the mapping, in which the page is again. `dst` is its address there.
        unsafe {
            bindings::pfnfs_mark_hwpoison(pfn as usize, false);
            bindings::__memcpy_flushcache(dst.cast(), bytes.as_ptr().cast(), bytes.len());
        }
        self.fence();
        poison.remove(pages, seen)
    }
}

impl ReadGuard<'_> {
    /// Copies up to `len` bytes to the iterator; returns how many, fewer if the destination is not present or the media fails.
    /// `EIO` if the first page is known to have failed.
    pub(crate) fn copy_to_iter(&self, at: u64, len: usize, dst: &mut IovIterDest<'_>) -> Result<usize> {
        let src = self.at(at, len)?;
        let len = self.good(at, len)?;
        let _nofault = nofault::Scope::enter();
        // SAFETY: `src` is mapped for `len` bytes while this guard exists; the iterator is valid by its type.
        Ok(unsafe { bindings::_copy_mc_to_iter(src.cast(), len, dst.as_raw()) })
    }
}
