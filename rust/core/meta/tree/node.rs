// SPDX-License-Identifier: GPL-2.0

//! One tree node: its header in native integers, its slots, its sum. Reads at most 256 bytes at a time, changes nothing.
//!
//! The sum is multilinear: each 32-bit word times an odd constant of its position, modulo 2^64. So a change of a few bytes
//! moves it by a difference that only these bytes decide, and it need not be read in full to be kept right.

use zerocopy::{FromBytes, FromZeros, IntoBytes};

use crate::media::format::{self, Child, DirEntry, Extent, LeafSlot, Node};
use crate::media::{check, Error, Geometry, Pmem, Result, BLOCK};

/// Bytes of the header.
pub(super) const HEADER: u16 = 64;
/// Bytes of a slot of a leaf.
pub(super) const SLOT: u16 = 4;
/// Bytes of an entry of an inner node.
pub(super) const CHILD: u16 = 16;
/// Entries of a full inner node.
pub(super) const CHILDREN: u16 = (END - HEADER) / CHILD;
/// Bytes for slots and entries in a leaf.
pub(super) const ROOM: u16 = END - HEADER;
/// Offset past the node.
pub(super) const END: u16 = BLOCK as u16;
/// Most bytes read at once.
pub(super) const PIECE: u16 = 256;
/// Offset of the sum in the header.
pub(super) const SUM: u16 = 56;

/// Shortest entry of a hashed leaf: a name of one byte.
const SHORTEST: u16 = 19;
/// Most entries that a leaf can hold.
pub const ENTRIES_MAX: usize = (ROOM / (SHORTEST + SLOT)) as usize;

/// Order of a leaf's slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::meta) enum Order {
    /// By key; entries are extents.
    Sorted,
    /// None; entries are directory entries, found by a fingerprint of the key.
    Hashed,
}

impl Order {
    /// The code on the media.
    pub(super) fn code(self) -> u8 {
        match self {
            Order::Sorted => format::NODE_SORTED,
            Order::Hashed => format::NODE_HASHED,
        }
    }

    /// Bytes of an entry of which only the length of the name is known.
    pub(super) fn entry_len(self, name: u8) -> u16 {
        match self {
            Order::Sorted => size_of::<Extent>() as u16,
            Order::Hashed => (size_of::<DirEntry>() as u16).saturating_add(u16::from(name)),
        }
    }

    /// The fingerprint in the slot of an entry with this key.
    pub(in crate::meta) fn fingerprint(self, key: u64) -> u16 {
        match self {
            Order::Sorted => 0,
            Order::Hashed => (key >> 8) as u16,
        }
    }
}

/// Factor of word `index` of a node: splitmix64, made odd.
pub(super) fn weight(index: u16) -> u64 {
    let mut z = u64::from(index).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31 | 1
}

/// Sum of `bytes` that lie at `offset` (a multiple of 4) of a node.
pub(super) fn sum_of(offset: u16, bytes: &[u8]) -> u64 {
    let mut index = offset / 4;
    let mut sum = 0u64;
    for word in bytes.chunks_exact(4) {
        let word = word.first_chunk().map_or(0, |word| u32::from_le_bytes(*word));
        sum = sum.wrapping_add(u64::from(word).wrapping_mul(weight(index)));
        index = index.wrapping_add(1);
    }
    sum
}

/// What the sum changes by when `old`, which lies at `offset` (a multiple of 4) of a node, becomes `new`, of the same length.
pub(super) fn sum_change(offset: u16, old: &[u8], new: &[u8]) -> u64 {
    let word = |bytes: &[u8]| bytes.first_chunk().map_or(0, |word| u64::from(u32::from_le_bytes(*word)));
    let mut index = offset / 4;
    let mut sum = 0u64;
    for (old, new) in old.chunks_exact(4).zip(new.chunks_exact(4)) {
        let change = word(new).wrapping_sub(word(old));
        if change != 0 {
            sum = sum.wrapping_add(change.wrapping_mul(weight(index)));
        }
        index = index.wrapping_add(1);
    }
    sum
}

/// Position of byte `offset` of the node in `block`.
pub(super) fn at(block: u64, offset: u16) -> u64 {
    block.wrapping_mul(BLOCK).wrapping_add(u64::from(offset))
}

/// An error about a node.
pub(super) fn error(block: u64, why: &'static str) -> Error {
    Error::Corrupt { at: block.wrapping_mul(BLOCK), why }
}

/// The same, returned.
pub(super) fn corrupt<T>(block: u64, why: &'static str) -> Result<T> {
    Err(error(block, why))
}

/// Header of a node.
///
/// # Invariants
///
/// As read from the media: passed `check::node`, so slots and heap lie within the block and do not overlap.
#[derive(Clone, Copy, Debug)]
pub(in crate::meta) struct Head {
    pub(super) block: u64,
    pub(super) level: u8,
    pub(super) order: Order,
    pub(in crate::meta) count: u16,
    pub(super) heap: u16,
    pub(super) garbage: u16,
    pub(super) sum: u64,
}

/// An entry as its slot and its first bytes show it.
#[derive(Clone, Copy, Debug)]
pub(in crate::meta) struct Entry {
    /// Index of the slot.
    pub(in crate::meta) slot: u16,
    /// Offset in the node.
    pub(in crate::meta) offset: u16,
    /// Bytes.
    pub(in crate::meta) len: u16,
    /// Key.
    pub(in crate::meta) key: u64,
}

impl Head {
    /// Reads and validates the header of the node in `block`.
    pub(super) fn read(
        media: &impl Pmem,
        geometry: &Geometry,
        owner: check::Owner,
        order: Order,
        block: u64,
        level: u8,
    ) -> Result<Self> {
        if !geometry.holds(block, 1) {
            return corrupt(block, "tree node outside the data area");
        }
        let node: Node = media.read(at(block, 0))?;
        check::node(geometry, &node, block, owner, Some(level))?;
        if node.order != order.code() {
            return corrupt(block, "order of a tree node");
        }
        Ok(Head {
            block,
            level,
            order,
            count: node.count.get(),
            heap: node.heap.get(),
            garbage: node.garbage.get(),
            sum: node.sum.get(),
        })
    }

    /// The header on the media of a node with these properties.
    pub(super) fn format(&self, geometry: &Geometry, owner: check::Owner) -> Node {
        let mut node = Node::new_zeroed();
        node.magic = format::NODE_MAGIC.into();
        node.level = self.level;
        node.order = self.order.code();
        node.count = self.count.into();
        node.heap = self.heap.into();
        node.garbage = self.garbage.into();
        node.owner = owner.0.into();
        node.generation = owner.1.into();
        node.block = self.block.into();
        node.tag = check::node_tag(geometry.uuid()).into();
        node.sum = self.sum.into();
        node
    }

    /// Children that exist. A child of 0 stands for an empty range.
    pub(super) fn live_children(&self) -> u16 {
        self.count.saturating_sub(self.garbage)
    }

    /// Bytes that the entries of this leaf and their slots need.
    pub(super) fn live_bytes(&self) -> u16 {
        let entries = END.saturating_sub(self.heap).saturating_sub(self.garbage);
        entries.saturating_add(self.count.saturating_mul(SLOT))
    }

    /// Bytes between slots and entries of this leaf.
    pub(super) fn gap(&self) -> u16 {
        self.heap.saturating_sub(HEADER.saturating_add(self.count.saturating_mul(SLOT)))
    }

    /// Offset of slot `index` of this leaf.
    pub(super) fn slot_offset(&self, index: u16) -> u16 {
        HEADER.saturating_add(index.saturating_mul(SLOT))
    }

    /// Offset of child `index` of this inner node.
    pub(super) fn child_offset(&self, index: u16) -> u16 {
        HEADER.saturating_add(index.saturating_mul(CHILD))
    }

    /// Reads child `index` of this inner node.
    pub(super) fn child(&self, media: &impl Pmem, index: u16) -> Result<(u64, u64)> {
        let child: Child = media.read(at(self.block, self.child_offset(index)))?;
        Ok((child.key.get(), child.block.get()))
    }

    /// Reads the fingerprint in slot `index` of this leaf.
    pub(super) fn fingerprint(&self, media: &impl Pmem, index: u16) -> Result<u16> {
        let slot: LeafSlot = media.read(at(self.block, self.slot_offset(index)))?;
        Ok(slot.fingerprint.get())
    }

    /// Reads entry `index` of this leaf, its first bytes only.
    pub(in crate::meta) fn entry(&self, media: &impl Pmem, index: u16) -> Result<Entry> {
        let slot: LeafSlot = media.read(at(self.block, self.slot_offset(index)))?;
        self.entry_at(media, index, slot.offset.get())
    }

    /// Reads the entry of slot `index` that lies at `offset`, its first bytes only.
    pub(in crate::meta) fn entry_at(&self, media: &impl Pmem, slot: u16, offset: u16) -> Result<Entry> {
        let mut first = DirEntry::new_zeroed();
        let fits = |len: u16| offset >= self.heap && offset.checked_add(len).is_some_and(|end| end <= END);
        if !fits(SHORTEST) {
            return corrupt(self.block, "offset of an entry");
        }
        media.read_bytes(at(self.block, offset), first.as_mut_bytes())?;
        let len = self.order.entry_len(first.len);
        if !fits(len) || self.order == Order::Hashed && first.len == 0 {
            return corrupt(self.block, "length of an entry");
        }
        Ok(Entry { slot, offset, len, key: first.key.get() })
    }

    /// Whether this is a leaf of directory entries.
    pub(in crate::meta) fn hashed(&self) -> bool {
        self.order == Order::Hashed
    }

    /// Position of byte `offset` of this node.
    pub(in crate::meta) fn at(&self, offset: u16) -> u64 {
        at(self.block, offset)
    }

    /// The first entry from slot `from` on with this fingerprint.
    pub(in crate::meta) fn next_match(&self, media: &impl Pmem, fingerprint: u16, from: u16) -> Result<Option<Entry>> {
        let mut piece = [0u8; PIECE as usize];
        let mut first = from;
        while first < self.count {
            let now = self.count.saturating_sub(first).min(PIECE / SLOT);
            let slots = piece.get_mut(..usize::from(now.saturating_mul(SLOT))).unwrap_or_default();
            media.read_bytes(at(self.block, self.slot_offset(first)), slots)?;
            for (index, slot) in (first..).zip(slots.chunks_exact(usize::from(SLOT))) {
                let Ok(slot) = LeafSlot::read_from_bytes(slot) else { break };
                if slot.fingerprint.get() == fingerprint {
                    return self.entry_at(media, index, slot.offset.get()).map(Some);
                }
            }
            first = first.saturating_add(now);
        }
        Ok(None)
    }

    /// Reads the whole node and compares its sum.
    pub(super) fn verify(&self, media: &impl Pmem) -> Result {
        if sum(media, self.block)? == self.sum {
            Ok(())
        } else {
            corrupt(self.block, "sum of a tree node")
        }
    }
}

/// The header of a damaged node as it was, if no more than what says which node it is was changed:
/// all of that is known, and the sum tells whether the rest is as it was.
pub(super) fn recall(
    media: &impl Pmem,
    geometry: &Geometry,
    owner: check::Owner,
    order: Order,
    block: u64,
    level: u8,
) -> Option<Node> {
    let found: Node = media.read(at(block, 0)).ok()?;
    let known = Node {
        magic: format::NODE_MAGIC.into(),
        level,
        order: order.code(),
        generation: owner.1.into(),
        owner: owner.0.into(),
        block: block.into(),
        tag: check::node_tag(geometry.uuid()).into(),
        reserved: [0; 16],
        ..found
    };
    check::node(geometry, &known, block, owner, Some(level)).ok()?;
    let changed = sum_change(0, found.as_bytes(), known.as_bytes());
    let sum = sum(media, block).ok()?.wrapping_add(changed);
    (sum == known.sum.get()).then_some(known)
}

/// Reads a whole node and calculates its sum.
pub(super) fn sum(media: &impl Pmem, block: u64) -> Result<u64> {
    let mut piece = [0u8; PIECE as usize];
    let mut offset = 0u16;
    let mut sum = 0u64;
    while offset < END {
        media.read_bytes(at(block, offset), &mut piece)?;
        if offset == 0 {
            if let Some(field) = piece.get_mut(usize::from(SUM)..usize::from(HEADER)) {
                field.fill(0);
            }
        }
        sum = sum.wrapping_add(sum_of(offset, &piece));
        offset = offset.saturating_add(PIECE);
    }
    Ok(sum)
}
