// SPDX-License-Identifier: GPL-2.0

//! Layer: dax. The mappings of a volume that have entries, or had: what its device has to look through when memory fails, and
//! to wait for before it goes.
//!
//! A mapping is listed before its first entry, and stays until an eviction has taken out the last one. So those are in it
//! whose inodes are being evicted and that nobody can reference any more, and none that is not set up yet.

use kernel::new_mutex;
use kernel::prelude::*;
use kernel::rbtree::{RBTree, RBTreeNodeReservation};
use kernel::sync::{Arc, Mutex};

use crate::linux::mm::link::Link;
use crate::linux::mm::Mapping;

struct List {
    /// The device goes: nothing is listed any more.
    closed: bool,
    /// By the numbers of the inodes.
    links: RBTree<u64, Arc<Link>>,
}

/// The list of one volume. Its lock is a leaf; nothing is allocated under it, since evictions take it.
#[pin_data]
pub(crate) struct Mappings {
    #[pin]
    list: Mutex<List>,
}

impl Mappings {
    /// An empty list.
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self { list <- new_mutex!(List { closed: false, links: RBTree::new() }, "pfnfs_mappings") })
    }

    /// Lists a mapping that is about to get entries. Its populate lock is held. `EIO`: the device goes.
    pub(super) fn enter(&self, mapping: &Mapping) -> Result {
        if mapping.link().is_some() {
            // Also if it was refused below: nothing is inserted then any more.
            return Ok(());
        }
        let room = RBTreeNodeReservation::new(GFP_KERNEL)?;
        let link = mapping.make_link()?;
        let mut list = self.list.lock();
        if list.closed {
            return Err(EIO);
        }
        list.links.insert(room.into_node(mapping.ino(), link));
        Ok(())
    }

    /// An eviction has taken out the last entry.
    pub(super) fn leave(&self, mapping: &Mapping) {
        if mapping.link().is_some() {
            let node = self.list.lock().links.remove_node(&mapping.ino());
            drop(node);
        }
    }

    /// Lists nothing more. Who has been listed before is seen by whoever looks from now on.
    pub(super) fn close(&self) {
        self.list.lock().closed = true;
    }

    /// Calls `f` for each mapping that is not being evicted, one after the other, under no lock of ours that anybody else
    /// waits for than an eviction of that inode: `f` must not wait for a user. Says whether there was no other.
    pub(crate) fn for_each(&self, mut f: impl FnMut(&Mapping)) -> bool {
        let (mut from, mut all) = (0, true);
        while let Some((ino, link)) = self.next(from) {
            all &= link.with(&mut f).is_some();
            from = ino.saturating_add(1);
        }
        all
    }

    fn next(&self, from: u64) -> Option<(u64, Arc<Link>)> {
        let list = self.list.lock();
        let cursor = list.links.cursor_lower_bound(&from)?;
        let (ino, link) = cursor.current();
        Some((*ino, link.clone()))
    }
}
