// SPDX-License-Identifier: GPL-2.0

//! Whether the volume had a reason to refuse an operation. One that is refused without is as wrong as one that fails.

use pfnfs_core::media::{format, Error, BLOCK};
use pfnfs_core::meta::extent::{self, Extent};
use pfnfs_core::meta::Machine;

use super::driver::Driver;
use super::model::Kind;
use super::op::Op;

/// With more free blocks than this there is space for whatever one record of an operation takes: nodes of a tree of three
/// levels that splits all the way up.
pub(super) const ROOM: u64 = 10;
/// Inodes of a chunk of the inode table.
const CHUNK: u64 = 240;

impl<M: Machine + Clone> Driver<M> {
    /// `Err` if there was no reason to refuse `op`, which has left the names in the model as they were. `alone`: nobody else had
    /// blocks or numbers reserved meanwhile.
    pub fn refused(&self, op: &Op, error: Error, alone: bool) -> Result<(), String> {
        let right = match error {
            Error::NoSpace | Error::NoInodes if !alone => true,
            Error::NoSpace => self.is_full(op),
            Error::NoInodes => self.volume.space().free_inodes == 0,
            other => self.by_names(op, other),
        };
        right.then_some(()).ok_or_else(|| format!("{op:?} was refused without reason: {error:?}"))
    }

    /// Whether there may be no space for this.
    fn is_full(&self, op: &Op) -> bool {
        let space = self.volume.space();
        let makes = matches!(op, Op::Create(..) | Op::Mkdir(..) | Op::Symlink(..) | Op::Fifo(..) | Op::Tmpfile(_));
        // A chunk takes 16 blocks in a row.
        let grows = makes && (space.inodes - space.free_inodes) % CHUNK == 0;
        let takes = match op {
            Op::Truncate(..) | Op::Unlink(..) | Op::UnlinkOpen(..) => false,
            // What is there is zeroed in its place.
            Op::Zero(ino, bytes) => self.has_hole(*ino, bytes.start / BLOCK, bytes.end.div_ceil(BLOCK)),
            _ => true,
        };
        takes && (space.free <= ROOM || grows)
    }

    /// Whether the log has no sequence number left, which this error is for.
    pub fn is_at_the_end(&self, error: Error) -> bool {
        error == Error::ReadOnly && self.volume.backlog().cut >= format::SEQ_END
    }

    /// Whether a range of a file's blocks has a hole.
    fn has_hole(&self, ino: u64, from: u64, to: u64) -> bool {
        let mut at = from;
        while at < to {
            match extent::find(&self.volume, &self.lives[&ino], at) {
                Ok(Extent::Data { len, .. }) => at += u64::from(len),
                _ => return true,
            }
        }
        false
    }

    /// Whether names, and what they are names of, are a reason.
    fn by_names(&self, op: &Op, error: Error) -> bool {
        if self.is_at_the_end(error) {
            return true;
        }
        let model = &self.model;
        let known = |dir: &u64, name: &[u8]| model.entries(*dir).get(name).copied();
        let entries = |ino: u64| match &model.nodes[&ino].kind {
            Kind::Dir { entries, .. } => Some(entries.len()),
            _ => None,
        };
        match (op, error) {
            (Op::Create(dir, name) | Op::Mkdir(dir, name), Error::Exists)
            | (Op::Symlink(dir, name, _) | Op::Fifo(dir, name) | Op::Link(dir, name, _), Error::Exists) => {
                known(dir, name).is_some()
            }
            (Op::Link(_, _, target), Error::IsDir) => entries(*target).is_some(),
            (Op::Unlink(dir, name) | Op::UnlinkOpen(dir, name), Error::NotFound) => known(dir, name).is_none(),
            (Op::Unlink(dir, name) | Op::UnlinkOpen(dir, name), Error::NotEmpty) => {
                known(dir, name).and_then(entries).is_some_and(|entries| entries > 0)
            }
            (Op::Rename(from, name, to, other), error) => {
                let (moved, victim) = (known(from, name), known(to, other));
                let Some(moved) = moved else { return error == Error::NotFound };
                let dirs = victim.map(|victim| (entries(moved).is_some(), entries(victim)));
                match error {
                    Error::Invalid(_) => {
                        victim == Some(moved) || entries(moved).is_some() && model.is_below(*to, moved)
                    }
                    Error::IsDir => matches!(dirs, Some((false, Some(_)))),
                    Error::NotDir => matches!(dirs, Some((true, None))),
                    Error::NotEmpty => matches!(dirs, Some((_, Some(entries))) if entries > 0) || victim == Some(*from),
                    _ => false,
                }
            }
            (Op::MapStore(ino, pos, ..), Error::Invalid(_)) => {
                *pos >= (model.data(*ino).len() as u64).next_multiple_of(4096)
            }
            _ => false,
        }
    }
}
