// SPDX-License-Identifier: GPL-2.0

//! The one B+tree: extents of a file, entries of a directory. One tree per inode, whose lock the caller holds.
//!
//! A leaf insertion or removal writes the entry, a few bytes of slots and the header. Whatever needs more than that (a split,
//! a compaction, a merge) is copy-on-write: a fresh node is stored outside the log ([`build`]) and linked by the record
//! that also frees the old one. Removal never needs a block: an emptied leaf leaves a child of 0, "nothing in this range".
//!
//! All keys below child `i` of an inner node lie in `key(i)..key(i + 1)`, and the first key of a node is the lower end of its
//! own range. So no node can be found in two places of a tree, and each walk of a damaged one ends.
//!
//! `node` reads a node, `edit` changes one in place, `insert` and `remove` are the two operations; `walk` checks a
//! whole tree, `mend` repairs nodes. Reading works on the
//! media or, within an operation, on a [`Change`](super::change::Change), which shows what it has staged.

mod build;
mod edit;
mod insert;
mod mend;
mod node;
mod remove;
mod walk;

use crate::media::check::Owner;
use crate::media::{Geometry, Pmem, Result};

pub use node::ENTRIES_MAX;
pub(in crate::meta) use node::{Entry, Head, Order};
pub use walk::Link;
pub(in crate::meta) use walk::{Damage, Look};

/// Levels of the highest tree: enough for 10^11 entries.
pub(in crate::meta) const LEVELS: usize = 6;
/// Keys are smaller than this.
pub(in crate::meta) const KEY_END: u64 = u64::MAX;

/// Root of a tree, as its inode has it. An operation works on a copy and puts it back into the inode.
#[derive(Clone, Copy, Debug)]
pub(in crate::meta) struct Tree {
    /// Inode number and generation.
    pub(in crate::meta) owner: Owner,
    /// Order of the leaves.
    pub(in crate::meta) order: Order,
    /// Root node, or 0 if the tree is empty.
    pub(in crate::meta) root: u64,
    /// Level of the root.
    pub(in crate::meta) level: u8,
    /// Nodes that the present operation added, less those it freed.
    pub(in crate::meta) nodes: i64,
}

/// Where a descent passed a level.
#[derive(Clone, Copy, Debug, Default)]
struct Step {
    block: u64,
    index: u16,
}

/// The way from the root to the leaf that a key belongs to.
#[derive(Clone, Copy, Debug)]
pub(in crate::meta) struct Path {
    /// By level; 0 is unused.
    steps: [Step; LEVELS],
    /// The leaf, unless the range is empty.
    pub(in crate::meta) leaf: Option<Head>,
    /// Level of the lowest node passed: above 1 only if its child is missing.
    stop: u8,
    /// Range of the leaf.
    pub(in crate::meta) lo: u64,
    /// Its end.
    pub(in crate::meta) hi: u64,
}

impl Path {
    fn step(&self, level: u8) -> Step {
        self.steps.get(usize::from(level)).copied().unwrap_or_default()
    }
}

impl Tree {
    /// Reads the header of a node of this tree.
    pub(in crate::meta) fn head(&self, media: &impl Pmem, geometry: &Geometry, block: u64, level: u8) -> Result<Head> {
        Head::read(media, geometry, self.owner, self.order, block, level)
    }

    /// The way to the leaf whose range has `key`.
    pub(in crate::meta) fn descend(&self, media: &impl Pmem, geometry: &Geometry, key: u64) -> Result<Path> {
        let mut path = Path {
            steps: [Step::default(); LEVELS],
            leaf: None,
            stop: self.level.saturating_add(1),
            lo: 0,
            hi: KEY_END,
        };
        let (mut block, mut level) = (self.root, self.level);
        if usize::from(level) >= LEVELS {
            return node::corrupt(block, "height of a tree");
        }
        while block != 0 {
            let head = self.head(media, geometry, block, level)?;
            if level == 0 {
                path.leaf = Some(head);
                break;
            }
            let index = search(media, &head, &mut path, key)?;
            if let Some(step) = path.steps.get_mut(usize::from(level)) {
                *step = Step { block, index };
            }
            path.stop = level;
            block = head.child(media, index)?.1;
            level = level.saturating_sub(1);
        }
        Ok(path)
    }

    /// The last entry with a key up to `key`, with the way to it.
    pub(in crate::meta) fn find_le(
        &self,
        media: &impl Pmem,
        geometry: &Geometry,
        key: u64,
    ) -> Result<Option<(Path, Entry)>> {
        let mut key = key;
        loop {
            let path = self.descend(media, geometry, key)?;
            if let Some(leaf) = path.leaf {
                let above = position(media, &leaf, key.saturating_add(1))?;
                if let Some(index) = above.checked_sub(1) {
                    let entry = leaf.entry(media, index)?;
                    if entry.key > key || entry.key < path.lo {
                        return node::corrupt(leaf.block, "order of keys");
                    }
                    return Ok(Some((path, entry)));
                }
            }
            match path.lo.checked_sub(1) {
                Some(before) if self.root != 0 => key = before,
                _ => return Ok(None),
            }
        }
    }

    /// The first entry with a key from `key` on, with the way to it.
    pub(in crate::meta) fn find_ge(
        &self,
        media: &impl Pmem,
        geometry: &Geometry,
        key: u64,
    ) -> Result<Option<(Path, Entry)>> {
        let mut key = key;
        loop {
            let path = self.descend(media, geometry, key)?;
            if let Some(leaf) = path.leaf {
                let index = position(media, &leaf, key)?;
                if index < leaf.count {
                    let entry = leaf.entry(media, index)?;
                    if entry.key < key || entry.key >= path.hi {
                        return node::corrupt(leaf.block, "order of keys");
                    }
                    return Ok(Some((path, entry)));
                }
            }
            if path.hi == KEY_END || self.root == 0 {
                return Ok(None);
            }
            key = path.hi;
        }
    }

    /// Calls `each` with all entries of a sorted tree, in order. Reads each node's header and each slot once.
    pub(in crate::meta) fn each(
        &self,
        media: &impl Pmem,
        geometry: &Geometry,
        each: &mut dyn FnMut(&Head, &Entry) -> Result,
    ) -> Result {
        let mut next = 0;
        while next < KEY_END && self.root != 0 {
            let path = self.descend(media, geometry, next)?;
            if let Some(leaf) = path.leaf {
                for index in 0..leaf.count {
                    let entry = leaf.entry(media, index)?;
                    if !(next..path.hi).contains(&entry.key) {
                        return node::corrupt(leaf.block, "order of keys");
                    }
                    each(&leaf, &entry)?;
                    next = entry.key.saturating_add(1);
                }
            }
            next = path.hi;
        }
        Ok(())
    }
}

/// Finds the child of `head` whose range has `key`, and narrows the path's range to it.
fn search(media: &impl Pmem, head: &Head, path: &mut Path, key: u64) -> Result<u16> {
    if head.live_children() == 0 {
        return node::corrupt(head.block, "inner node without children");
    }
    if head.child(media, 0)?.0 != path.lo {
        return node::corrupt(head.block, "first key of a tree node");
    }
    let (mut low, mut high) = (0u16, head.count);
    while high.saturating_sub(low) > 1 {
        let middle = low.midpoint(high);
        if head.child(media, middle)?.0 <= key {
            low = middle;
        } else {
            high = middle;
        }
    }
    let lo = head.child(media, low)?.0;
    let hi = if high < head.count { head.child(media, high)?.0 } else { path.hi };
    if lo < path.lo || lo > key || hi <= key || hi > path.hi {
        return node::corrupt(head.block, "order of keys");
    }
    path.lo = lo;
    path.hi = hi;
    Ok(low)
}

/// Index of the first entry of a sorted leaf with a key from `key` on.
fn position(media: &impl Pmem, leaf: &Head, key: u64) -> Result<u16> {
    let (mut low, mut high) = (0u16, leaf.count);
    while low < high {
        let middle = low.midpoint(high);
        if leaf.entry(media, middle)?.key < key {
            low = middle.saturating_add(1);
        } else {
            high = middle;
        }
    }
    Ok(low)
}
