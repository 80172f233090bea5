// SPDX-License-Identifier: GPL-2.0

//! Layer fs: inodes, from the media to the VFS and back. [`State`] is our part of an inode: the core's copy under the
//! `meta` lock, and the cache of mapped pages.
//!
//! The core's copy is the true one, times included; the VFS's follows it when [`Alone`] is let go, and nothing else sets it. (See
//! "Two copies" in Documentation/locking.rst.)
//!
//! An inode number is free for others only when its eviction is over, and the VFS makes whoever looks for the number
//! wait for that; so at most one [`State`] stands for it. After the eviction of an inode without links the core may keep it for
//! a while before it frees it; nobody finds it then.

use kernel::prelude::*;
use kernel::sync::aref::ARef;

use super::error::errno;
use super::gate::{Gate, Storing};
use super::machine::Machine;
use super::mount::{Mounted, Pfnfs};
use super::{attr, dir, file, map, namei, tidy};
use crate::dax;
use crate::linux::rwsem::{new_rwsem, ReadGuard, RwSem, WriteGuard};
use crate::linux::vfs::attr::Moved;
use crate::linux::vfs::inode::{Attr, Cached, Cleared, Evicting, Kind, NewInode, Time};
use crate::linux::vfs::sb::Super;
use crate::linux::vfs::spare::Filled;
use crate::linux::warn::warn;
use crate::linux::{nofs, vfs};
use crate::media::format;
use crate::meta::alloc::Number;
use crate::meta::inode::{self, Live, Orphan};
use crate::meta::ops;

/// An inode of ours.
pub(super) type Inode = vfs::Inode<Pfnfs>;
/// An inode of ours whose `i_rwsem` is held for writing.
pub(super) type Locked<'a> = vfs::inode::Locked<'a, Pfnfs>;

/// How the `meta` lock of an inode that is being evicted is told from others: nobody else can have it,
/// so memory that is allocated inside of others may be made free by evictions.
const EVICTED: u32 = 7;

/// Our part of an inode.
#[pin_data]
pub(crate) struct State {
    /// The core's copy; `None` until it is read, and again when it is gone. This is the `meta` lock.
    #[pin]
    live: RwSem<Option<Live>>,
    /// Pages in the mapping.
    #[pin]
    pub(super) cache: dax::Cache,
}

impl State {
    pub(super) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            live <- new_rwsem!(None, c"pfnfs_meta"),
            cache <- dax::Cache::new(),
        })
    }
}

/// Shares the core's copy of an inode.
pub(super) struct Shared<'a>(ReadGuard<'a, Option<Live>>);

impl Shared<'_> {
    /// The copy. `EIO`: the inode could not be read, or is gone.
    pub(super) fn get(&self) -> Result<&Live> {
        self.0.as_ref().ok_or(EIO)
    }
}

/// Has the core's copy of an inode alone. What is allocated meanwhile frees no inode, which would need such a lock. When it is
/// let go, the VFS's copy is brought up to date, whatever was done, and whether it succeeded.
pub(super) struct Alone<'a> {
    inode: &'a Inode,
    live: WriteGuard<'a, Option<Live>>,
    #[allow(dead_code, reason = "held, not read")]
    nofs: nofs::Scope,
}

impl<'a> Alone<'a> {
    fn new(inode: &'a Inode, live: WriteGuard<'a, Option<Live>>) -> Self {
        let alone = Self { inode, live, nofs: nofs::Scope::enter() };
        alone.check();
        alone
    }

    /// The copy. `EIO`: the inode could not be read, or is gone.
    pub(super) fn get(&mut self) -> Result<&mut Live> {
        self.live.as_mut().ok_or(EIO)
    }

    /// In a debug build: nobody has set the VFS's copy but us.
    fn check(&self) {
        if !cfg!(debug_assertions) {
            return;
        }
        let Some(live) = &*self.live else { return };
        let (ours, theirs) = (attributes(live), self.inode.attr());
        if ours != theirs {
            pr_err!("inode {}: {theirs:?} in the VFS's copy, {ours:?} in ours\n", self.inode.ino());
            warn();
        }
    }
}

impl Drop for Alone<'_> {
    fn drop(&mut self) {
        let Some(live) = &*self.live else { return };
        if live.is_touched() {
            // First: who sees the times and calls `fsync` finds the inode dirty.
            self.inode.mark_times();
        }
        self.inode.set_attr(&attributes(live));
    }
}

/// Takes the `meta` lock for reading.
pub(super) fn share(i: &Inode) -> Shared<'_> {
    Shared(i.data().live.read())
}

/// Takes the `meta` lock for writing.
pub(super) fn alone(i: &Inode) -> Alone<'_> {
    Alone::new(i, i.data().live.write())
}

/// Takes the `meta` locks of several inodes for writing, in the order of their numbers. An inode that is named twice
/// is locked in its first place.
pub(super) fn alone_all<'a, const N: usize>(inodes: [Option<&'a Inode>; N]) -> [Option<Alone<'a>>; N] {
    let mut guards = [const { None }; N];
    let mut last = None;
    for depth in 0..N as u32 {
        let next = inodes
            .iter()
            .enumerate()
            .filter_map(|(at, i)| i.map(|i| (i.ino(), at)))
            .filter(|&(ino, _)| last.is_none_or(|last| ino > last))
            .min();
        let Some((ino, at)) = next else { break };
        last = Some(ino);
        if let (Some(guard), Some(Some(inode))) = (guards.get_mut(at), inodes.get(at)) {
            *guard = Some(Alone::new(inode, inode.data().live.write_nested(depth)));
        }
    }
    guards
}

/// From the media's form.
pub(super) fn time(t: format::Time) -> Time {
    Time { sec: t.sec.get(), nsec: t.nsec.get() }
}

/// To the media's form.
pub(super) fn media_time(t: Time) -> format::Time {
    format::Time { sec: t.sec.into(), nsec: t.nsec.into() }
}

/// What the VFS is to know of an inode.
fn attributes(live: &Live) -> Attr {
    Attr {
        mode: live.mode(),
        uid: live.uid(),
        gid: live.gid(),
        links: live.nlink(),
        size: live.size(),
        generation: live.generation(),
        atime: time(live.atime()),
        mtime: time(live.mtime()),
        ctime: time(live.ctime()),
    }
}

/// Fills a new inode with what the core knows of it.
pub(super) fn fill(new: NewInode<Pfnfs>, live: Live) -> Filled<Pfnfs> {
    let kind = match live.mode() & inode::S_IFMT {
        inode::S_IFDIR => Kind::Directory(namei::TABLE, dir::TABLE),
        inode::S_IFREG => Kind::Regular(attr::TABLE, file::TABLE, map::table()),
        inode::S_IFLNK => Kind::Symlink(attr::LINK_TABLE),
        _ => Kind::Special(attr::TABLE, vfs::inode::decode_dev(live.rdev())),
    };
    let attr = attributes(&live);
    *new.data().live.write() = Some(live);
    new.init(&attr, kind)
}

/// The inode with this number, and this generation if one is given. `ENOENT`: there is none, or one that has no links, and
/// nobody who uses it.
pub(super) fn get(sb: &Super<Pfnfs>, ino: u64, generation: Option<u32>) -> Result<ARef<Inode>> {
    let mounted = sb.data();
    let new = loop {
        match sb.iget(ino)? {
            // Somebody failed to read it, and it is out of the hash: what he met is not our error, which may be another.
            Cached::Live(i) if i.is_bad() => {}
            Cached::Live(i) if generation.is_some_and(|g| g != i.generation()) => return Err(ENOENT),
            Cached::Live(i) => return Ok(i),
            Cached::New(new) => break new,
        }
    };
    let mut live = mounted.gate().find(ino, generation).map_err(|e| mounted.fail(ino, e))?;
    // An interrupted truncation is finished before anybody sees the file.
    if live.orphan() == Orphan::Truncating {
        // Where nothing may be stored its size is right already, and what is beyond is not seen.
        if let Ok(store) = Gate::try_storing(sb) {
            let done = ops::finish_truncate(store.volume(), &mut live);
            done.map_err(|e| mounted.fail(ino, e))?.reply();
        }
    }
    Ok(fill(new, live).unlock())
}

/// Finishes the interrupted truncation of an inode, which somebody may have in memory if the file system could not be written.
pub(super) fn finish(sb: &Super<Pfnfs>, ino: u64) -> Result {
    let i = get(sb, ino, None)?;
    let store = Gate::try_storing(sb)?;
    let mut guard = alone(&i);
    let live = guard.get()?;
    if live.orphan() == Orphan::Truncating {
        let done = ops::finish_truncate(store.volume(), live);
        done.map_err(|e| sb.data().fail(ino, e))?.reply();
    }
    Ok(())
}

/// The inode of a file that is going to be made, and its number. Who comes with a file handle for that number waits until it is
/// made, or given up, so that nobody reads the slot meanwhile. No `meta` lock is held: what had the number before is waited for.
pub(super) fn reserve<'a>(
    sb: &'a Super<Pfnfs>,
    store: &Storing<'a>,
    near: u64,
) -> Result<(NewInode<Pfnfs>, Number<'a, Machine>)> {
    let mounted = sb.data();
    let spare = sb.spare()?;
    let number = ops::number(store.volume(), near).map_err(|e| mounted.fail(near, e))?;
    let new = spare.insert(number.ino()).ok_or_else(|| mounted.taken(number.ino()))?;
    Ok((new, number))
}

/// The contents of a file have changed in place: its times are the present, and durable with the next record, or when the VFS
/// has them written.
pub(super) fn touch(l: &Locked<'_>) -> Result {
    let (seen, now) = (l.attr(), l.now());
    if (seen.mtime, seen.ctime) == (now, now) {
        // `i_rwsem` keeps those away who set others.
        return Ok(());
    }
    update_time(l, Moved::Change)
}

/// The VFS wants these times to be the present.
pub(super) fn update_time(i: &Inode, which: Moved) -> Result {
    let mut guard = alone(i);
    let live = guard.get()?;
    // The clock is read under the lock: so times never go back.
    let now = media_time(i.now());
    match which {
        Moved::Access => live.accessed(now),
        Moved::Change => live.touch(now),
    }
    .map_err(errno)
}

/// Makes the times durable that no record has. Nothing is done for an inode that is about to be freed.
pub(super) fn write(i: &Inode) -> Result {
    let mounted = i.sb().data();
    if i.is_bad() || i.links() == 0 || i.sb().read_only() {
        return Ok(());
    }
    let store = Gate::try_storing(i.sb())?;
    let mut guard = alone(i);
    let live = guard.get()?;
    if live.is_touched() {
        let set = ops::set_attr(store.volume(), live, &ops::SetAttr::default());
        set.map_err(|e| mounted.fail(i.ino(), e))?.reply();
    }
    Ok(())
}

/// In a debug build: times that stat(2) has shown do not go with an inode that stays.
fn check_written(mounted: &Mounted, live: &Live, sb: &Super<Pfnfs>) {
    let lost = live.is_touched() && live.nlink() > 0;
    if cfg!(debug_assertions) && lost && !sb.read_only() && mounted.gate().changeable().is_ok() {
        pr_err!("inode {}: evicted with times that are not durable\n", live.ino());
        warn();
    }
}

/// The last reference is gone: the mapping is emptied; what a file without a name occupied is freed.
pub(super) fn evict(e: Evicting<'_, Pfnfs>) -> Cleared<'_, Pfnfs> {
    let (i, orphan) = (e.inode(), e.is_orphan());
    let mounted = i.sb().data();
    map::empty(&e, !orphan);
    let cleared = e.clear();
    let live = i.data().live.write_nested(EVICTED).take();
    if let Some(live) = &live {
        check_written(mounted, live, i.sb());
    }
    if let (true, Some(live)) = (orphan, live) {
        match Gate::try_storing(i.sb()) {
            Ok(store) => {
                if let Err(e) = ops::evict(store.volume(), live) {
                    // What is left is freed at the next mount.
                    let _ = mounted.fail(i.ino(), e);
                }
            }
            Err(e) if e == EAGAIN => tidy::evict_later(mounted, i.ino()),
            Err(_) => (),
        }
    }
    cleared
}
