// SPDX-License-Identifier: GPL-2.0

//! Removal. Needs no block: only a merge of two leaves does, and it is left out if there is none.

use super::build::Source;
use super::edit::{self, Edit};
use super::node::{self, Entry, Head, ROOM};
use super::{Path, Tree};
use crate::media::{Error, Pmem, Result};
use crate::meta::change::Change;
use crate::meta::Machine;

/// A leaf with fewer bytes looks for a neighbour to merge with.
const SPARSE: u16 = ROOM / 4;
/// Most bytes of a merged leaf.
const MERGED: u16 = ROOM / 4 * 3;
/// Children looked at to find a neighbour.
const REACH: u16 = 4;
/// Bytes of record that a merge needs, at most.
const MERGE_COST: usize = 256;

impl Tree {
    /// Takes out an entry that `path` leads to.
    pub(in crate::meta) fn remove<M: Machine>(
        &mut self,
        change: &mut Change<'_, '_, M>,
        path: &Path,
        entry: &Entry,
    ) -> Result {
        let Some(leaf) = path.leaf else { return Err(Error::Invalid("no leaf to remove from")) };
        if leaf.count <= 1 {
            return self.prune(change, path, leaf.block);
        }
        let mut edit = Edit::new(change, leaf);
        edit.remove(entry)?;
        let leaf = edit.finish()?;
        if self.level > 0 && leaf.live_bytes() < SPARSE && change.room() >= MERGE_COST {
            self.merge(change, path, &leaf)?;
        }
        Ok(())
    }

    /// Bytes of record that a removal needs without a merge, at most.
    pub(in crate::meta) fn removal_cost(path: &Path, entry: &Entry) -> usize {
        path.leaf.as_ref().map_or(0, |leaf| edit::removal_cost(leaf, entry.slot))
    }

    /// Frees an emptied leaf, and the nodes above it that have no other child.
    fn prune<M: Machine>(&mut self, change: &mut Change<'_, '_, M>, path: &Path, leaf: u64) -> Result {
        let geometry = *change.geometry();
        self.discard(change, leaf)?;
        for level in 1..=self.level {
            let step = path.step(level);
            let head = self.head(change, &geometry, step.block, level)?;
            if head.live_children() > 1 {
                let before = head.child(change, step.index)?.1;
                let mut edit = Edit::new(change, head);
                edit.relink(step.index, before, 0)?;
                edit.finish()?;
                return Ok(());
            }
            self.discard(change, head.block)?;
        }
        self.root = 0;
        self.level = 0;
        Ok(())
    }

    /// Merges a sparse leaf with a neighbour, if both fit.
    #[inline(never)]
    fn merge<M: Machine>(&mut self, change: &mut Change<'_, '_, M>, path: &Path, leaf: &Head) -> Result {
        let geometry = *change.geometry();
        let step = path.step(1);
        let parent = self.head(change, &geometry, step.block, 1)?;
        let Some((index, block)) = neighbour(change, &parent, step.index)? else { return Ok(()) };
        let other = self.head(change, &geometry, block, 0)?;
        if leaf.live_bytes().saturating_add(other.live_bytes()) > MERGED {
            return Ok(());
        }
        let (first, last) = if index > step.index { (step.index, index) } else { (index, step.index) };
        let (a, b) = if index > step.index { (*leaf, other) } else { (other, *leaf) };
        a.verify(change)?;
        b.verify(change)?;
        let lo = parent.child(change, first)?.0;
        let hi = parent.child(change, last.saturating_add(1).min(parent.count.saturating_sub(1)))?.0;
        let hi = if last.saturating_add(1) < parent.count { hi } else { u64::MAX };
        let source = Source { a: Some(a), b: Some(b), extra: None, from: lo, to: hi };
        let (fresh, count) = match self.build_leaf(change, &source) {
            Err(Error::NoSpace) => return Ok(()),
            fresh => fresh?,
        };
        if count != a.count.saturating_add(b.count) {
            return node::corrupt(a.block, "order of keys");
        }
        self.discard(change, a.block)?;
        self.discard(change, b.block)?;
        let mut edit = Edit::new(change, parent);
        edit.relink(first, a.block, fresh)?;
        edit.absorb(first.saturating_add(1), last)?;
        let alone = edit.live_children() == 1;
        edit.finish()?;
        if alone && self.level == 1 {
            self.discard(change, parent.block)?;
            self.root = fresh;
            self.level = 0;
        }
        Ok(())
    }
}

/// The nearest child beside `index` that exists, if it is near enough.
fn neighbour(media: &impl Pmem, parent: &Head, index: u16) -> Result<Option<(u16, u64)>> {
    let after = index.saturating_add(1)..index.saturating_add(REACH).min(parent.count);
    for other in after.chain((index.saturating_sub(REACH)..index).rev()) {
        let block = parent.child(media, other)?.1;
        if block != 0 {
            return Ok(Some((other, block)));
        }
    }
    Ok(None)
}
