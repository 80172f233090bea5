// SPDX-License-Identifier: GPL-2.0

//! Fresh nodes: built from old ones in pieces of 256 bytes, from the end of the block to its start, and stored
//! non-temporally, each line once. The caller's record links them; it fences before ([`Change::commit`]).

use zerocopy::IntoBytes;

use super::node::{self, Entry, Head, CHILD, END, HEADER, PIECE, SLOT};
use super::Tree;
use crate::media::check::Owner;
use crate::media::format::{Child, LeafSlot};
use crate::media::{Pmem, Result};
use crate::meta::change::Change;
use crate::meta::Machine;

/// Entries that the fresh leaves have and the old ones do not, one behind the other.
#[derive(Clone, Copy)]
pub(super) struct Extra<'a> {
    /// Slot they go to, counted in the old leaf.
    pub(super) at: u16,
    pub(super) bytes: &'a [u8],
    /// Bytes of each.
    pub(super) each: usize,
}

impl<'a> Extra<'a> {
    fn count(&self) -> u16 {
        self.bytes.len().checked_div(self.each).unwrap_or_default() as u16
    }

    fn get(&self, index: u16) -> &'a [u8] {
        self.bytes.chunks_exact(self.each.max(1)).nth(usize::from(index)).unwrap_or_default()
    }
}

/// Key of an entry.
pub(super) fn key_of(entry: &[u8]) -> u64 {
    entry.first_chunk().map_or(0, |key| u64::from_le_bytes(*key))
}

/// What goes into a fresh leaf: the entries of up to two old ones and the extra ones, those with keys in `from..to`.
pub(super) struct Source<'a> {
    pub(super) a: Option<Head>,
    pub(super) b: Option<Head>,
    pub(super) extra: Option<Extra<'a>>,
    pub(super) from: u64,
    pub(super) to: u64,
}

/// An entry of a [`Source`].
enum Item<'a> {
    Old(Head, Entry),
    Extra(&'a [u8]),
}

impl Item<'_> {
    fn key(&self) -> u64 {
        match self {
            Item::Old(_, entry) => entry.key,
            Item::Extra(bytes) => key_of(bytes),
        }
    }

    fn len(&self) -> u16 {
        match self {
            Item::Old(_, entry) => entry.len,
            Item::Extra(bytes) => bytes.len() as u16,
        }
    }
}

impl<'a> Source<'a> {
    fn len(&self) -> u16 {
        let count = |head: &Option<Head>| head.as_ref().map_or(0, |head| head.count);
        count(&self.a).saturating_add(count(&self.b)).saturating_add(self.extra.map_or(0, |extra| extra.count()))
    }

    /// Entry `index`, if its key is in the range.
    fn item(&self, media: &impl Pmem, index: u16) -> Result<Option<Item<'a>>> {
        let mut index = index;
        let mut item = None;
        if let Some(extra) = &self.extra {
            match index.checked_sub(extra.at) {
                Some(nth) if nth < extra.count() => item = Some(Item::Extra(extra.get(nth))),
                Some(_) => index = index.saturating_sub(extra.count()),
                None => {}
            }
        }
        if item.is_none() {
            let mut head = self.a;
            if let Some(a) = &self.a {
                if index >= a.count {
                    index = index.saturating_sub(a.count);
                    head = self.b;
                }
            }
            let Some(head) = head else { return Ok(None) };
            item = Some(Item::Old(head, head.entry(media, index)?));
        }
        Ok(item.filter(|item| (self.from..self.to).contains(&item.key())))
    }
}

/// A node being written from its end to its start.
struct Sweep {
    block: u64,
    piece: [u8; PIECE as usize],
    /// Offset of `piece`.
    base: u16,
    /// Everything from here on is written, or in `piece`.
    offset: u16,
    sum: u64,
}

impl Sweep {
    fn new(block: u64) -> Self {
        Sweep { block, piece: [0; PIECE as usize], base: END.saturating_sub(PIECE), offset: END, sum: 0 }
    }

    fn store<M: Machine>(&mut self, change: &mut Change<'_, '_, M>) -> Result {
        self.sum = self.sum.wrapping_add(node::sum_of(self.base, &self.piece));
        change.store_fresh(node::at(self.block, self.base), &self.piece)?;
        self.piece.fill(0);
        self.base = self.base.saturating_sub(PIECE);
        Ok(())
    }

    /// Puts `bytes` before what is there. Never reaches into the header.
    fn push<M: Machine>(&mut self, change: &mut Change<'_, '_, M>, bytes: &[u8]) -> Result {
        if self.offset.saturating_sub(HEADER) < bytes.len() as u16 {
            return node::corrupt(self.block, "entries that do not fit a node");
        }
        let mut rest = bytes;
        while !rest.is_empty() {
            let now = rest.len().min(usize::from(self.offset.saturating_sub(self.base)));
            let (before, piece) = rest.split_at_checked(rest.len().saturating_sub(now)).unwrap_or_default();
            self.offset = self.offset.saturating_sub(now as u16);
            let start = usize::from(self.offset.saturating_sub(self.base));
            if let Some(target) = self.piece.get_mut(start..start.saturating_add(now)) {
                target.copy_from_slice(piece);
            }
            rest = before;
            if self.offset == self.base {
                self.store(change)?;
            }
        }
        Ok(())
    }

    /// Goes down to `offset`, over zeroes.
    fn skip<M: Machine>(&mut self, change: &mut Change<'_, '_, M>, offset: u16) -> Result {
        if offset > self.offset {
            return node::corrupt(self.block, "entries that do not fit a node");
        }
        while offset <= self.base && self.base > 0 {
            self.store(change)?;
        }
        self.offset = offset;
        Ok(())
    }

    /// Stores the first piece with the header.
    fn finish<M: Machine>(mut self, change: &mut Change<'_, '_, M>, mut head: Head, owner: Owner) -> Result {
        let geometry = *change.geometry();
        head.block = self.block;
        for sum in [false, true] {
            head.sum = if sum { self.sum.wrapping_add(node::sum_of(0, &self.piece)) } else { 0 };
            let node = head.format(&geometry, owner);
            if let Some(target) = self.piece.get_mut(..usize::from(HEADER)) {
                target.copy_from_slice(node.as_bytes());
            }
        }
        change.store_fresh(node::at(self.block, 0), &self.piece)
    }
}

impl Tree {
    /// Stores a fresh leaf, returns its block and the number of its entries.
    pub(super) fn build_leaf<M: Machine>(
        &mut self,
        change: &mut Change<'_, '_, M>,
        source: &Source<'_>,
    ) -> Result<(u64, u16)> {
        let block = self.fresh(change)?;
        let mut sweep = Sweep::new(block);
        let mut count = 0u16;
        for index in 0..source.len() {
            if let Some(item) = source.item(change, index)? {
                push_entry(change, &mut sweep, &item)?;
                count = count.saturating_add(1);
            }
        }
        let heap = sweep.offset;
        sweep.skip(change, HEADER.saturating_add(count.saturating_mul(SLOT)))?;
        let mut offset = heap;
        for index in (0..source.len()).rev() {
            if let Some(item) = source.item(change, index)? {
                let fingerprint = self.order.fingerprint(item.key());
                let slot = LeafSlot { fingerprint: fingerprint.into(), offset: offset.into() };
                sweep.push(change, slot.as_bytes())?;
                offset = offset.saturating_add(item.len());
            }
        }
        let head = Head { block, level: 0, order: self.order, count, heap, garbage: 0, sum: 0 };
        sweep.finish(change, head, self.owner)?;
        Ok((block, count))
    }

    /// Stores a fresh inner node with the children that `child` gives for 0..count, returns its block.
    pub(super) fn build_inner<M: Machine>(
        &mut self,
        change: &mut Change<'_, '_, M>,
        level: u8,
        count: u16,
        mut child: impl FnMut(&Change<'_, '_, M>, u16) -> Result<(u64, u64)>,
    ) -> Result<u64> {
        let block = self.fresh(change)?;
        let mut sweep = Sweep::new(block);
        let mut garbage = 0u16;
        sweep.skip(change, HEADER.saturating_add(count.saturating_mul(CHILD)))?;
        for index in (0..count).rev() {
            let (key, child) = child(change, index)?;
            garbage = garbage.saturating_add(u16::from(child == 0));
            let child = Child { key: key.into(), block: child.into() };
            sweep.push(change, child.as_bytes())?;
        }
        let head = Head { block, level, order: self.order, count, heap: END, garbage, sum: 0 };
        sweep.finish(change, head, self.owner)?;
        Ok(block)
    }

    /// Reserves the block of a fresh node.
    fn fresh<M: Machine>(&mut self, change: &mut Change<'_, '_, M>) -> Result<u64> {
        let block = change.node(self.root)?;
        self.nodes = self.nodes.saturating_add(1);
        Ok(block)
    }

    /// Frees a node that the record under way no longer links.
    pub(super) fn discard<M: Machine>(&mut self, change: &mut Change<'_, '_, M>, block: u64) -> Result {
        self.nodes = self.nodes.saturating_sub(1);
        change.free_node(block)
    }
}

/// Copies an entry, in pieces from its end.
fn push_entry<M: Machine>(change: &mut Change<'_, '_, M>, sweep: &mut Sweep, item: &Item<'_>) -> Result {
    let (head, entry) = match item {
        Item::Extra(bytes) => return sweep.push(change, bytes),
        Item::Old(head, entry) => (head, entry),
    };
    let mut buffer = [0u8; PIECE as usize];
    let mut rest = entry.len;
    while rest > 0 {
        let now = rest.min(PIECE);
        rest = rest.saturating_sub(now);
        let Some(piece) = buffer.get_mut(..usize::from(now)) else { break };
        change.read_bytes(node::at(head.block, entry.offset.saturating_add(rest)), piece)?;
        sweep.push(change, piece)?;
    }
    Ok(())
}
