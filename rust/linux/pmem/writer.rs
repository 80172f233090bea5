// SPDX-License-Identifier: GPL-2.0

//! Layer: linux. The one [`Writer`] of a region, and stores to metadata.

use core::ops::{Deref, Range};

use kernel::{
    prelude::*,
    sync::{atomic::Release, Arc},
};

use super::{read_words, Region};
use crate::linux::bindings;

impl Region {
    /// The one right to store. `EBUSY` while somebody has it. Only the layer that knows whether the device may be
    /// written has the [`Arc`] that this takes.
    pub(crate) fn writer(region: &Arc<Self>) -> Result<Writer> {
        if region.writer.xchg(1, kernel::sync::atomic::Full) != 0 {
            return Err(EBUSY);
        }
        // INVARIANT: `writer` was 0 and is 1 now.
        Ok(Writer { region: region.clone() })
    }
}

/// Stores bytes in as few and as large aligned words as there are.
///
/// # Safety
///
/// `dst` is mapped for `bytes.len()` bytes.
unsafe fn store_words(mut dst: *mut u8, mut bytes: &[u8]) {
    while let [byte, rest @ ..] = bytes {
        let aligned = dst as usize;
        // SAFETY: by the contract of this function; each store is aligned to its size.
        let stored = unsafe {
            if let (0, Some((word, rest))) = (aligned % 8, bytes.split_first_chunk::<8>()) {
                dst.cast::<u64>().write_volatile(u64::from_ne_bytes(*word));
                rest
            } else if let (0, Some((word, rest))) = (aligned % 4, bytes.split_first_chunk::<4>()) {
                dst.cast::<u32>().write_volatile(u32::from_ne_bytes(*word));
                rest
            } else if let (0, Some((word, rest))) = (aligned % 2, bytes.split_first_chunk::<2>()) {
                dst.cast::<u16>().write_volatile(u16::from_ne_bytes(*word));
                rest
            } else {
                dst.write_volatile(*byte);
                rest
            }
        };
        dst = dst.wrapping_add(bytes.len().wrapping_sub(stored.len()));
        bytes = stored;
    }
}

/// The right to store: exists at most once per region.
///
/// # Invariants
///
/// It is the only one of its region.
pub(crate) struct Writer {
    region: Arc<Region>,
}

impl Deref for Writer {
    type Target = Region;

    fn deref(&self) -> &Region {
        &self.region
    }
}

impl Writer {
    /// Stores through the cache; aligned 8-byte words at once. Durable after [`Region::flush`] and [`Region::fence`].
    /// `EIO`, and nothing is stored, if a page has failed; likewise below.
    pub(crate) fn store(&self, at: u64, bytes: &[u8]) -> Result {
        let dst = self.at(at, bytes.len())?;
        let _short = self.short()?;
        self.all_good(at, bytes.len())?;
        // SAFETY: `dst` is mapped for that many bytes while `_short` exists.
        unsafe { store_words(dst, bytes) };
        Ok(())
    }

    /// Stores past the cache. Durable after [`Region::fence`]: parts of words at the ends are written back at once.
    pub(crate) fn store_nt(&self, at: u64, bytes: &[u8]) -> Result {
        self.store_past_cache(at, bytes)
    }

    /// Stores zeroes past the cache. Durable after [`Region::fence`].
    pub(crate) fn zero_nt(&self, at: u64, len: u64) -> Result {
        self.zero(at, len)
    }

    /// Sets bits of the little-endian bitmap at `at` (a multiple of 8), atomically for each 64 of them.
    pub(crate) fn set_bits(&self, at: u64, bits: Range<u32>) -> Result {
        // SAFETY: `each_word` passes a word inside the region, during a short section.
        self.each_word(at, bits, |word, mask| unsafe { bindings::atomic64_or(mask, word) })
    }

    /// Clears bits of the little-endian bitmap at `at` (a multiple of 8), atomically for each 64 of them.
    pub(crate) fn clear_bits(&self, at: u64, bits: Range<u32>) -> Result {
        // SAFETY: as in `set_bits`.
        self.each_word(at, bits, |word, mask| unsafe { bindings::atomic64_andnot(mask, word) })
    }

    fn each_word(&self, at: u64, bits: Range<u32>, change: impl Fn(*mut bindings::atomic64_t, i64)) -> Result {
        if at % 8 != 0 {
            return Err(EINVAL);
        }
        let mut bit = bits.start;
        while bit < bits.end {
            let (index, from) = (bit / 64, bit % 64);
            let n = (64 - from).min(bits.end.wrapping_sub(bit));
            let mask = u64::MAX.wrapping_shr(64u32.wrapping_sub(n)).wrapping_shl(from);
            let at = at.checked_add(u64::from(index) * 8).ok_or(ERANGE)?;
            let word = self.at(at, 8)?;
            let _short = self.short()?;
            self.all_good(at, 8)?;
            // The change loads the word, and the kernel does not survive a machine check there.
            read_words([0; 8].as_mut_ptr(), word, 1)?;
            change(word.cast(), mask as i64);
            bit = bit.wrapping_add(n);
        }
        Ok(())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.region.writer.store(0, Release);
    }
}
