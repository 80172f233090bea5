// SPDX-License-Identifier: GPL-2.0

//! Layer: linux. Bytes of persistent memory: bounds-checked copies in and out, write-back, fence. Nobody ever holds a
//! reference into the media, which another CPU or a device may change at any time.
//!
//! A [`Region`] is made by `pagemap` when the memory is mapped, and revoked before it is unmapped. Whoever still has it
//! then gets `ENXIO`:
//! - short accesses look at the state inside an RCU section;
//! - accesses that may sleep, or take longer, need a [`ReadGuard`], an SRCU section of the device's own domain. Nothing
//!   exported waits for the readers of `dax_read_lock()` but `kill_dax()`, and types could not enforce that it comes
//!   before unmapping; `Region::revoke` waits for this domain and for RCU itself.
//!
//! Nothing is stored but through the one [`Writer`] of a region: metadata by its own methods, user data by those of a
//! [`StoreGuard`], which it makes.
//!
//! What is durable: a store or a copy after [`Region::flush`] of its lines (non-temporal ones without it) and then
//! [`Region::fence`] on the same CPU.
//!
//! C headers: [`include/linux/libnvdimm.h`](srctree/include/linux/libnvdimm.h),
//! [`arch/x86/lib/usercopy_64.c`](srctree/arch/x86/lib/usercopy_64.c)
//!
//! For the power-cut test of the whole system, `PFNFS_MUTANT=no_flush` leaves the write-backs out, `no_fence` the fences;
//! such a module says so when it is loaded.

use core::{ops::Range, ptr::NonNull};

use kernel::{
    prelude::*,
    sync::{
        atomic::{Acquire, Atomic, Release},
        rcu, Arc,
    },
};

use super::bindings;

mod frames;
mod guard;
mod poison;
mod writer;

pub(crate) use self::{
    frames::{Frames, Run},
    guard::{ReadGuard, StoreGuard},
    poison::Poison,
    writer::Writer,
};

/// Bytes in a page of the device, the unit of mappings.
pub(crate) const PAGE: u64 = kernel::page::PAGE_SIZE as u64;

/// The sabotage that this module was built with, if any.
pub(crate) const MUTANT: Option<&str> = if cfg!(pfnfs_mutant = "no_flush") {
    Some("no_flush")
} else if cfg!(pfnfs_mutant = "no_fence") {
    Some("no_fence")
} else {
    None
};

/// Reads up to this many bytes go word by word, which keeps words whole and survives a machine check on every CPU.
const WORDWISE: usize = 512;

/// Bytes read at once where words have to be taken apart.
const PIECE: usize = 64;

/// The longest non-temporal run inside one RCU section.
const CHUNK: usize = 4096;

static ZEROES: [u8; CHUNK] = [0; CHUNK];

/// In use.
const LIVE: u32 = 0;
/// Being removed: no new readers, but what is dirty may still be written back.
const DEAD: u32 = 1;
/// Unmapped, or about to be.
const GONE: u32 = 2;

/// A mapped range of persistent memory.
///
/// # Invariants
///
/// - While `state` is not `GONE` plus a grace period of RCU and of the domain of `poison`, `base` is a kernel mapping of `len`
///   bytes, which are the page frames from `first_pfn` on.
/// - `base` is page-aligned and `len` a multiple of the page size.
/// - A [`Writer`] exists only while `writer` is 1.
pub(crate) struct Region {
    base: NonNull<u8>,
    len: u64,
    first_pfn: u64,
    caches_are_durable: bool,
    poison: Arc<Poison>,
    state: Atomic<u32>,
    writer: Atomic<u32>,
}

// SAFETY: the pointers are only followed under the rules of the invariants, which hold in every task.
unsafe impl Send for Region {}
// SAFETY: as above; concurrent accesses to the media go through C functions, volatile words and atomics.
unsafe impl Sync for Region {}

/// A short section in which the mapping cannot go away.
struct Short {
    _rcu: rcu::Guard,
}

impl Region {
    /// # Safety
    ///
    /// The invariants of the type hold, and the caller calls `revoke` before it unmaps the memory.
    pub(in crate::linux) unsafe fn new(
        base: NonNull<u8>,
        len: u64,
        first_pfn: u64,
        caches_are_durable: bool,
        poison: Arc<Poison>,
    ) -> Self {
        // INVARIANT: by the contract of this function.
        Self { base, len, first_pfn, caches_are_durable, poison, state: Atomic::new(LIVE), writer: Atomic::new(0) }
    }

    /// Records the pages that a failure has taken out of the kernel's direct mapping before it was ours: who had the memory then
    /// need not have put them back.
    pub(in crate::linux) fn find_unmapped(&self) -> Result {
        self.poison.add_unmapped(self.first_pfn, self.len / PAGE)
    }

    /// Size in bytes, a multiple of 2 MiB.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Has removal begun? From then on [`Region::enter`] fails, while flushing goes on until the memory is unmapped.
    pub(crate) fn is_dead(&self) -> bool {
        self.state.load(Acquire) != LIVE
    }

    /// Refuses new readers. What is dirty can still be read and written back.
    pub(crate) fn kill(&self) {
        let _ = self.state.cmpxchg(LIVE, DEAD, kernel::sync::atomic::Full);
    }

    /// Refuses everything and waits until nobody is inside; then the kernel's direct mapping has no holes any more. Sleeps.
    pub(in crate::linux) fn revoke(&self) {
        self.state.store(GONE, Release);
        self.poison.settle();
        self.poison.put_all_back(self.first_pfn);
    }

    fn short(&self) -> Result<Short> {
        let guard = rcu::read_lock();
        if self.state.load(Acquire) == GONE {
            return Err(ENXIO);
        }
        Ok(Short { _rcu: guard })
    }

    /// The address of `len` bytes at `at`. `ERANGE` beyond the end.
    fn at(&self, at: u64, len: usize) -> Result<*mut u8> {
        let end = at.checked_add(len as u64).ok_or(ERANGE)?;
        if end > self.len {
            return Err(ERANGE);
        }
        Ok(self.base.as_ptr().wrapping_add(at as usize))
    }

    /// The first byte of a range that lies in a page that is known to have failed.
    pub(crate) fn first_lost(&self, at: u64, len: u64) -> Option<u64> {
        let bad = self.poison.first_in(&(at / PAGE..at.saturating_add(len).div_ceil(PAGE)))?;
        Some(bad.saturating_mul(PAGE).max(at))
    }

    /// How many of `len` bytes come before the first page that is known to have failed. `EIO` if none. It stays true for the
    /// section that it is asked in: see [`Poison::settle`].
    pub(crate) fn good(&self, at: u64, len: usize) -> Result<usize> {
        match self.first_lost(at, len as u64) {
            None => Ok(len),
            Some(lost) if lost == at => Err(EIO),
            Some(lost) => Ok(lost.saturating_sub(at) as usize),
        }
    }

    /// `EIO` unless all of `len` bytes are good.
    fn all_good(&self, at: u64, len: usize) -> Result {
        if self.first_lost(at, len as u64).is_some() {
            return Err(EIO);
        }
        Ok(())
    }

    /// Has any of these device pages failed? Reading or mapping one would deliver stale bytes or a machine check.
    pub(crate) fn is_poisoned(&self, pages: &Range<u64>) -> bool {
        self.poison.first_in(pages).is_some()
    }

    /// Copies bytes out. `ENXIO` once removed, `ERANGE` beyond the end, `EIO` after a machine check or if a page is known
    /// to have failed. Does not sleep.
    ///
    /// Each aligned 8-byte word is read at once, if at most 512 bytes are asked for.
    pub(crate) fn read(&self, at: u64, into: &mut [u8]) -> Result {
        let src = self.at(at, into.len())?;
        let _short = self.short()?;
        self.all_good(at, into.len())?;
        if into.len() > WORDWISE {
            // SAFETY: `src` is mapped for that many bytes while `_short` exists; the destination is a slice.
            let missing =
                unsafe { bindings::copy_mc_to_kernel(into.as_mut_ptr().cast(), src.cast(), into.len() as u32) };
            return if missing == 0 { Ok(()) } else { Err(EIO) };
        }
        if src as usize % 8 == 0 && into.len() % 8 == 0 {
            return read_words(into.as_mut_ptr(), src, into.len() / 8);
        }
        let mut src = src;
        for piece in into.chunks_mut(PIECE) {
            // The words around bytes of the region are inside the region, whose ends are page-aligned.
            let skip = src as usize % 8;
            let mut words = [0; PIECE + 8];
            read_words(words.as_mut_ptr(), src.wrapping_sub(skip), piece.len().wrapping_add(skip).div_ceil(8))?;
            // SAFETY: at most `PIECE` bytes behind the first seven of the words; both are arrays of ours.
            unsafe { piece.as_mut_ptr().copy_from_nonoverlapping(words.as_ptr().wrapping_add(skip), piece.len()) };
            src = src.wrapping_add(PIECE);
        }
        Ok(())
    }

    /// Writes the lines of a range back, unless caches are durable on this machine. Durable after [`Region::fence`].
    /// Does nothing once the device is gone, nor for pages that have failed, which the kernel may have taken out of its
    /// page tables.
    pub(crate) fn flush(&self, at: u64, len: u64) {
        if self.caches_are_durable || cfg!(pfnfs_mutant = "no_flush") {
            return;
        }
        let (mut at, end) = (at, at.saturating_add(len).min(self.len));
        while at < end {
            // A section of its own for each 2 MiB: a flush of a large range must not hold up grace periods.
            let n = end.wrapping_sub(at).min(2 << 20) as usize;
            let (Ok(p), Ok(_short)) = (self.at(at, n), self.short()) else { return };
            let Ok(n) = self.good(at, n) else {
                at = (at / PAGE).wrapping_add(1).wrapping_mul(PAGE);
                continue;
            };
            // SAFETY: `p` is mapped for `n` bytes while `_short` exists, none of them in a page that has failed.
            unsafe { bindings::arch_wb_cache_pmem(p.cast(), n) };
            at = at.wrapping_add(n as u64);
        }
    }

    /// Returns when all write-backs and non-temporal stores that this CPU issued before are durable.
    pub(crate) fn fence(&self) {
        if cfg!(pfnfs_mutant = "no_fence") {
            return;
        }
        // SAFETY: a barrier instruction.
        unsafe { bindings::pfnfs_pmem_wmb() };
    }

    /// Stores zeroes past the cache. Durable after [`Region::fence`]. `EIO` at a page that has failed.
    fn zero(&self, at: u64, len: u64) -> Result {
        let end = at.checked_add(len).filter(|&e| e <= self.len).ok_or(ERANGE)?;
        let mut at = at;
        while at < end {
            let n = end.wrapping_sub(at).min(CHUNK as u64) as usize;
            self.store_past_cache(at, ZEROES.get(..n).ok_or(ERANGE)?)?;
            at = at.wrapping_add(n as u64);
        }
        Ok(())
    }

    fn store_past_cache(&self, at: u64, bytes: &[u8]) -> Result {
        let mut at = at;
        for part in bytes.chunks(CHUNK) {
            let dst = self.at(at, part.len())?;
            let _short = self.short()?;
            self.all_good(at, part.len())?;
            // SAFETY: `dst` is mapped for that many bytes while `_short` exists.
            unsafe { bindings::__memcpy_flushcache(dst.cast(), part.as_ptr().cast(), part.len()) };
            at = at.saturating_add(part.len() as u64);
        }
        Ok(())
    }
}

fn read_words(dst: *mut u8, src: *const u8, words: usize) -> Result {
    if words == 0 {
        return Ok(());
    }
    // SAFETY: all callers are inside a `Short` section, pass a source inside the region aligned to 8, and a destination
    // of `words` words; x86 stores to unaligned destinations.
    let missing = unsafe { bindings::pfnfs_read_mc(dst.cast(), src.cast(), words) };
    if missing == 0 {
        Ok(())
    } else {
        Err(EIO)
    }
}
