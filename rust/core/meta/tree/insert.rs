// SPDX-License-Identifier: GPL-2.0

//! Insertion: in place if there is room, else copy-on-write. Split nodes are linked from the leaf upwards. What is not inlined
//! keeps the frames of rare paths off the stack of the usual one.

use super::build::{key_of, Extra, Source};
use super::edit::{self, Edit};
use super::node::{self, Entry, Head, Order, CHILDREN, ROOM, SLOT};
use super::{Path, Tree, KEY_END, LEVELS};
use crate::media::{Error, Pmem, Result};
use crate::meta::change::Change;
use crate::meta::Machine;

/// Entries looked at to find a middle key.
const SAMPLE: u16 = 48;

impl Tree {
    /// Adds an entry. No entry with this key may exist, the caller has looked.
    ///
    /// # Errors
    ///
    /// `NoSpace` if a node has to be split and there is no block. Whatever the error, the record is spoilt.
    pub(in crate::meta) fn insert<M: Machine>(&mut self, change: &mut Change<'_, '_, M>, bytes: &[u8]) -> Result {
        let geometry = *change.geometry();
        let path = self.descend(change, &geometry, key_of(bytes))?;
        self.insert_at(change, &path, bytes)
    }

    /// The same, if the way to the key's leaf is known.
    pub(in crate::meta) fn insert_at<M: Machine>(
        &mut self,
        change: &mut Change<'_, '_, M>,
        path: &Path,
        bytes: &[u8],
    ) -> Result {
        let key = key_of(bytes);
        let Some(leaf) = path.leaf else { return self.plant(change, path, bytes, bytes.len()) };
        let at = match self.order {
            Order::Sorted => super::position(change, &leaf, key)?,
            Order::Hashed => leaf.count,
        };
        let len = bytes.len() as u16;
        if leaf.gap() >= len.saturating_add(SLOT) && edit::cost(&leaf, at, len) <= change.room() {
            let mut edit = Edit::new(change, leaf);
            edit.insert(at, bytes)?;
            edit.finish()?;
            return Ok(());
        }
        self.rebuild(change, path, &leaf, Extra { at, bytes, each: bytes.len() })
    }

    /// Overwrites a part of an entry; a sorted one's key must stay in its place.
    pub(in crate::meta) fn update<M: Machine>(
        &mut self,
        change: &mut Change<'_, '_, M>,
        leaf: &Head,
        entry: &Entry,
        from: u16,
        bytes: &[u8],
    ) -> Result {
        let mut edit = Edit::new(change, *leaf);
        edit.update(entry, from, bytes)?;
        edit.finish()?;
        Ok(())
    }

    /// Adds the first entries to an empty tree: a leaf full at most, in order, of `each` bytes each.
    pub(in crate::meta) fn fill<M: Machine>(
        &mut self,
        change: &mut Change<'_, '_, M>,
        bytes: &[u8],
        each: usize,
    ) -> Result {
        let geometry = *change.geometry();
        let path = self.descend(change, &geometry, key_of(bytes))?;
        self.plant(change, &path, bytes, each)
    }

    /// Makes a leaf where the range is empty, and the nodes that lead there.
    #[inline(never)]
    fn plant<M: Machine>(&mut self, change: &mut Change<'_, '_, M>, path: &Path, bytes: &[u8], each: usize) -> Result {
        let source = Source { a: None, b: None, extra: Some(Extra { at: 0, bytes, each }), from: 0, to: KEY_END };
        let (mut block, _) = self.build_leaf(change, &source)?;
        if self.root == 0 {
            self.root = block;
            self.level = 0;
            return Ok(());
        }
        for level in 1..path.stop {
            block = self.build_inner(change, level, 1, |_, _| Ok((path.lo, block)))?;
        }
        self.link(change, path, path.stop, block, None)
    }

    /// Replaces a leaf by one or two fresh ones that have the extra entry too.
    #[inline(never)]
    fn rebuild<M: Machine>(
        &mut self,
        change: &mut Change<'_, '_, M>,
        path: &Path,
        leaf: &Head,
        extra: Extra<'_>,
    ) -> Result {
        leaf.verify(change)?;
        let source = |a, from, to| Source { a, b: None, extra: Some(extra), from, to };
        let (len, key) = (extra.bytes.len() as u16, key_of(extra.bytes));
        let need = leaf.live_bytes().saturating_add(SLOT).saturating_add(len);
        // Compaction, unless it would soon have to be repeated.
        let enough = if leaf.gap() >= len.saturating_add(SLOT) { ROOM } else { ROOM / 8 * 7 };
        let all = leaf.count.saturating_add(1);
        if need <= enough {
            let (block, count) = self.build_leaf(change, &source(Some(*leaf), path.lo, path.hi))?;
            self.discard(change, leaf.block)?;
            return if count == all { self.link(change, path, 1, block, None) } else { misplaced(leaf) };
        }
        if self.order == Order::Sorted && extra.at == leaf.count {
            // Files grow at their end: leave the full leaf alone.
            let extra = Some(Extra { at: 0, ..extra });
            let source = Source { a: None, b: None, extra, from: path.lo, to: path.hi };
            let (block, _) = self.build_leaf(change, &source)?;
            return self.link(change, path, 1, leaf.block, Some((key, block)));
        }
        let pivot = self.pivot(change, leaf)?;
        if pivot <= path.lo || pivot >= path.hi {
            return misplaced(leaf);
        }
        let left = self.build_leaf(change, &source(Some(*leaf), path.lo, pivot))?;
        let right = self.build_leaf(change, &source(Some(*leaf), pivot, path.hi))?;
        if left.1.saturating_add(right.1) != all {
            return misplaced(leaf);
        }
        self.discard(change, leaf.block)?;
        self.link(change, path, 1, left.0, Some((pivot, right.0)))
    }

    /// A key with about half of the leaf's bytes below it, and at least one entry on each side.
    ///
    /// Of a leaf with many entries a sample is looked at: they are short then, so that an uneven split still fits.
    #[inline(never)]
    fn pivot<M: Machine>(&self, change: &Change<'_, '_, M>, leaf: &Head) -> Result<u64> {
        let mut keys = [(0u64, 0u16); SAMPLE as usize];
        let mut len = 0usize;
        let step = leaf.count.div_ceil(SAMPLE).max(1);
        let mut total = 0u16;
        for index in (0..leaf.count).step_by(usize::from(step)) {
            let entry = leaf.entry(change, index)?;
            total = total.saturating_add(entry.len);
            let place = keys.get(..len).unwrap_or_default().partition_point(|(key, _)| *key < entry.key);
            if let Some(tail) = keys.get_mut(place..=len) {
                tail.rotate_right(1);
                if let Some(first) = tail.first_mut() {
                    *first = (entry.key, entry.len);
                }
                len = len.saturating_add(1);
            }
        }
        let mut below = 0u16;
        for (index, (key, bytes)) in keys.iter().take(len).enumerate() {
            if index > 0 && (below >= total / 2 || index.saturating_add(1) == len) {
                return Ok(*key);
            }
            below = below.saturating_add(*bytes);
        }
        node::corrupt(leaf.block, "a full leaf with one entry")
    }

    /// Puts `left` where the path passed `level`, and a new sibling `(key, block)` behind it. Goes up as long as nodes
    /// split.
    fn link<M: Machine>(
        &mut self,
        change: &mut Change<'_, '_, M>,
        path: &Path,
        level: u8,
        left: u64,
        right: Option<(u64, u64)>,
    ) -> Result {
        let geometry = *change.geometry();
        let (mut level, mut left, mut right) = (level, left, right);
        loop {
            if level > self.level {
                return self.grow(change, level, left, right);
            }
            let step = path.step(level);
            let head = self.head(change, &geometry, step.block, level)?;
            let before = head.child(change, step.index)?.1;
            let last = step.index.saturating_add(1) == head.count;
            match right {
                Some((key, block)) if !last || head.count >= CHILDREN => {
                    let sibling = self.split(change, &head, step.index, left, key, block)?;
                    left = sibling.0;
                    right = sibling.1;
                    level = level.saturating_add(1);
                }
                _ => {
                    let mut edit = Edit::new(change, head);
                    edit.relink(step.index, before, left)?;
                    if let Some((key, block)) = right {
                        edit.append(key, block)?;
                    }
                    edit.finish()?;
                    return Ok(());
                }
            }
        }
    }

    /// A new root, or a new level above it.
    fn grow<M: Machine>(
        &mut self,
        change: &mut Change<'_, '_, M>,
        level: u8,
        left: u64,
        right: Option<(u64, u64)>,
    ) -> Result {
        let Some(right) = right else {
            self.root = left;
            return Ok(());
        };
        if usize::from(level) >= LEVELS {
            return Err(Error::TooBig);
        }
        let child = |_: &Change<'_, '_, M>, index| Ok(if index == 0 { (0, left) } else { right });
        self.root = self.build_inner(change, level, 2, child)?;
        self.level = level;
        Ok(())
    }

    /// Replaces an inner node by one or two fresh ones: child `index` becomes `left`, and `(key, block)` follows it. Empty
    /// ranges go to the child before them. Returns what is to be linked instead of the old node.
    #[inline(never)]
    fn split<M: Machine>(
        &mut self,
        change: &mut Change<'_, '_, M>,
        head: &Head,
        index: u16,
        left: u64,
        key: u64,
        block: u64,
    ) -> Result<(u64, Option<(u64, u64)>)> {
        head.verify(change)?;
        let plan = Plan { head: *head, index, left, right: (key, block) };
        let mut count = 0u16;
        for slot in 0..plan.len() {
            count = count.saturating_add(u16::from(plan.keeps(change, slot)?));
        }
        let fits = count <= CHILDREN;
        // Where files grow at their end, keep the left node full.
        let first = if fits {
            count
        } else if index.saturating_add(1) == head.count {
            count.saturating_sub(1)
        } else {
            count / 2
        };
        let mut slot = plan.len();
        let mut next = |change: &Change<'_, '_, M>, _| plan.before(change, &mut slot);
        let mut sibling = None;
        if !fits {
            let rest = count.saturating_sub(first);
            let mut lowest = 0;
            let right = self.build_inner(change, head.level, rest, |change, index| {
                let child = next(change, index)?;
                lowest = child.0;
                Ok(child)
            })?;
            sibling = Some((lowest, right));
        }
        let fresh = self.build_inner(change, head.level, first, next)?;
        self.discard(change, head.block)?;
        Ok((fresh, sibling))
    }
}

/// A leaf has entries of another one's range.
fn misplaced<T>(leaf: &Head) -> Result<T> {
    node::corrupt(leaf.block, "order of keys")
}

/// The children of an inner node once it is split.
struct Plan {
    head: Head,
    index: u16,
    left: u64,
    right: (u64, u64),
}

impl Plan {
    fn len(&self) -> u16 {
        self.head.count.saturating_add(1)
    }

    fn get(&self, media: &impl Pmem, slot: u16) -> Result<(u64, u64)> {
        let behind = self.index.saturating_add(1);
        if slot == self.index {
            return Ok((self.head.child(media, slot)?.0, self.left));
        }
        if slot == behind {
            return Ok(self.right);
        }
        self.head.child(media, if slot > behind { slot.saturating_sub(1) } else { slot })
    }

    /// The first child keeps the node's range, even if it is empty.
    fn keeps(&self, media: &impl Pmem, slot: u16) -> Result<bool> {
        Ok(slot == 0 || self.get(media, slot)?.1 != 0)
    }

    /// The last child kept before `slot`, which moves there.
    fn before(&self, media: &impl Pmem, slot: &mut u16) -> Result<(u64, u64)> {
        while let Some(before) = slot.checked_sub(1) {
            *slot = before;
            if self.keeps(media, before)? {
                return self.get(media, before);
            }
        }
        node::corrupt(self.head.block, "number of children")
    }
}
