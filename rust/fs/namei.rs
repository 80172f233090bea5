// SPDX-License-Identifier: GPL-2.0

//! Layer fs: names. Each operation is one record of the core, durable when it returns; the VFS's copies of the inodes are brought
//! up to date when their `meta` locks are let go. The VFS holds `i_rwsem` of all that changes; the `meta` locks are taken here.

use kernel::prelude::*;

use super::attr::Attributes;
use super::gate::Gate;
use super::inode::{self, alone_all, media_time, Inode, Locked};
use super::machine::Machine;
use super::mount::Pfnfs;
use crate::linux::vfs::dentry::{Made, Negative, Spliced, Unhashed};
use crate::linux::vfs::dir::{self, Operations, Owner, Rename};
use crate::linux::vfs::spare::Filled;
use crate::linux::vfs::{self, Ops};
use crate::media::{self, format};
use crate::meta::inode::Live;
use crate::meta::ops::{self, What};
use crate::meta::{Durable, Volume};

/// A directory's table.
pub(super) const TABLE: Ops<vfs::InodeTable, Pfnfs> = dir::table::<Names, Attributes>();

/// The names in a directory.
struct Names;

/// Makes an inode with a name.
fn make(dir: &Locked<'_>, d: Negative<'_, Pfnfs>, new: &ops::New<'_>) -> Result<Made> {
    let mounted = dir.sb().data();
    let store = Gate::try_storing(dir.sb())?;
    let (inode, number) = inode::reserve(dir.sb(), &store, dir.ino())?;
    let live = {
        let mut guard = inode::alone(dir);
        let parent = guard.get()?;
        let live = ops::create_as(store.volume(), parent, d.name(), new, number);
        live.map_err(|e| mounted.fail(dir.ino(), e))?.reply()
    };
    Ok(d.instantiate_new(inode::fill(inode, live)))
}

fn new<'a>(dir: &Inode, o: Owner, what: What<'a>) -> ops::New<'a> {
    ops::New { mode: o.mode, uid: o.uid, gid: o.gid, now: media_time(dir.now()), what }
}

/// `ops::unlink` or `ops::rmdir`.
type Remove = fn(&Volume<Machine>, &mut Live, &[u8], &mut Live, format::Time) -> media::Result<Durable<()>>;

/// Takes a name away.
fn remove(dir: &Locked<'_>, name: &[u8], victim: &Locked<'_>, how: Remove) -> Result {
    let mounted = dir.sb().data();
    let store = Gate::try_storing(dir.sb())?;
    let [mut parent, mut child] = alone_all([Some(&**dir), Some(&**victim)]);
    let (Some(parent), Some(child)) = (&mut parent, &mut child) else { return Err(EINVAL) };
    let (parent, child) = (parent.get()?, child.get()?);
    let done = how(store.volume(), parent, name, child, media_time(dir.now()));
    done.map_err(|e| mounted.fail(dir.ino(), e))?.reply();
    Ok(())
}

#[vtable]
impl Operations for Names {
    type Fs = Pfnfs;

    fn lookup(dir: &Inode, d: Unhashed<'_, Pfnfs>) -> Result<Spliced> {
        let mounted = dir.sb().data();
        let found = {
            let guard = inode::share(dir);
            mounted.gate().lookup(guard.get()?, d.name()).map_err(|e| mounted.fail(dir.ino(), e))?
        };
        let inode = match found {
            None => None,
            Some(f) => match inode::get(dir.sb(), f.ino, None) {
                // A name for an inode that does not exist: the directory is wrong, not the caller.
                Err(ENOENT) => return Err(mounted.dangling(dir.ino(), f.ino)),
                other => Some(other?),
            },
        };
        Ok(d.splice(inode))
    }

    fn create(dir: &Locked<'_>, d: Negative<'_, Pfnfs>, o: Owner) -> Result<Made> {
        make(dir, d, &new(dir, o, What::File))
    }

    fn mknod(dir: &Locked<'_>, d: Negative<'_, Pfnfs>, o: Owner, rdev: u32) -> Result<Made> {
        make(dir, d, &new(dir, o, What::Node(vfs::inode::encode_dev(rdev))))
    }

    fn mkdir(dir: &Locked<'_>, d: Negative<'_, Pfnfs>, o: Owner) -> Result<Made> {
        make(dir, d, &new(dir, o, What::Dir))
    }

    fn symlink(dir: &Locked<'_>, d: Negative<'_, Pfnfs>, o: Owner, target: &[u8]) -> Result<Made> {
        make(dir, d, &new(dir, o, What::Symlink(target)))
    }

    fn tmpfile(dir: &Inode, o: Owner) -> Result<Filled<Pfnfs>> {
        let mounted = dir.sb().data();
        let store = Gate::try_storing(dir.sb())?;
        let (inode, number) = inode::reserve(dir.sb(), &store, dir.ino())?;
        let live =
            ops::tmpfile(store.volume(), &new(dir, o, What::File), number).map_err(|e| mounted.fail(dir.ino(), e))?;
        Ok(inode::fill(inode, live.reply()))
    }

    fn link(inode: &Locked<'_>, dir: &Locked<'_>, d: Negative<'_, Pfnfs>) -> Result<Made> {
        let mounted = dir.sb().data();
        let store = Gate::try_storing(dir.sb())?;
        {
            let [mut parent, mut child] = alone_all([Some(&**dir), Some(&**inode)]);
            let (Some(parent), Some(child)) = (&mut parent, &mut child) else { return Err(EINVAL) };
            let (parent, child) = (parent.get()?, child.get()?);
            let done = ops::link(store.volume(), parent, d.name(), child, media_time(dir.now()));
            done.map_err(|e| mounted.fail(dir.ino(), e))?.reply();
        }
        // Who finds the name finds the link counted.
        Ok(d.instantiate(inode.aref()))
    }

    fn unlink(dir: &Locked<'_>, name: &[u8], victim: &Locked<'_>) -> Result {
        remove(dir, name, victim, ops::unlink)
    }

    fn rmdir(dir: &Locked<'_>, name: &[u8], victim: &Locked<'_>) -> Result {
        remove(dir, name, victim, ops::rmdir)
    }

    fn rename(r: Rename<'_, Pfnfs>) -> Result {
        let mounted = r.from.sb().data();
        if r.exchange {
            // The core has no record for it yet.
            return Err(EINVAL);
        }
        let store = Gate::try_storing(r.from.sb())?;
        let same = r.from.ino() == r.to.ino();
        let [mut from, mut to, mut inode, mut target] =
            alone_all([Some(&*r.from), (!same).then_some(&*r.to), Some(r.inode), r.target]);
        let (Some(from), Some(inode)) = (&mut from, &mut inode) else { return Err(EINVAL) };
        let (from, inode) = (from.get()?, inode.get()?);
        let to = to.as_mut().map(|g| g.get()).transpose()?;
        let target = target.as_mut().map(|g| g.get()).transpose()?;
        let step = ops::Rename {
            from,
            from_name: r.old,
            to,
            to_name: r.new,
            moved: inode,
            victim: target,
            now: media_time(r.from.now()),
        };
        ops::rename(store.volume(), step).map_err(|e| mounted.fail(r.from.ino(), e))?.reply();
        Ok(())
    }
}
