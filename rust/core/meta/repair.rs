// SPDX-License-Identifier: GPL-2.0

//! Repairs what a walk found, for fsck: each [`Fix`] is one logged record or a few, so that a power cut leaves the volume as it
//! was before, or repaired. What is already as it should be stays so: a repair looks again first.
//!
//! Repairs come in the order of their ranks, with a walk between: up to `Space` they take no block, as the bitmaps may lie.
//! `objects` has inodes and trees, `names` directories, `space` blocks, `ground` what lies below all that. The volume is used by
//! nobody else.

pub mod ground;
mod names;
mod objects;
mod space;

use super::change::Change;
use super::dir::Scratch as Keys;
use super::inode::{self, Live};
use super::log::Stage;
use super::walk::Fix;
use super::{Machine, Volume};
use crate::media::format::{Inode, Time};
use crate::media::{Error, Result};

/// A repair under way.
struct Repair<'a, M: Machine> {
    volume: &'a Volume<M>,
    keys: &'a mut Keys,
    now: Time,
}

/// Does a repair. `now` is the time of what has to be made for it.
///
/// # Errors
///
/// `Invalid` if it cannot be repaired; `NoSpace`, `NoInodes`; `Corrupt` and `Poison` if something else that it needs is damaged.
/// What `Super`, `Slots` and `Log` ask for was done by [`ground::superblock`] or when the volume was opened for writing.
pub fn apply<M: Machine>(volume: &Volume<M>, fix: &Fix, keys: &mut Keys, now: Time) -> Result {
    let mut repair = Repair { volume, keys, now };
    match *fix {
        Fix::None => Err(Error::Invalid("no repair")),
        Fix::Super(_) | Fix::Slots | Fix::Log => Ok(()),
        Fix::Table => repair.table(),
        Fix::Chunk(index) => repair.chunk(index),
        Fix::Inode(ino) => repair.inode(ino),
        Fix::Free(ino) => repair.free(ino),
        Fix::Use(ino) => repair.bury(ino),
        Fix::Node(ino, link) => repair.cut(ino, &link),
        Fix::Head(ino, link) => repair.head(ino, &link),
        Fix::Leaf(ino, link) => repair.leaf(ino, &link),
        Fix::Inner(ino, link) => repair.inner(ino, &link),
        Fix::Sum(ino, link) => repair.sum(ino, &link),
        Fix::Inline(ino) => repair.inline(ino),
        Fix::Extent(ino, file_block) => repair.extent(ino, file_block),
        Fix::Drop(dir, pos) => repair.drop_entry(dir, pos),
        Fix::Kind(dir, pos) => repair.kind(dir, pos),
        Fix::Parent(dir, pos) => repair.parent(dir, pos),
        Fix::Mark(ino) => repair.mark(ino),
        Fix::Bits(block, count, set) => repair.bits(block, count, set),
        Fix::Links(ino, links) => repair.links(ino, links),
        Fix::Size(ino, size) => repair.edit(ino, |_, raw| {
            raw.size = size.into();
            Ok(())
        }),
        Fix::Blocks(ino, blocks) => repair.edit(ino, |_, raw| {
            raw.blocks = blocks.into();
            Ok(())
        }),
        Fix::Copy(ino, file_block, count) => repair.copy(ino, file_block, count),
        Fix::Hole(ino, file_block, count) => repair.hole(ino, file_block, count),
        Fix::Connect(ino) => repair.connect(ino),
        Fix::Rehash(dir, pos) => repair.rehash(dir, pos),
    }
}

impl<'a, M: Machine> Repair<'a, M> {
    fn load(&self, ino: u64) -> Result<Live> {
        inode::load(self.volume, ino, None)
    }

    /// Changes an inode, and whatever else in the same record.
    fn edit(&self, ino: u64, f: impl FnOnce(&mut Change<'a, '_, M>, &mut Inode) -> Result) -> Result {
        let live = self.load(ino)?;
        let mut raw = live.raw;
        let mut stage = Stage::new();
        let mut change = Change::new(self.volume, &mut stage);
        f(&mut change, &mut raw)?;
        inode::stage(&mut change, &live, &mut raw)?;
        change.commit(()).map(|durable| durable.reply())
    }
}
