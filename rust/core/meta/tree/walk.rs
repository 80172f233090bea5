// SPDX-License-Identifier: GPL-2.0

//! Visits a whole tree and checks all that can be said of it: sums, levels, ranges, order, counts. Each node is given to the
//! visitor before what is below it; as the visitor refuses a node that it has seen before, the walk is bounded by the blocks
//! there are.

use super::node::{self, Head, Order, END};
use super::{Tree, KEY_END, LEVELS};
use crate::media::{Geometry, Pmem, Result};

/// An inner node on the way.
#[derive(Clone, Copy)]
struct Frame {
    head: Head,
    /// The child to visit next.
    next: u16,
    hi: u64,
}

impl Tree {
    /// Visits all nodes; calls `seen` with the block of each before it is read.
    pub(in crate::meta) fn walk<P: Pmem>(
        &self,
        media: &P,
        geometry: &Geometry,
        seen: &mut dyn FnMut(u64) -> Result,
    ) -> Result {
        if self.root == 0 {
            return Ok(());
        }
        if usize::from(self.level) >= LEVELS {
            return node::corrupt(self.root, "height of a tree");
        }
        let mut stack: [Option<Frame>; LEVELS] = [None; LEVELS];
        let mut depth = 0usize;
        let mut next = Some((self.root, self.level, 0, KEY_END));
        loop {
            if let Some((block, level, lo, hi)) = next.take() {
                seen(block)?;
                let head = self.head(media, geometry, block, level)?;
                head.verify(media)?;
                if level == 0 {
                    leaf(media, &head, lo, hi)?;
                } else {
                    children(media, &head, lo, hi)?;
                    if let Some(frame) = stack.get_mut(depth) {
                        *frame = Some(Frame { head, next: 0, hi });
                        depth = depth.saturating_add(1);
                    }
                }
            }
            let Some(above) = depth.checked_sub(1) else { return Ok(()) };
            let Some(Some(frame)) = stack.get_mut(above) else { return Ok(()) };
            if frame.next >= frame.head.count {
                depth = above;
                continue;
            }
            let (key, block) = frame.head.child(media, frame.next)?;
            frame.next = frame.next.saturating_add(1);
            let end = if frame.next < frame.head.count { frame.head.child(media, frame.next)?.0 } else { frame.hi };
            if block != 0 {
                next = Some((block, frame.head.level.saturating_sub(1), key, end));
            }
        }
    }
}

/// Checks an inner node: keys ascend within its range; those of empty ranges may repeat.
fn children(media: &impl Pmem, head: &Head, lo: u64, hi: u64) -> Result {
    let mut empty = 0u16;
    let mut last = lo;
    for index in 0..head.count {
        let (key, block) = head.child(media, index)?;
        let (next, _) =
            if index.saturating_add(1) < head.count { head.child(media, index.saturating_add(1))? } else { (hi, 0) };
        empty = empty.saturating_add(u16::from(block == 0));
        if key < last || key >= hi || index == 0 && key != lo || block != 0 && next <= key {
            return node::corrupt(head.block, "order of keys");
        }
        last = key;
    }
    if empty != head.garbage || empty >= head.count {
        return node::corrupt(head.block, "number of children");
    }
    Ok(())
}

/// Checks a leaf.
fn leaf(media: &impl Pmem, head: &Head, lo: u64, hi: u64) -> Result {
    let mut bytes = head.garbage;
    let mut least = lo;
    for index in 0..head.count {
        let entry = head.entry(media, index)?;
        if entry.key < least || entry.key >= hi {
            return node::corrupt(head.block, "order of keys");
        }
        if head.order == Order::Sorted {
            least = entry.key.saturating_add(1);
        }
        bytes = bytes.saturating_add(entry.len);
    }
    if head.count == 0 || bytes != END.saturating_sub(head.heap) {
        return node::corrupt(head.block, "bytes of a leaf");
    }
    Ok(())
}
