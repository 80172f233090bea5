// SPDX-License-Identifier: GPL-2.0

//! Layer fs: attributes, and the targets of symbolic links.

use kernel::prelude::*;

use super::gate::{Gate, Storing};
use super::inode::{self, media_time, Inode, Locked};
use super::map;
use super::mount::Pfnfs;
use crate::linux::vfs::attr::{self, Change, Extra, Link, Moved, Operations, When};
use crate::linux::vfs::inode::Time;
use crate::linux::vfs::{self, Ops};
use crate::media::BLOCK;
use crate::meta::inode::Live;
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
        let store = Gate::try_storing(i.sb())?;
        let (mode, uid, gid) = (change.mode(), change.uid(), change.gid());
        let Some(size) = change.size() else {
            let all = |now, live: &_| ops::SetAttr { mode, uid, gid, ..times(change, now, live) };
            return set(i, &store, all);
        };
        // A size has records of its own. No power cut leaves the contents changed with the right to
        // run them as somebody else still there.
        if mode.is_some() || uid.or(gid).is_some() {
            let whose = ops::SetAttr { mode, uid, gid, ..Default::default() };
            set(i, &store, |now, _| ops::SetAttr { ctime: Some(media_time(now)), ..whose })?;
        }
        map::set_size(i, &store, size)?;
        if change.atime().is_some() || matches!(change.mtime(), Some(When::At(_))) {
            set(i, &store, |now, live| times(change, now, live))?;
        }
        Ok(())
    }

    fn update_time(i: &Inode, which: Moved) -> Result {
        inode::update_time(i, which)
    }
}

/// The times that a change sets.
fn times(change: &Change<'_>, now: Time, live: &Live) -> ops::SetAttr {
    ops::SetAttr {
        atime: change.atime().map(|t| media_time(t.or(now))),
        mtime: change.mtime().map(|t| media_time(t.or(now))),
        ctime: change.ctime().map(|t| match t {
            When::Now => media_time(now),
            When::At(t) => media_time(t.min(now).max(inode::time(live.ctime()))),
        }),
        ..Default::default()
    }
}

/// One record: what `attr` says, given the clock, which is read under the lock so that times never
/// go back.
fn set(i: &Inode, store: &Storing<'_>, attr: impl FnOnce(Time, &Live) -> ops::SetAttr) -> Result {
    let mut guard = inode::alone(i);
    let now = i.now();
    let live = guard.get()?;
    let attr = attr(now, live);
    let set = ops::set_attr(store.volume(), live, &attr);
    set.map_err(|e| i.sb().data().fail(i.ino(), e))?.reply();
    Ok(())
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
