// SPDX-License-Identifier: GPL-2.0

//! Access to persistent memory, as the core needs it. No reference into the media exists: reads copy out.
//!
//! [`PmemMut`] follows the hardware: a store is durable only when its line was written back and that write-back fenced; a
//! non-temporal store when it was fenced; both by the CPU that did it. In between, any 8 aligned bytes may or may not have
//! reached the media. Callers run such a sequence on one CPU, or are scheduled away in between (which fences).

use zerocopy::{FromBytes, IntoBytes};

use super::Result;

/// Reading.
pub trait Pmem {
    /// Bytes there are.
    fn size(&self) -> u64;

    /// Copies bytes out; `Poison` after a machine check, `Invalid` past the end.
    fn read_bytes(&self, at: u64, into: &mut [u8]) -> Result;

    /// The first byte of a range that is known to be lost. Unknown losses show when they are read.
    fn first_lost(&self, _at: u64, _len: u64) -> Option<u64> {
        None
    }

    /// Reads one object; at most 256 bytes, as it lies on the stack.
    fn read<T: FromBytes + IntoBytes>(&self, at: u64) -> Result<T> {
        const { assert!(size_of::<T>() <= 256) };
        let mut object = T::new_zeroed();
        self.read_bytes(at, object.as_mut_bytes())?;
        Ok(object)
    }
}

/// Writing. Stores fail past the end of the media (`Invalid`), where nothing is stored then, and where memory is known to be
/// lost (`Poison`).
pub trait PmemMut: Pmem {
    /// Ordinary store: visible at once, durable after `flush` and `fence`, or at any moment before.
    fn store(&self, at: u64, bytes: &[u8]) -> Result;

    /// Non-temporal store: durable after `fence`.
    fn store_nt(&self, at: u64, bytes: &[u8]) -> Result;

    /// Ordinary stores of zeroes.
    fn zero(&self, at: u64, len: u64) -> Result;

    /// Non-temporal stores of zeroes.
    fn zero_nt(&self, at: u64, len: u64) -> Result;

    /// Starts the write-back of every line that `at..at + len` touches.
    fn flush(&self, at: u64, len: u64);

    /// Waits for this CPU's non-temporal stores and write-backs (`sfence`).
    fn fence(&self);

    /// Sets `count` bits from bit `first` of the little-endian 64-bit words that start at `at` (8-byte aligned): ordinary
    /// stores, each word atomically, so that several CPUs may change bits of one word at once.
    fn set_bits(&self, at: u64, first: u32, count: u32) -> Result;

    /// The counterpart of `set_bits`.
    fn clear_bits(&self, at: u64, first: u32, count: u32) -> Result;
}
