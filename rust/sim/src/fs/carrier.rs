// SPDX-License-Identifier: GPL-2.0

//! Carries the bytes of files from slices.

use pfnfs_core::media::{Error, PmemMut, Result};
use pfnfs_core::meta::file;

/// A caller's bytes, and the memory that they go to.
pub struct Carrier<'a, M> {
    machine: &'a M,
    bytes: &'a [u8],
    buffer: &'a [u8],
}

impl<'a, M: PmemMut> Carrier<'a, M> {
    pub fn new(machine: &'a M, bytes: &'a [u8]) -> Self {
        Self { machine, bytes, buffer: &[] }
    }

    /// The next bytes of the caller.
    fn take(&mut self, len: u64) -> &'a [u8] {
        let (now, rest) = self.bytes.split_at(self.bytes.len().min(len as usize));
        self.bytes = rest;
        now
    }
}

impl<M: PmemMut> file::Carrier for Carrier<'_, M> {
    type Error = Error;

    fn zero(&mut self, at: u64, len: u64) -> Result {
        self.machine.zero_nt(at, len)
    }

    fn flush(&mut self, at: u64, len: u64) {
        self.machine.flush(at, len);
    }

    fn fence(&mut self) {
        self.machine.fence();
    }
}

impl<M: PmemMut> file::Source for Carrier<'_, M> {
    fn is_loss(error: &Error) -> bool {
        matches!(error, Error::Poison { .. })
    }

    fn copy(&mut self, at: u64, len: u64) -> Result<u64> {
        let bytes = self.take(len);
        self.machine.store_nt(at, bytes)?;
        Ok(bytes.len() as u64)
    }

    fn fetch(&mut self, len: u64) -> Result<u64> {
        self.buffer = self.take(len);
        Ok(self.buffer.len() as u64)
    }

    fn store(&mut self, at: u64, len: u64) -> Result {
        self.machine.store_nt(at, &self.buffer[..len as usize])
    }
}
