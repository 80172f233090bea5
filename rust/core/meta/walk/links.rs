// SPDX-License-Identifier: GPL-2.0

//! The second pass: what follows from all entries together. Links, marks of orphans, the way from each directory to the root;
//! and the extents of files.

use super::{Fix, Used, Walk};
use crate::media::Result;
use crate::meta::inode::{self, Live, Orphan};
use crate::meta::Machine;

/// Mark of a directory from which the root is reached.
const ROOTED: u32 = 1 << 31;

impl<M: Machine> Walk<'_, '_, M> {
    /// What the entries say of an inode, and its extents.
    pub(super) fn links(&mut self, used: &Used) -> Result {
        let live = &used.live;
        let count = self.scratch.links.get(live.ino() as usize).map_or(0, |links| *links & !ROOTED);
        let stale = used.marked != (live.orphan() != Orphan::None) && live.orphan() == Orphan::Unlinked && count == 0;
        if stale {
            // Unlinked, but not on the list of those to be freed: what is left of a freed one, or as good as that.
            return self.corrupt(live.at, "mark of an orphan", live.ino(), Fix::Free(live.ino()));
        }
        if used.marked != (live.orphan() != Orphan::None) {
            self.corrupt(live.at, "mark of an orphan", live.ino(), Fix::Mark(live.ino()))?;
        }
        if live.is_dir() {
            return self.dir_links(live, count);
        }
        self.file_links(live, count)?;
        if live.is_file() {
            self.extents(&live.raw, live.at, 0, false)?;
        }
        Ok(())
    }

    fn file_links(&mut self, live: &Live, count: u32) -> Result {
        let ino = live.ino();
        let unlinked = live.orphan() == Orphan::Unlinked;
        if count == live.nlink() && unlinked == (count == 0) || !self.complete {
            return Ok(());
        }
        if count == 0 && !unlinked {
            return self.corrupt(live.at, "inode without a name", ino, Fix::Connect(ino));
        }
        self.corrupt(live.at, "number of links", ino, Fix::Links(ino, count))
    }

    fn dir_links(&mut self, live: &Live, count: u32) -> Result {
        let root = self.volume.geometry().root();
        let expected = u32::from(live.ino() != root && live.orphan() == Orphan::None);
        // More than one was told with the entries.
        if count < expected && self.complete {
            return self.corrupt(live.at, "inode without a name", live.ino(), Fix::Connect(live.ino()));
        }
        if count > 0 && live.orphan() != Orphan::None {
            return self.corrupt(live.at, "number of links", live.ino(), Fix::Links(live.ino(), 2));
        }
        if expected > 0 && count > 0 && !self.rooted(live) {
            return self.corrupt(live.at, "directories in a circle", live.ino(), Fix::Connect(live.ino()));
        }
        Ok(())
    }

    /// Follows a directory's parents; false if they lead round and round. Those that lead to the root are marked, so that all
    /// ways together are short.
    fn rooted(&mut self, live: &Live) -> bool {
        let root = self.volume.geometry().root();
        for mark in [false, true] {
            let mut ino = live.ino();
            let mut left = self.scratch.links.len();
            while ino != root {
                let Some(links) = self.scratch.links.get_mut(ino as usize) else { break };
                if *links & ROOTED != 0 {
                    break;
                }
                if mark {
                    *links |= ROOTED;
                }
                let Some(rest) = left.checked_sub(1) else { return false };
                left = rest;
                // Where it ends nowhere, that is told with the inode there.
                let Ok(next) = inode::load(self.volume, ino, None) else { break };
                if !next.is_dir() {
                    break;
                }
                ino = next.parent();
            }
        }
        true
    }
}
