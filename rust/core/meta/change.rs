// SPDX-License-Identifier: GPL-2.0

//! A record under construction as trees and inodes see it: reading shows the media as it will be once the record is applied.
//!
//! So an operation can change the same leaf twice (a rename within a directory) without knowing it. Fresh tree nodes are
//! stored at once, outside the log; the commit fences them before the record.

use super::log::{Record, Stage};
use super::{Durable, Machine, Volume};
use crate::media::{Geometry, Pmem, Result, BLOCK};

/// Bytes of a record kept for what follows the trees: inodes, bits.
const TAIL: usize = 320;

/// A record under construction. After an error it can only be dropped, which gives back what it reserved.
pub(in crate::meta) struct Change<'v, 's, M: Machine> {
    volume: &'v Volume<M>,
    /// Before `record`: dropped first, so that blocks are fenced before they are given back.
    unfenced: Unfenced<'v, M>,
    record: Record<'v, 's, M>,
}

/// Whether something was stored outside the log and not fenced. Fences when dropped.
struct Unfenced<'v, M: Machine> {
    volume: &'v Volume<M>,
    stored: bool,
}

impl<M: Machine> Drop for Unfenced<'_, M> {
    fn drop(&mut self) {
        if self.stored {
            self.volume.fence();
        }
    }
}

impl<'v, 's, M: Machine> Change<'v, 's, M> {
    /// Begins a record in `stage`.
    pub(in crate::meta) fn new(volume: &'v Volume<M>, stage: &'s mut Stage) -> Self {
        Change { volume, unfenced: Unfenced { volume, stored: false }, record: volume.begin(stage) }
    }

    /// The volume's geometry.
    pub(in crate::meta) fn geometry(&self) -> &'v Geometry {
        self.volume.geometry()
    }

    /// The record, for bits and blocks.
    pub(in crate::meta) fn record(&mut self) -> &mut Record<'v, 's, M> {
        &mut self.record
    }

    /// Bytes of record that trees may still fill.
    pub(in crate::meta) fn room(&self) -> usize {
        self.record.room().saturating_sub(TAIL)
    }

    /// Stages bytes, over what was staged there before.
    pub(in crate::meta) fn write(&mut self, at: u64, bytes: &[u8]) -> Result {
        if self.record.rewrite(at, bytes) {
            return Ok(());
        }
        self.record.write(at, bytes)
    }

    /// Reserves a block for a tree node and marks it in use with this record; the commit fences it. `near` is a block of the tree, or 0.
    pub(in crate::meta) fn node(&mut self, near: u64) -> Result<u64> {
        let blocks = self.volume.reserve(near, 1, false)?;
        let block = blocks.first();
        self.record.attach_unwritten(blocks)?;
        Ok(block)
    }

    /// Stores a part of a node that [`Change::node`] reserved. `LostFree` if its memory has failed.
    pub(in crate::meta) fn store_fresh(&mut self, at: u64, bytes: &[u8]) -> Result {
        self.unfenced.stored = true;
        self.volume.spare(at, bytes.len() as u64, self.volume.store_fresh(at, bytes))
    }

    /// Stores zeroes into blocks whose bytes nobody can see before this record. `LostFree` if their memory has failed.
    pub(in crate::meta) fn zero_fresh(&mut self, at: u64, len: u64) -> Result {
        self.unfenced.stored = true;
        self.volume.spare(at, len, self.volume.zero_fresh(at, len))
    }

    /// Frees a tree node.
    pub(in crate::meta) fn free_node(&mut self, block: u64) -> Result {
        self.record.free_meta(block, 1)
    }

    /// Makes the record durable and visible; fresh nodes before it.
    pub(in crate::meta) fn commit<T>(self, reply: T) -> Result<Durable<T>> {
        drop(self.unfenced);
        self.record.commit(reply)
    }
}

impl<M: Machine> Pmem for Change<'_, '_, M> {
    fn size(&self) -> u64 {
        self.volume.geometry().blocks().saturating_mul(BLOCK)
    }

    fn read_bytes(&self, at: u64, into: &mut [u8]) -> Result {
        self.volume.media().read_bytes(at, into)?;
        self.record.overlay(at, into);
        Ok(())
    }

    fn first_lost(&self, at: u64, len: u64) -> Option<u64> {
        self.volume.media().first_lost(at, len)
    }
}
