// SPDX-License-Identifier: GPL-2.0

//! The first pass: the inode table, inodes with their trees, and the entries of directories, each against what it names.

use super::{at, Fix, Used, Walk};
use crate::media::format::{self, Inode};
use crate::media::{check as valid, Error, Pmem, Result};
use crate::meta::inode::{self, Live, Orphan};
use crate::meta::tree::{Damage, Entry, Head, Link, Look};
use crate::meta::{dir, extent, table, Machine};

/// Who looks at a tree in the first pass.
struct Tree<'x, 'a, 's, M: Machine> {
    walk: &'x mut Walk<'a, 's, M>,
    ino: u64,
    /// The directory, if it is one's.
    dir: Option<&'x Live>,
    nodes: u64,
    entries: u64,
    dirs: u32,
}

impl<M: Machine> Look for Tree<'_, '_, '_, M> {
    fn node(&mut self, link: &Link) -> Result<bool> {
        self.nodes = self.nodes.saturating_add(1);
        let why = if !self.walk.volume.geometry().holds(link.block, 1) {
            "block outside the data area"
        } else if self.walk.take_meta(link.block)? {
            self.walk.visitor.node(self.ino, link.block);
            return Ok(true);
        } else {
            "block that is used twice"
        };
        self.tell(Error::Corrupt { at: at(link.block), why }, Damage::Node, link)?;
        Ok(false)
    }

    fn sound(&mut self, leaf: &Head, entry: &Entry) -> Result {
        let (media, geometry) = (self.walk.volume.media(), self.walk.volume.geometry());
        contents(media, geometry, leaf, entry)
    }

    fn entry(&mut self, leaf: &Head, entry: &Entry) -> Result {
        let Some(dir) = self.dir else { return Ok(()) };
        let volume = self.walk.volume;
        self.entries = self.entries.saturating_add(1);
        let (dirs, walk) = (&mut self.dirs, &mut *self.walk);
        dir::show(volume.media(), volume.geometry(), leaf, entry, |entry| {
            *dirs = dirs.saturating_add(u32::from(entry.kind == inode::kind(inode::S_IFDIR)));
            walk.visitor.entry(dir.ino(), &entry);
            walk.child(dir, &entry)
        })?
    }

    fn whole(&mut self, leaf: &Head, link: &Link) -> Result {
        if self.dir.is_none() {
            return Ok(());
        }
        let media = self.walk.volume.media();
        dir::sorted_keys(media, leaf, link.lo, link.hi, self.walk.scratch.keys).map(|_| ())
    }

    fn problem(&mut self, error: Error, damage: Damage, link: &Link) -> Result {
        if damage == Damage::Node {
            // It may be another tree's, which is still to come.
            self.walk.release(link.block)?;
        }
        self.tell(error, damage, link)
    }
}

impl<M: Machine> Tree<'_, '_, '_, M> {
    fn tell(&mut self, error: Error, damage: Damage, link: &Link) -> Result {
        let fix = match damage {
            _ if self.ino == format::TABLE_INO => Fix::Table,
            Damage::Node => Fix::Node(self.ino, *link),
            Damage::Head => Fix::Head(self.ino, *link),
            Damage::Leaf => Fix::Leaf(self.ino, *link),
            Damage::Inner => Fix::Inner(self.ino, *link),
            Damage::Sum => Fix::Sum(self.ino, *link),
        };
        self.walk.report(error, Some(self.ino), fix)
    }
}

/// Whether an entry of a leaf is an extent, or a directory entry.
pub(in crate::meta) fn contents(
    media: &impl Pmem,
    geometry: &crate::media::Geometry,
    leaf: &Head,
    entry: &Entry,
) -> Result {
    if leaf.hashed() {
        return dir::show(media, geometry, leaf, entry, |_| ());
    }
    let place = leaf.at(entry.offset);
    valid::extent(geometry, &media.read(place)?, place)
}

impl<'a, 's, M: Machine> Walk<'a, 's, M> {
    fn look<'x>(&'x mut self, ino: u64, dir: Option<&'x Live>) -> Tree<'x, 'a, 's, M> {
        Tree { walk: self, ino, dir, nodes: 0, entries: 0, dirs: 0 }
    }

    /// The inode table's own blocks.
    pub(super) fn table(&mut self) -> Result {
        // If it cannot be read, that was told when the volume was opened.
        let Ok(raw) = table::read(self.volume) else {
            self.complete = false;
            return Ok(());
        };
        let nodes = if extent::in_tree(&raw) { self.tree(&raw)? } else { 0 };
        self.extents(&raw, at(format::TABLE_BLOCK), nodes, true)
    }

    /// There is a root directory.
    pub(super) fn root(&mut self) -> Result {
        let root = self.volume.geometry().root();
        let place = self.volume.inode_at(root).unwrap_or_default();
        match inode::load(self.volume, root, None) {
            Err(Error::NotFound) => self.corrupt(place, "no root directory", root, Fix::Inode(root)),
            Ok(live) if !live.is_dir() => self.corrupt(place, "root directory", root, Fix::Inode(root)),
            Ok(live) if live.parent() != root || live.orphan() != Orphan::None => {
                self.corrupt(place, "root directory", root, Fix::Inode(root))
            }
            _ => Ok(()),
        }
    }

    /// The nodes of a tree; counts them.
    fn tree(&mut self, raw: &Inode) -> Result<u64> {
        let volume = self.volume;
        let mut look = self.look(raw.ino.get(), None);
        inode::tree(raw).walk(volume.media(), volume.geometry(), &mut look)?;
        Ok(look.nodes)
    }

    /// What an inode has, but for its extents. Counts the links that entries are.
    pub(super) fn contents(&mut self, used: &Used) -> Result {
        let live = &used.live;
        self.summary.inodes = self.summary.inodes.saturating_add(1);
        self.summary.orphans = self.summary.orphans.saturating_add(u64::from(live.orphan() != Orphan::None));
        self.visitor.inode(live);
        if live.is_dir() {
            self.dir(live)
        } else if live.is_file() {
            if extent::in_tree(&live.raw) {
                self.tree(&live.raw)?;
            }
            Ok(())
        } else {
            self.special(live)
        }
    }

    /// A symlink, or something without contents.
    fn special(&mut self, live: &Live) -> Result {
        let root = live.raw.root.get();
        if root != 0 && !self.take_meta(root)? {
            return self.corrupt(at(root), "block that is used twice", live.ino(), Fix::Free(live.ino()));
        }
        if live.is_symlink() {
            if let Err(error) = inode::check_target(self.volume, live) {
                self.report(error, Some(live.ino()), Fix::Free(live.ino()))?;
            }
        }
        let blocks = u64::from(root != 0);
        if live.blocks() != blocks {
            self.corrupt(live.at, "number of blocks", live.ino(), Fix::Blocks(live.ino(), blocks))?;
        }
        Ok(())
    }

    /// The entries of a directory.
    fn dir(&mut self, live: &Live) -> Result {
        self.summary.dirs = self.summary.dirs.saturating_add(1);
        let volume = self.volume;
        let mut look = self.look(live.ino(), Some(live));
        inode::tree(&live.raw).walk(volume.media(), volume.geometry(), &mut look)?;
        let (nodes, entries, dirs) = (look.nodes, look.entries, look.dirs);
        self.summary.entries = self.summary.entries.saturating_add(entries);
        let ino = live.ino();
        if entries != live.size() {
            self.corrupt(live.at, "size of a directory", ino, Fix::Size(ino, entries))?;
        }
        if nodes != live.blocks() {
            self.corrupt(live.at, "size of a directory", ino, Fix::Blocks(ino, nodes))?;
        }
        let gone = live.orphan() != Orphan::None && entries == 0;
        let expected = if gone { 0 } else { dirs.saturating_add(2) };
        if live.nlink() != expected || live.orphan() != Orphan::None && !gone {
            self.corrupt(live.at, "number of links", ino, Fix::Links(ino, expected))?;
        }
        Ok(())
    }

    /// Checks an entry against the inode it names, and counts the link.
    fn child(&mut self, dir: &Live, entry: &dir::Entry<'_>) -> Result {
        let volume = self.volume;
        let drop = Fix::Drop(dir.ino(), entry.pos);
        let live = match inode::load(volume, entry.ino, None) {
            Err(Error::NotFound) => {
                let fix = if inode::buried(volume, entry.ino) { Fix::Use(entry.ino) } else { drop };
                return self.corrupt(dir.at, "entry of a free inode", dir.ino(), fix);
            }
            // That inode's own problem.
            Err(Error::Corrupt { .. } | Error::Poison { .. }) => {
                self.complete = false;
                return self.unreadable(dir, entry.ino);
            }
            live => live?,
        };
        if entry.kind != inode::kind(live.mode()) {
            self.corrupt(dir.at, "type of an entry", dir.ino(), Fix::Kind(dir.ino(), entry.pos))?;
        }
        if !dir::key_fits(volume.geometry(), entry) {
            self.corrupt(dir.at, "hash of a name", dir.ino(), Fix::Rehash(dir.ino(), entry.pos))?;
        } else if entry.pos & 0xff != 0 && dir::twin(volume, dir, entry).unwrap_or(false) {
            self.corrupt(dir.at, "name that exists twice", dir.ino(), drop)?;
        }
        let count = self.scratch.links.get_mut(entry.ino as usize).ok_or(Error::Invalid("scratch memory"))?;
        *count = count.saturating_add(1);
        let again = *count > 1;
        if !live.is_dir() {
            return Ok(());
        }
        if live.ino() == volume.geometry().root() {
            self.corrupt(live.at, "parent of a directory", live.ino(), drop)
        } else if live.parent() != dir.ino() {
            self.corrupt(live.at, "parent of a directory", live.ino(), Fix::Parent(dir.ino(), entry.pos))
        } else if again {
            self.corrupt(live.at, "directory with two names", live.ino(), Fix::Parent(dir.ino(), entry.pos))
        } else {
            Ok(())
        }
    }

    /// An entry names an inode that is in use and cannot be read: it has been, or will be met.
    fn unreadable(&mut self, dir: &Live, ino: u64) -> Result {
        match self.scratch.links.get(ino as usize) {
            Some(_) => Ok(()),
            None => self.corrupt(dir.at, "entry of an unknown inode", dir.ino(), Fix::None),
        }
    }
}
