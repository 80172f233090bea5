// SPDX-License-Identifier: GPL-2.0

//! Layer fs: carries the bytes of files for the core, which says what is stored where, and fences
//! (`meta::file`).

use kernel::iov::IovIterSource;
use kernel::prelude::*;

use super::gate::{Gate, Storing};
use super::mount::Pfnfs;
use crate::linux::vfs::kiocb::{fetch, Attempt};
use crate::linux::vfs::sb::Super;
use crate::meta::file::{Carrier, Source, BOUNCE};

impl Carrier for &Storing<'_> {
    type Error = Error;

    fn zero(&mut self, at: u64, len: u64) -> Result {
        Storing::zero(self, at, len)
    }

    fn flush(&mut self, at: u64, len: u64) {
        Storing::flush(self, at, len);
    }

    fn fence(&mut self) {
        Storing::fence(self);
    }
}

/// A writer: what is to be written comes from memory that may be a user's.
pub(super) struct User<'a, 'i, 'd> {
    store: &'a Storing<'a>,
    buffer: &'a mut KVVec<u8>,
    from: Attempt<'i, 'd>,
}

impl<'a, 'i, 'd> User<'a, 'i, 'd> {
    /// Takes from `from`, by way of `buffer` where there has to be one.
    pub(super) fn new(store: &'a Storing<'a>, buffer: &'a mut KVVec<u8>, from: &'i mut IovIterSource<'d>) -> Self {
        Self { store, buffer, from: Attempt::new(from) }
    }

    /// Of what was taken only `n` bytes were written.
    pub(super) fn keep(self, n: usize) {
        self.from.keep(n);
    }
}

impl Carrier for User<'_, '_, '_> {
    type Error = Error;

    fn zero(&mut self, at: u64, len: u64) -> Result {
        self.store.zero(at, len)
    }

    fn flush(&mut self, at: u64, len: u64) {
        self.store.flush(at, len);
    }

    fn fence(&mut self) {
        self.store.fence();
    }
}

impl Source for User<'_, '_, '_> {
    fn is_loss(error: &Error) -> bool {
        *error == EIO
    }

    fn copy(&mut self, at: u64, len: u64) -> Result<u64> {
        Ok(self.store.copy(at, len as usize, self.from.source())? as u64)
    }

    fn fetch(&mut self, len: u64) -> Result<u64> {
        match fetch(self.buffer, len.min(BOUNCE) as usize, self.from.source())? {
            0 => Err(EFAULT),
            n => Ok(n as u64),
        }
    }

    fn store(&mut self, at: u64, len: u64) -> Result {
        self.store.store(at, self.buffer.get(..len as usize).unwrap_or_default())
    }
}

/// A fault, which may store if it writes, or if it happens to be allowed to.
pub(super) struct Reader<'a> {
    sb: &'a Super<Pfnfs>,
    store: Option<Storing<'a>>,
}

impl<'a> Reader<'a> {
    /// With the witness of who writes.
    pub(super) fn new(sb: &'a Super<Pfnfs>, store: Option<Storing<'a>>) -> Self {
        Self { sb, store }
    }

    /// Whether it has a witness.
    pub(super) fn has_witness(&self) -> bool {
        self.store.is_some()
    }
}

impl Carrier for Reader<'_> {
    type Error = Error;

    fn zero(&mut self, at: u64, len: u64) -> Result {
        self.store.as_ref().ok_or(EROFS)?.zero(at, len)
    }

    fn flush(&mut self, at: u64, len: u64) {
        if let Some(store) = &self.store {
            store.flush(at, len);
        }
    }

    fn fence(&mut self) {
        if let Some(store) = &self.store {
            store.fence();
        }
    }

    fn may_store(&mut self) -> bool {
        if self.store.is_none() {
            self.store = Gate::try_storing(self.sb).ok();
        }
        self.store.is_some()
    }
}
