// SPDX-License-Identifier: GPL-2.0

//! Repairs of single nodes in place, each within one record: what is wrong goes, nothing is moved. The blocks of what is cut off
//! are not freed here.

use zerocopy::IntoBytes;

use super::edit::Edit;
use super::node::{self, Entry, Head, END, ENTRIES_MAX, HEADER, SUM};
use super::walk::{Link, Room};
use super::Tree;
use crate::media::format::{LeafSlot, Node};
use crate::media::{Geometry, Result};
use crate::meta::change::Change;
use crate::meta::Machine;

/// Says whether the contents of an entry can be.
pub(in crate::meta) type Sound<P> = fn(&P, &Geometry, &Head, &Entry) -> Result;

impl Tree {
    /// Takes a node off its parent.
    pub(in crate::meta) fn cut<M: Machine>(&self, change: &mut Change<'_, '_, M>, link: &Link) -> Result {
        let geometry = *change.geometry();
        let parent = self.head(change, &geometry, link.parent, link.level.saturating_add(1))?;
        if link.index >= parent.count || parent.child(change, link.index)?.1 != link.block {
            return Ok(());
        }
        let mut edit = Edit::new(change, parent);
        edit.relink(link.index, link.block, 0)?;
        edit.finish().map(|_| ())
    }

    /// Takes entries out of a leaf that cannot be there, and makes slots and header right; returns how many are left. If none
    /// is, nothing is changed.
    pub(in crate::meta) fn mend_leaf<'v, 's, M: Machine>(
        &self,
        change: &mut Change<'v, 's, M>,
        link: &Link,
        sound: Sound<Change<'v, 's, M>>,
    ) -> Result<u16> {
        let geometry = *change.geometry();
        let head = self.head(change, &geometry, link.block, 0)?;
        let mut slots = [LeafSlot { fingerprint: 0.into(), offset: 0.into() }; ENTRIES_MAX];
        let mut keys = [0u64; ENTRIES_MAX];
        let (mut count, mut bytes) = (0u16, 0u16);
        let mut room = Room::new(link);
        for index in 0..head.count {
            let mut check = |entry: &Entry| sound(change, &geometry, &head, entry);
            let Ok(entry) = room.take(change, &head, index, &mut check) else { continue };
            let (taken, _) = keys.split_at_checked(usize::from(count)).unwrap_or_default();
            let (false, Some(slot)) = (taken.contains(&entry.key), slots.get_mut(usize::from(count))) else { continue };
            *slot = LeafSlot { fingerprint: head.order.fingerprint(entry.key).into(), offset: entry.offset.into() };
            if let Some(key) = keys.get_mut(usize::from(count)) {
                *key = entry.key;
            }
            count = count.saturating_add(1);
            bytes = bytes.saturating_add(entry.len);
        }
        if count == 0 {
            return Ok(0);
        }
        let kept = slots.get(..usize::from(count)).unwrap_or_default();
        put(change, link.block, HEADER, kept.as_bytes())?;
        let garbage = END.saturating_sub(head.heap).saturating_sub(bytes);
        finish(change, &Head { count, garbage, ..head })?;
        Ok(count)
    }

    /// Writes anew what says which node it is. Anything else of it is as it was, or nothing is
    /// changed.
    pub(in crate::meta) fn mend_head<M>(&self, change: &mut Change<'_, '_, M>, link: &Link) -> Result
    where
        M: Machine,
    {
        let geometry = *change.geometry();
        let known = self.recall(change, &geometry, link);
        known.map_or(Ok(()), |known| put(change, link.block, 0, known.as_bytes()))
    }

    /// Counts the children of 0 of an inner node.
    pub(in crate::meta) fn mend_inner<M: Machine>(&self, change: &mut Change<'_, '_, M>, link: &Link) -> Result {
        let geometry = *change.geometry();
        let head = self.head(change, &geometry, link.block, link.level)?;
        let mut garbage = 0u16;
        for index in 0..head.count {
            garbage = garbage.saturating_add(u16::from(head.child(change, index)?.1 == 0));
        }
        finish(change, &Head { garbage, ..head })
    }

    /// Calculates the sum of a node.
    pub(in crate::meta) fn mend_sum<M: Machine>(&self, change: &mut Change<'_, '_, M>, link: &Link) -> Result {
        let geometry = *change.geometry();
        let head = self.head(change, &geometry, link.block, link.level)?;
        finish(change, &head)
    }
}

/// Stages what bytes of a node change.
fn put<M: Machine>(change: &mut Change<'_, '_, M>, block: u64, offset: u16, bytes: &[u8]) -> Result {
    change.write(node::at(block, offset), bytes)
}

/// Stages number of slots, heap, garbage, and the sum of the whole node.
fn finish<M: Machine>(change: &mut Change<'_, '_, M>, head: &Head) -> Result {
    let fill = core::mem::offset_of!(Node, count) as u16;
    put(change, head.block, fill, &head.count.to_le_bytes())?;
    put(change, head.block, fill.saturating_add(4), &head.garbage.to_le_bytes())?;
    let sum = node::sum(change, head.block)?;
    put(change, head.block, SUM, &sum.to_le_bytes())
}
