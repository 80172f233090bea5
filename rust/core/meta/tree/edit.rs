// SPDX-License-Identifier: GPL-2.0

//! Changes of a node in place: patches of the record that keep the node's sum.

use zerocopy::IntoBytes;

use super::build::key_of;
use super::node::{self, Entry, Head, Order, END, SLOT, SUM};
use crate::media::format::{Child, LeafSlot};
use crate::media::{Pmem, Result};
use crate::meta::change::Change;
use crate::meta::Machine;

/// Bytes of a node that are accounted for at once, a multiple of 4.
const PIECE: usize = 64;
/// Most bytes of slots moved at once.
const MOVE: u16 = 240;
/// Offset of the two words of the header that have level, order, count, heap and garbage.
const FILL: u16 = 4;

/// Bytes of record that it takes to move the slots of a sorted leaf from `at` on.
fn moving(head: &Head, at: u16) -> u16 {
    let moved = match head.order {
        Order::Sorted => head.count.saturating_sub(at).saturating_mul(SLOT),
        Order::Hashed => 0,
    };
    moved.div_ceil(MOVE).saturating_mul(8).saturating_add(moved)
}

/// Bytes of record that inserting `len` bytes in slot `at` takes, at most.
pub(super) fn cost(head: &Head, at: u16, len: u16) -> usize {
    // Patches of the entry, the slot, the header and the sum.
    let fixed = 8 + 8 + 4 + 8 + 6 + 8 + 8;
    usize::from(moving(head, at).saturating_add(len).saturating_add(fixed))
}

/// Bytes of record that the removal of entry `at` takes, at most.
pub(super) fn removal_cost(head: &Head, at: u16) -> usize {
    usize::from(moving(head, at).saturating_add(8 + 4 + 8 + 6 + 8 + 8))
}

/// A node being changed. Ends with [`Edit::finish`].
#[must_use]
pub(super) struct Edit<'c, 'v, 's, M: Machine> {
    change: &'c mut Change<'v, 's, M>,
    head: Head,
    /// As the header has it without this edit.
    before: [u8; 8],
}

/// The two words of the header at [`FILL`].
fn fill(head: &Head) -> [u8; 8] {
    let [count, heap, garbage] = [head.count, head.heap, head.garbage].map(u16::to_le_bytes);
    let ([a, b], [c, d], [e, f]) = (count, heap, garbage);
    [head.level, head.order.code(), a, b, c, d, e, f]
}

impl<'c, 'v, 's, M: Machine> Edit<'c, 'v, 's, M> {
    pub(super) fn new(change: &'c mut Change<'v, 's, M>, head: Head) -> Self {
        Edit { change, head, before: fill(&head) }
    }

    /// Stages bytes of the node, and accounts for them in the sum.
    fn put(&mut self, offset: u16, bytes: &[u8]) -> Result {
        let (mut old, mut new) = ([0u8; PIECE], [0u8; PIECE]);
        let mut rest = bytes;
        let mut from = offset;
        while !rest.is_empty() {
            // Whole words around the bytes.
            let start = from & !3;
            let skip = usize::from(from.saturating_sub(start));
            let now = rest.len().min(PIECE.saturating_sub(skip));
            let cover = skip.saturating_add(now).next_multiple_of(4);
            let (piece, after) = rest.split_at_checked(now).unwrap_or_default();
            let (Some(old), Some(new)) = (old.get_mut(..cover), new.get_mut(..cover)) else { break };
            self.change.read_bytes(node::at(self.head.block, start), old)?;
            new.copy_from_slice(old);
            if let Some(target) = new.get_mut(skip..skip.saturating_add(now)) {
                target.copy_from_slice(piece);
            }
            self.head.sum = self.head.sum.wrapping_add(node::sum_change(start, old, new));
            from = from.saturating_add(now as u16);
            rest = after;
        }
        self.change.write(node::at(self.head.block, offset), bytes)
    }

    /// Moves bytes of slots up or down by one slot; the ranges may overlap.
    fn move_slots(&mut self, from: u16, count: u16, up: bool) -> Result {
        let mut buffer = [0u8; MOVE as usize];
        let mut left = count.saturating_mul(SLOT);
        let mut start = self.head.slot_offset(from);
        while left > 0 {
            let now = left.min(MOVE);
            left = left.saturating_sub(now);
            let source = if up { start.saturating_add(left) } else { start };
            let target = if up { source.saturating_add(SLOT) } else { source.saturating_sub(SLOT) };
            let Some(piece) = buffer.get_mut(..usize::from(now)) else { break };
            self.change.read_bytes(node::at(self.head.block, source), piece)?;
            self.put(target, piece)?;
            if !up {
                start = start.saturating_add(now);
            }
        }
        Ok(())
    }

    /// Puts an entry into a leaf that has the room, in slot `at`.
    pub(super) fn insert(&mut self, at: u16, bytes: &[u8]) -> Result {
        let count = self.head.count;
        let Some(heap) = self.head.heap.checked_sub(bytes.len() as u16) else {
            return node::corrupt(self.head.block, "heap of a tree node");
        };
        self.put(heap, bytes)?;
        self.move_slots(at, count.saturating_sub(at), true)?;
        let slot = LeafSlot { fingerprint: self.head.order.fingerprint(key_of(bytes)).into(), offset: heap.into() };
        self.put(self.head.slot_offset(at), slot.as_bytes())?;
        self.head.heap = heap;
        self.head.count = count.saturating_add(1);
        Ok(())
    }

    /// Takes an entry out of a leaf.
    pub(super) fn remove(&mut self, entry: &Entry) -> Result {
        let Some(last) = self.head.count.checked_sub(1) else {
            return node::corrupt(self.head.block, "number of slots of a tree node");
        };
        let next = entry.slot.saturating_add(1);
        match self.head.order {
            Order::Sorted => self.move_slots(next, self.head.count.saturating_sub(next), false)?,
            Order::Hashed if entry.slot != last => {
                let moved: LeafSlot = self.change.read(node::at(self.head.block, self.head.slot_offset(last)))?;
                self.put(self.head.slot_offset(entry.slot), moved.as_bytes())?;
            }
            Order::Hashed => {}
        }
        self.head.count = last;
        if entry.offset == self.head.heap {
            self.head.heap = self.head.heap.saturating_add(entry.len);
        } else {
            self.head.garbage = self.head.garbage.saturating_add(entry.len).min(END.saturating_sub(self.head.heap));
        }
        Ok(())
    }

    /// Overwrites a part of an entry.
    pub(super) fn update(&mut self, entry: &Entry, from: u16, bytes: &[u8]) -> Result {
        self.put(entry.offset.saturating_add(from), bytes)
    }

    /// Replaces a child's block; `before` is what was there.
    pub(super) fn relink(&mut self, index: u16, before: u64, block: u64) -> Result {
        if before == block {
            return Ok(());
        }
        self.put(self.head.child_offset(index).saturating_add(8), &block.to_le_bytes())?;
        if before == 0 {
            self.head.garbage = self.head.garbage.saturating_sub(1);
        } else if block == 0 {
            self.head.garbage = self.head.garbage.saturating_add(1);
        }
        Ok(())
    }

    /// Appends a child.
    pub(super) fn append(&mut self, key: u64, block: u64) -> Result {
        let child = Child { key: key.into(), block: block.into() };
        self.put(self.head.child_offset(self.head.count), child.as_bytes())?;
        self.head.count = self.head.count.saturating_add(1);
        Ok(())
    }

    /// Takes children `from..=to`, of which the first of all is none, out of the node: their range goes to the child before.
    pub(super) fn absorb(&mut self, from: u16, to: u16) -> Result {
        let next = to.saturating_add(1);
        // Where others follow, children of one and the same key stay behind: their ranges are empty.
        let key = if next < self.head.count { Some(self.head.child(self.change, next)?.0) } else { None };
        for index in from..next {
            let live = self.head.child(self.change, index)?.1 != 0;
            if let Some(key) = key {
                let child = Child { key: key.into(), block: 0.into() };
                self.put(self.head.child_offset(index), child.as_bytes())?;
                self.head.garbage = self.head.garbage.saturating_add(u16::from(live));
            } else {
                self.head.garbage = self.head.garbage.saturating_sub(u16::from(!live));
            }
        }
        if key.is_none() {
            self.head.count = from;
        }
        Ok(())
    }

    /// Children left, if this is an inner node.
    pub(super) fn live_children(&self) -> u16 {
        self.head.live_children()
    }

    /// Stages the header.
    pub(super) fn finish(mut self) -> Result<Head> {
        let fill = fill(&self.head);
        if fill != self.before {
            self.head.sum = self.head.sum.wrapping_add(node::sum_change(FILL, &self.before, &fill));
            let [_, _, new @ ..] = &fill;
            self.change.write(node::at(self.head.block, FILL + 2), new)?;
        }
        self.change.write(node::at(self.head.block, SUM), &self.head.sum.to_le_bytes())?;
        Ok(self.head)
    }
}
