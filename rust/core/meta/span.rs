// SPDX-License-Identifier: GPL-2.0

//! Blocks on their way into a file: reserved, then written, then attached by a record. Whatever is dropped on the way is
//! given back.
//!
//! Owns reservations only, which live in DRAM; takes group locks for a moment. `Blocks` can be written while they are
//! `Fresh`, as nobody can reach them, and attached once they are `Written`, which takes a fence.

use core::cell::Cell;
use core::marker::PhantomData;

use super::log::Volume;
use super::machine::Machine;
use crate::media::{Error, Pmem, Result, BLOCK};

/// Nobody can reach these blocks.
#[derive(Debug)]
pub enum Fresh {}
/// All bytes of these blocks that will be visible are durable.
#[derive(Debug)]
pub enum Written {}

/// Contiguous reserved blocks, within one group.
///
/// # Invariants
///
/// The blocks' bits are set in DRAM and clear on the media; no other `Blocks` and no record holds them.
#[must_use]
pub struct Blocks<'v, M: Machine, S> {
    volume: &'v Volume<M>,
    block: u64,
    count: u32,
    /// Stores that no fence has followed yet.
    stored: Cell<bool>,
    state: PhantomData<S>,
}

impl<'v, M: Machine, S> Blocks<'v, M, S> {
    /// The caller found them free and set their bits in DRAM.
    pub(in crate::meta) fn new(volume: &'v Volume<M>, block: u64, count: u32) -> Self {
        Self { volume, block, count, stored: Cell::new(false), state: PhantomData }
    }

    /// First block.
    pub fn first(&self) -> u64 {
        self.block
    }

    /// Number of blocks, at least 1.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Splits off what follows the first `count` blocks.
    pub fn split(mut self, count: u32) -> (Self, Option<Self>) {
        let rest = self.count.saturating_sub(count.max(1));
        self.count = self.count.wrapping_sub(rest);
        let next = self.block.wrapping_add(u64::from(self.count));
        let rest = (rest > 0).then(|| Self::new(self.volume, next, rest));
        if let Some(rest) = &rest {
            rest.stored.set(self.stored.get());
        }
        (self, rest)
    }

    /// A record has them now.
    pub(in crate::meta) fn forget(self) {
        core::mem::forget(self);
    }
}

impl<'v, M: Machine> Blocks<'v, M, Fresh> {
    /// Lets `write` store the blocks' contents with non-temporal stores, given first block and count, and fences, also if it
    /// fails: a late store must not meet the next owner. It has to fill all that will be visible; this trusts it.
    ///
    /// # Errors
    ///
    /// Those of `write`; `LostFree` for its `Poison` if it is memory of these blocks that has failed.
    pub fn write_with(self, write: impl FnOnce(u64, u32) -> Result) -> Result<Blocks<'v, M, Written>> {
        let at = self.block.wrapping_mul(BLOCK);
        let len = u64::from(self.count).wrapping_mul(BLOCK);
        let result = self.volume.spare(at, len, write(self.block, self.count));
        let written = self.written();
        result.map(|()| written)
    }

    /// Stores bytes at an offset into the blocks. `LostFree` if their memory has failed.
    pub fn store(&self, offset: u64, bytes: &[u8]) -> Result {
        self.stored.set(true);
        let at = self.at(offset, bytes.len() as u64)?;
        self.volume.spare(at, bytes.len() as u64, self.volume.store_fresh(at, bytes))
    }

    /// Stores zeroes at an offset into the blocks. `LostFree` if their memory has failed.
    pub fn zero(&self, offset: u64, len: u64) -> Result {
        self.stored.set(true);
        let at = self.at(offset, len)?;
        self.volume.spare(at, len, self.volume.zero_fresh(at, len))
    }

    /// Fences what was stored.
    pub fn written(self) -> Blocks<'v, M, Written> {
        self.volume.fence();
        let written = Blocks::new(self.volume, self.block, self.count);
        self.forget();
        written
    }

    fn at(&self, offset: u64, len: u64) -> Result<u64> {
        let size = u64::from(self.count).wrapping_mul(BLOCK);
        if offset.checked_add(len).is_none_or(|end| end > size) {
            return Err(Error::Invalid("store outside the reserved blocks"));
        }
        Ok(self.block.wrapping_mul(BLOCK).wrapping_add(offset))
    }
}

impl<M: Machine> Volume<M> {
    /// The result of a store into blocks whose bytes nobody can see yet: if it is their memory that has failed, nothing is lost.
    pub(in crate::meta) fn spare(&self, at: u64, len: u64, result: Result) -> Result {
        match result {
            Err(Error::Poison { .. }) => {
                Err(self.media().first_lost(at, len).map_or(Error::Poison { at }, |at| Error::LostFree { at }))
            }
            result => result,
        }
    }
}

impl<M: Machine, S> Drop for Blocks<'_, M, S> {
    fn drop(&mut self) {
        if self.stored.get() {
            self.volume.fence();
        }
        self.volume.give_back(self.block, self.count);
    }
}

/// How often one operation takes other blocks because fresh memory has failed under it. What is known to have failed is not given
/// out, so each time it is other memory; who meets more of it than this is told.
const TRIES: u32 = 64;

/// Counts how often an operation has taken other blocks.
#[derive(Default)]
pub struct Patience(u32);

impl Patience {
    /// Whether this is memory that failed when it was nobody's yet: the record is to be made again, with other blocks.
    pub fn again(&mut self, error: &Error) -> bool {
        let fresh = matches!(error, Error::LostFree { .. });
        self.0 = self.0.saturating_add(fresh.into());
        fresh && self.0 <= TRIES
    }

    /// `None` if the record is to be made again.
    pub(in crate::meta) fn unless_lost_free<T>(&mut self, result: Result<T>) -> Result<Option<T>> {
        match result {
            Err(error) if self.again(&error) => Ok(None),
            result => result.map(Some),
        }
    }
}

/// Makes a record; again, in other blocks, when fresh memory has failed under it, so that nothing of it is there.
///
/// # Errors
///
/// Those of `attempt`; `LostFree` if that happens too often.
pub fn patiently<T>(mut attempt: impl FnMut() -> Result<T>) -> Result<T> {
    let mut patience = Patience::default();
    loop {
        if let Some(done) = patience.unless_lost_free(attempt())? {
            return Ok(done);
        }
    }
}
