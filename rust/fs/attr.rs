// SPDX-License-Identifier: GPL-2.0

//! Layer fs: attributes, and the targets of symbolic links.

use kernel::prelude::*;

use super::gate::Gate;
use super::inode::{self, media_time, Inode, Locked};
use super::map;
use super::mount::Pfnfs;
use crate::linux::vfs::attr::{self, Change, Extra, Link, Operations};
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
        let now = change.ctime().unwrap_or(i.now());
        if let Some(size) = change.size() {
            map::set_size(i, &store, size, change.mtime().unwrap_or(now))?;
        }
        let set = ops::SetAttr {
            mode: change.mode(),
            uid: change.uid(),
            gid: change.gid(),
            atime: change.atime().map(media_time),
            mtime: change.mtime().map(media_time),
            ctime: change.ctime().map(media_time),
        };
        if change.size().is_some() && set.mode.is_none() && set.uid.is_none() && set.gid.is_none() {
            // The size's record has set the times.
            return Ok(());
        }
        let mut guard = inode::alone(i);
        let set = ops::set_attr(store.volume(), guard.get()?, &set);
        set.map_err(|e| mounted.fail(i.ino(), e))?.reply();
        Ok(())
    }
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
