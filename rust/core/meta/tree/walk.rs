// SPDX-License-Identifier: GPL-2.0

//! Visits a whole tree and checks all that can be said of it: sums, levels, ranges, order, counts. Each node is shown before it
//! is read; as the one who looks leaves out a node that was seen before, the walk is bounded by the blocks there are.

use super::node::{self, Entry, Head, Order, END};
use super::{Tree, KEY_END, LEVELS};
use crate::media::format::Node;
use crate::media::{Error, Geometry, Pmem, Result};

/// Where a node hangs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// The node.
    pub block: u64,
    /// Its level.
    pub level: u8,
    /// Its parent node, or 0 if it is the root.
    pub parent: u64,
    /// Its index in the parent.
    pub index: u16,
    /// Its keys are from here on.
    pub lo: u64,
    /// Its keys are below this.
    pub hi: u64,
}

/// What is wrong with a node, for a repair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::meta) enum Damage {
    /// Nothing of it can be trusted.
    Node,
    /// What says which node it is, and nothing else.
    Head,
    /// A leaf of which some entries cannot be.
    Leaf,
    /// An inner node with a wrong number of empty children.
    Inner,
    /// The sum alone.
    Sum,
}

/// Who walks a tree. An error from any of these but `sound` and `whole` ends the walk.
pub(in crate::meta) trait Look {
    /// A node, before it is read. Answers whether to read it, and what is below it.
    fn node(&mut self, link: &Link) -> Result<bool>;

    /// Whether the contents of an entry can be.
    fn sound(&mut self, leaf: &Head, entry: &Entry) -> Result;

    /// A sound entry, in the order of the slots.
    fn entry(&mut self, leaf: &Head, entry: &Entry) -> Result;

    /// Whether a leaf of sound entries can be as a whole.
    fn whole(&mut self, leaf: &Head, link: &Link) -> Result;

    /// Something is wrong with a node.
    fn problem(&mut self, error: Error, damage: Damage, link: &Link) -> Result;
}

/// An inner node on the way.
#[derive(Clone, Copy)]
struct Frame {
    head: Head,
    /// The child to visit next.
    next: u16,
    hi: u64,
}

impl Frame {
    /// The next child that exists.
    fn child(&mut self, media: &impl Pmem) -> Result<Option<Link>> {
        while self.next < self.head.count {
            let index = self.next;
            let (lo, block) = self.head.child(media, index)?;
            self.next = index.saturating_add(1);
            let hi = if self.next < self.head.count { self.head.child(media, self.next)?.0 } else { self.hi };
            if block != 0 {
                let level = self.head.level.saturating_sub(1);
                return Ok(Some(Link { block, level, parent: self.head.block, index, lo, hi }));
            }
        }
        Ok(None)
    }
}

impl Tree {
    /// Visits all nodes that can be reached.
    pub(in crate::meta) fn walk<P: Pmem>(&self, media: &P, geometry: &Geometry, look: &mut dyn Look) -> Result {
        if self.root == 0 {
            return Ok(());
        }
        let root = Link { block: self.root, level: self.level, parent: 0, index: 0, lo: 0, hi: KEY_END };
        if usize::from(self.level) >= LEVELS {
            return look.problem(node::error(self.root, "height of a tree"), Damage::Node, &root);
        }
        let mut stack: [Option<Frame>; LEVELS] = [None; LEVELS];
        let mut depth = 0usize;
        let mut next = Some(root);
        loop {
            if let Some(link) = next.take() {
                if let Some(head) = self.visit(media, geometry, &link, look)? {
                    if let Some(frame) = stack.get_mut(depth) {
                        *frame = Some(Frame { head, next: 0, hi: link.hi });
                        depth = depth.saturating_add(1);
                    }
                }
            }
            let Some(above) = depth.checked_sub(1) else { return Ok(()) };
            let Some(Some(frame)) = stack.get_mut(above) else { return Ok(()) };
            next = frame.child(media)?;
            if next.is_none() {
                depth = above;
            }
        }
    }

    /// The header that a damaged node had, if that can be said: [`node::recall`].
    pub(super) fn recall(&self, media: &impl Pmem, geometry: &Geometry, link: &Link) -> Option<Node> {
        node::recall(media, geometry, self.owner, self.order, link.block, link.level)
    }

    /// Checks a node; returns an inner one whose children can be visited.
    fn visit<P: Pmem>(&self, media: &P, geometry: &Geometry, link: &Link, look: &mut dyn Look) -> Result<Option<Head>> {
        if !look.node(link)? {
            return Ok(None);
        }
        let head = match self.head(media, geometry, link.block, link.level) {
            Ok(head) => head,
            Err(error) => {
                let known = self.recall(media, geometry, link).is_some();
                let damage = if known { Damage::Head } else { Damage::Node };
                return look.problem(error, damage, link).map(|()| None);
            }
        };
        let mut wrong = if link.level == 0 {
            leaf(media, &head, link, look)?.map(|error| (error, Damage::Leaf))
        } else {
            children(media, &head, link.lo, link.hi).err()
        };
        if wrong.is_none() {
            wrong = head.verify(media).err().map(|error| (error, Damage::Sum));
        }
        let below = link.level > 0 && !matches!(wrong, Some((_, Damage::Node)));
        if let Some((error, damage)) = wrong {
            // What cannot even be read is of no use.
            let poisoned = matches!(error, Error::Poison { .. });
            look.problem(error, if poisoned { Damage::Node } else { damage }, link)?;
        }
        Ok(below.then_some(head))
    }
}

/// Checks an inner node: keys ascend within its range; those of empty ranges may repeat.
fn children(media: &impl Pmem, head: &Head, lo: u64, hi: u64) -> core::result::Result<(), (Error, Damage)> {
    let lost = |error| (error, Damage::Node);
    let mut empty = 0u16;
    let mut last = lo;
    for index in 0..head.count {
        let (key, block) = head.child(media, index).map_err(lost)?;
        let after = index.saturating_add(1);
        let next = if after < head.count { head.child(media, after).map_err(lost)?.0 } else { hi };
        empty = empty.saturating_add(u16::from(block == 0));
        if key < last || key >= hi || index == 0 && key != lo || block != 0 && next <= key {
            return Err(lost(node::error(head.block, "order of keys")));
        }
        last = key;
    }
    if empty >= head.count {
        return Err(lost(node::error(head.block, "number of children")));
    }
    if empty != head.garbage {
        return Err((node::error(head.block, "number of children"), Damage::Inner));
    }
    Ok(())
}

/// Which bytes of a leaf belong to an entry.
struct Bytes([u64; (END / 64) as usize]);

impl Bytes {
    /// Takes the bytes of an entry; false if one is taken already.
    fn take(&mut self, entry: &Entry) -> bool {
        let mut free = true;
        for byte in entry.offset..entry.offset.saturating_add(entry.len) {
            let Some(word) = self.0.get_mut(usize::from(byte / 64)) else { return false };
            free &= *word >> (byte % 64) & 1 == 0;
            *word |= 1 << (byte % 64);
        }
        free
    }
}

/// What the entries of a leaf are checked against, one after the other.
pub(super) struct Room {
    least: u64,
    hi: u64,
    bytes: Bytes,
}

impl Room {
    pub(super) fn new(link: &Link) -> Self {
        Room { least: link.lo, hi: link.hi, bytes: Bytes([0; (END / 64) as usize]) }
    }

    /// Reads entry `index`, checks what can be said of it in its place, and has its contents checked.
    pub(super) fn take(
        &mut self,
        media: &impl Pmem,
        head: &Head,
        index: u16,
        sound: &mut dyn FnMut(&Entry) -> Result,
    ) -> Result<Entry> {
        let entry = head.entry(media, index)?;
        if entry.key < self.least || entry.key >= self.hi {
            return node::corrupt(head.block, "order of keys");
        }
        sound(&entry)?;
        if !self.bytes.take(&entry) {
            return node::corrupt(head.block, "entries that overlap");
        }
        if head.order == Order::Sorted {
            self.least = entry.key.saturating_add(1);
        }
        Ok(entry)
    }
}

/// Checks a leaf: the first thing that is wrong in itself.
fn leaf(media: &impl Pmem, head: &Head, link: &Link, look: &mut dyn Look) -> Result<Option<Error>> {
    let mut room = Room::new(link);
    let mut bytes = head.garbage;
    let mut wrong = None;
    for index in 0..head.count {
        match room.take(media, head, index, &mut |entry| look.sound(head, entry)) {
            Ok(entry) => {
                bytes = bytes.saturating_add(entry.len);
                if head.fingerprint(media, index)? != head.order.fingerprint(entry.key) && wrong.is_none() {
                    wrong = Some(node::error(head.block, "fingerprint of an entry"));
                }
                look.entry(head, &entry)?;
            }
            Err(error) => wrong = wrong.or(Some(error)),
        }
    }
    if wrong.is_none() && (head.count == 0 || bytes != END.saturating_sub(head.heap)) {
        wrong = Some(node::error(head.block, "bytes of a leaf"));
    }
    Ok(if wrong.is_none() { look.whole(head, link).err() } else { wrong })
}
