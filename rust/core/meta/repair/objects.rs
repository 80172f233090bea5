// SPDX-License-Identifier: GPL-2.0

//! Repairs of inodes and trees, each by itself. None needs a free block; what is cut off keeps its bits until the bitmaps are
//! compared again.

use zerocopy::FromZeros;

use super::Repair;
use crate::media::format::{self, Inode};
use crate::media::{Error, Pmem, Result};
use crate::meta::change::Change;
use crate::meta::inode::{self, Live, S_IFDIR};
use crate::meta::log::Stage;
use crate::meta::tree::Link;
use crate::meta::walk::contents;
use crate::meta::{extent, Machine};

impl<M: Machine> Repair<'_, M> {
    /// Corrects what an inode cannot have, or frees it if it is none.
    pub(super) fn inode(&mut self, ino: u64) -> Result {
        let at = self.volume.inode_at(ino)?;
        let geometry = self.volume.geometry();
        let root = ino == geometry.root();
        let raw = match self.volume.media().read::<Inode>(at) {
            Err(_) if !root => return self.free(ino),
            raw => raw.unwrap_or_else(|_| Inode::new_zeroed()),
        };
        let mut new = match inode::mend(geometry, &raw, ino) {
            Some(new) if !root => new,
            Some(mut new) if new.mode.get() & inode::S_IFMT == S_IFDIR => {
                new.parent = ino.into();
                new.orphan = format::ORPHAN_NONE;
                new.nlink = new.nlink.get().max(2).into();
                new
            }
            None if !root => return self.free(ino),
            _ => self.empty_root(ino, &raw),
        };
        let mut stage = Stage::new();
        let mut change = Change::new(self.volume, &mut stage);
        if root {
            let used = self.volume.used_at(ino)?;
            change.record().set_bits(used, (ino % format::CHUNK_INODES) as u32, 1)?;
            change.record().orphan(ino, false)?;
        }
        inode::stage(&mut change, &Live::new(at, raw), &mut new)?;
        change.commit(()).map(|durable| durable.reply())
    }

    /// A root directory without entries.
    fn empty_root(&self, ino: u64, before: &Inode) -> Inode {
        let mut raw = Inode::new_zeroed();
        raw.magic = format::INODE_MAGIC.into();
        raw.ino = ino.into();
        raw.generation = before.generation.get().wrapping_add(1).into();
        raw.mode = (S_IFDIR | 0o755).into();
        raw.nlink = 2.into();
        raw.parent = ino.into();
        (raw.btime, raw.atime, raw.mtime, raw.ctime) = (self.now, self.now, self.now, self.now);
        raw
    }

    /// Frees an inode. What it had is lost, for the bitmaps to say.
    pub(super) fn free(&mut self, ino: u64) -> Result {
        if ino == self.volume.geometry().root() {
            return self.inode(ino);
        }
        let mut stage = Stage::new();
        let mut change = Change::new(self.volume, &mut stage);
        change.record().orphan(ino, false)?;
        let used = self.volume.used_at(ino)?;
        change.record().clear_bits(used, (ino % format::CHUNK_INODES) as u32, 1)?;
        if let Ok(live) = self.load(ino) {
            // As freed inodes look: one with links would be taken for one whose bit rotted.
            let mut raw = live.raw;
            raw.nlink = 0.into();
            raw.orphan = format::ORPHAN_UNLINKED;
            inode::stage(&mut change, &live, &mut raw)?;
        }
        change.commit(()).map(|durable| durable.reply())
    }

    /// Marks an inode as in use again.
    pub(super) fn bury(&mut self, ino: u64) -> Result {
        if !inode::buried(self.volume, ino) {
            return Err(Error::NotFound);
        }
        let mut stage = Stage::new();
        let mut change = Change::new(self.volume, &mut stage);
        let used = self.volume.used_at(ino)?;
        change.record().set_bits(used, (ino % format::CHUNK_INODES) as u32, 1)?;
        change.commit(()).map(|durable| durable.reply())
    }

    /// The mark of an orphan, as the inode says.
    pub(super) fn mark(&mut self, ino: u64) -> Result {
        let live = self.load(ino)?;
        let mut stage = Stage::new();
        let mut change = Change::new(self.volume, &mut stage);
        change.record().orphan(ino, live.raw.orphan != format::ORPHAN_NONE)?;
        change.commit(()).map(|durable| durable.reply())
    }

    /// The number of links. None makes an orphan, some make none.
    pub(super) fn links(&mut self, ino: u64, links: u32) -> Result {
        self.edit(ino, |change, raw| {
            raw.nlink = links.into();
            if links == 0 {
                raw.orphan = format::ORPHAN_UNLINKED;
                change.record().orphan(ino, true)?;
            } else if raw.orphan == format::ORPHAN_UNLINKED {
                raw.orphan = format::ORPHAN_NONE;
                change.record().orphan(ino, false)?;
            }
            Ok(())
        })
    }

    /// Takes a node off its parent, or its tree off the inode.
    pub(super) fn cut(&mut self, ino: u64, link: &Link) -> Result {
        self.edit(ino, |change, raw| {
            if link.parent != 0 {
                return inode::tree(raw).cut(change, link);
            }
            if raw.root.get() == link.block {
                raw.root = 0.into();
                raw.level = 0;
                raw.flags = (raw.flags.get() & !format::INODE_TREE).into();
            }
            Ok(())
        })
    }

    /// Writes anew what says which node it is.
    pub(super) fn head(&mut self, ino: u64, link: &Link) -> Result {
        self.edit(ino, |change, raw| inode::tree(raw).mend_head(change, link))
    }

    /// Takes entries out of a leaf that cannot be there; without any left the leaf goes.
    pub(super) fn leaf(&mut self, ino: u64, link: &Link) -> Result {
        let mut left = 0;
        self.edit(ino, |change, raw| {
            left = inode::tree(raw).mend_leaf(change, link, contents)?;
            Ok(())
        })?;
        if left == 0 {
            self.cut(ino, link)
        } else {
            Ok(())
        }
    }

    /// Counts the children of an inner node that are none.
    pub(super) fn inner(&mut self, ino: u64, link: &Link) -> Result {
        self.edit(ino, |change, raw| inode::tree(raw).mend_inner(change, link))
    }

    /// Calculates the sum of a node.
    pub(super) fn sum(&mut self, ino: u64, link: &Link) -> Result {
        self.edit(ino, |change, raw| inode::tree(raw).mend_sum(change, link))
    }

    /// Keeps the extents in an inode that can be, and are in order.
    pub(super) fn inline(&mut self, ino: u64) -> Result {
        self.edit(ino, |change, raw| {
            extent::mend_inline(change.geometry(), raw);
            Ok(())
        })
    }

    /// Takes out the extent that starts at a file block.
    pub(super) fn extent(&mut self, ino: u64, file_block: u64) -> Result {
        if !extent::in_tree(&self.load(ino)?.raw) {
            return self.inline(ino);
        }
        self.edit(ino, |change, raw| extent::remove(change, raw, file_block))
    }
}
