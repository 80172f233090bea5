// SPDX-License-Identifier: GPL-2.0

//! Layer fs: attributes, and the targets of symbolic links.

use kernel::prelude::*;

use super::gate::Gate;
use super::inode::{self, media_time, Inode, Locked};
use super::map;
use super::mount::Pfnfs;
use crate::linux::vfs::attr::{self, Change, Extra, Link, Moved, Operations, When};
use crate::linux::vfs::{self, Ops};
use crate::media::BLOCK;
use crate::meta::{self, ops};

/// The table of regular and special files.
pub(super) const TABLE: Ops<vfs::InodeTable, Pfnfs> = attr::table::<Attributes>();
/// The table of symbolic links.
pub(super) const LINK_TABLE: Ops<vfs::InodeTable, Pfnfs> = attr::link_table::<Attributes>();

/// What every inode has.
pub(super) struct Attributes;

impl Operations for Attributes {
    type Fs = Pfnfs;

    fn getattr(i: &Inode) -> Result<Extra> {
        let guard = inode::share(i);
        let live = guard.get()?;
        Ok(Extra { allocated: live.blocks().saturating_mul(BLOCK), born: inode::time(live.btime()) })
    }

    fn setattr(i: &Locked<'_>, change: &Change<'_>) -> Result {
        let mounted = i.sb().data();
        let store = Gate::try_storing(i.sb())?;
        if let Some(size) = change.size() {
            map::set_size(i, &store, size)?;
            if !beyond_size(change) {
                return Ok(());
            }
        }
        let mut guard = inode::alone(i);
        // The clock is read under the lock: so times never go back.
        let now = i.now();
        let live = guard.get()?;
        let set = ops::SetAttr {
            mode: change.mode(),
            uid: change.uid(),
            gid: change.gid(),
            atime: change.atime().map(|t| media_time(t.or(now))),
            mtime: change.mtime().map(|t| media_time(t.or(now))),
            ctime: change.ctime().map(|t| match t {
                When::Now => media_time(now),
                When::At(t) => media_time(t.min(now).max(inode::time(live.ctime()))),
            }),
        };
        let set = ops::set_attr(store.volume(), live, &set);
        set.map_err(|e| mounted.fail(i.ino(), e))?.reply();
        Ok(())
    }

    fn update_time(i: &Inode, which: Moved) -> Result {
        inode::update_time(i, which)
    }
}

/// Whether anything else is to be changed than a record of the size does, which makes mtime and ctime the present.
fn beyond_size(change: &Change<'_>) -> bool {
    let given = |t| matches!(t, Some(When::At(_)));
    let owner = change.uid().or(change.gid());
    change.mode().is_some() || owner.is_some() || change.atime().is_some() || given(change.mtime())
}

impl Link for Attributes {
    fn target(i: &Inode) -> Result<KVec<u8>> {
        let mounted = i.sb().data();
        // It never changes.
        let live = inode::share(i).get()?.clone();
        let size = live.size().min(meta::inode::SYMLINK_MAX as u64) as usize;
        // Room for the zero that the VFS wants behind it.
        let mut target = KVec::with_capacity(size + 1, GFP_KERNEL)?;
        target.resize(size, 0, GFP_KERNEL)?;
        let n = mounted.gate().target(&live, &mut target).map_err(|e| mounted.fail(i.ino(), e))?;
        target.truncate(n);
        Ok(target)
    }
}
