// SPDX-License-Identifier: GPL-2.0

//! Repairs of directories: entries that are wrong, and names in lost+found for inodes without any.

use super::Repair;
use crate::media::format::{DirEntry, NAME_MAX};
use crate::media::{Error, Result};
use crate::meta::change::Change;
use crate::meta::dir::{self, Found};
use crate::meta::inode::{self, Live};
use crate::meta::log::Stage;
use crate::meta::ops::{self, New, Rename, What};
use crate::meta::Machine;

/// Name of the directory in the root that takes what has no name.
const LOST: &[u8] = b"lost+found";
/// Names tried for one inode in it.
const TRIES: u32 = 1000;

/// A name, copied.
struct Name {
    bytes: [u8; NAME_MAX],
    len: usize,
}

impl Name {
    const EMPTY: Self = Name { bytes: [0; NAME_MAX], len: 0 };

    fn new(name: &[u8]) -> Self {
        let mut copy = Self::EMPTY;
        name.iter().for_each(|byte| copy.push(*byte));
        copy
    }

    fn push(&mut self, byte: u8) {
        if let Some(place) = self.bytes.get_mut(self.len) {
            *place = byte;
            self.len = self.len.saturating_add(1);
        }
    }

    fn push_number(&mut self, number: u64) {
        let mut digits = [0u8; 20];
        let mut left = number;
        let mut first = digits.len();
        while let Some(digit) = first.checked_sub(1).and_then(|next| digits.get_mut(next)) {
            *digit = b'0'.saturating_add((left % 10) as u8);
            first = first.saturating_sub(1);
            left /= 10;
            if left == 0 {
                break;
            }
        }
        digits.get(first..).unwrap_or_default().iter().for_each(|digit| self.push(*digit));
    }

    /// `#INO`, or `#INO-TRY`.
    fn of_lost(ino: u64, attempt: u32) -> Self {
        let mut name = Self::new(b"#");
        name.push_number(ino);
        if attempt > 0 {
            name.push(b'-');
            name.push_number(u64::from(attempt));
        }
        name
    }

    fn get(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

/// A directory entry, read for a repair.
struct Entry {
    head: DirEntry,
    name: Name,
}

impl<M: Machine> Repair<'_, M> {
    fn entry(&self, dir: &Live, pos: u64) -> Result<Entry> {
        let (media, geometry) = (self.volume.media(), self.volume.geometry());
        let (path, slot, head) = dir::at_position(media, geometry, &dir.raw, pos)?;
        let leaf = path.leaf.ok_or(Error::NotFound)?;
        let name = dir::show(media, geometry, &leaf, &slot, |entry| Name::new(entry.name))?;
        Ok(Entry { head, name })
    }

    /// Takes an entry out. Links are counted again later.
    pub(super) fn drop_entry(&mut self, dir: u64, pos: u64) -> Result {
        self.edit(dir, |change, raw| {
            let geometry = *change.geometry();
            let (path, slot, _) = dir::at_position(change, &geometry, raw, pos)?;
            let mut tree = inode::tree(raw);
            tree.remove(change, &path, &slot)?;
            inode::set_tree(raw, &tree);
            raw.size = raw.size.get().saturating_sub(1).into();
            Ok(())
        })
    }

    /// Gives an entry the type of its inode.
    pub(super) fn kind(&mut self, dir: u64, pos: u64) -> Result {
        let found = self.entry(&self.load(dir)?, pos)?;
        let kind = inode::kind(self.load(found.head.ino.get())?.mode());
        self.edit(dir, |change, raw| {
            let geometry = *change.geometry();
            let (path, slot, _) = dir::at_position(change, &geometry, raw, pos)?;
            let leaf = path.leaf.ok_or(Error::NotFound)?;
            let offset = core::mem::offset_of!(DirEntry, kind) as u16;
            inode::tree(raw).update(change, &leaf, &slot, offset, &[kind])
        })
    }

    /// The name that a directory has for an inode, in another entry than the one at `but`.
    fn name_in(&mut self, dir: &Live, ino: u64, but: u64) -> Result<Option<Name>> {
        let mut name = None;
        dir::read(self.volume, dir, 0, self.keys, &mut |entry| {
            if entry.ino == ino && entry.pos != but {
                name = Some(Name::new(entry.name));
            }
            name.is_none()
        })?;
        Ok(name)
    }

    /// An entry names a directory whose parent is another one, or that has another name. If there is another entry where the
    /// directory says it is, this one goes; else the directory is told.
    pub(super) fn parent(&mut self, dir: u64, pos: u64) -> Result {
        let found = self.entry(&self.load(dir)?, pos)?;
        let child = self.load(found.head.ino.get())?;
        if !child.is_dir() {
            return Ok(());
        }
        let other = self.load(child.parent()).ok().filter(Live::is_dir);
        let but = if child.parent() == dir { pos } else { 0 };
        let named = match other {
            Some(other) => self.name_in(&other, child.ino(), but).ok().flatten().is_some(),
            None => false,
        };
        if named || child.ino() == self.volume.geometry().root() {
            return self.drop_entry(dir, pos);
        }
        self.edit(child.ino(), |_, raw| {
            raw.parent = dir.into();
            Ok(())
        })
    }

    /// Moves an entry to where its name's hash says.
    pub(super) fn rehash(&mut self, dir: u64, pos: u64) -> Result {
        let found = self.entry(&self.load(dir)?, pos)?;
        let target = Found { ino: found.head.ino.get(), kind: found.head.kind };
        let put = self.edit(dir, |change, raw| dir::insert(change, raw, found.name.get(), target));
        if !matches!(put, Ok(()) | Err(Error::Exists)) {
            return put;
        }
        self.drop_entry(dir, pos)
    }

    /// Gives an inode a name in lost+found.
    pub(super) fn connect(&mut self, ino: u64) -> Result {
        let live = self.load(ino)?;
        if live.is_dir() && self.reaches_root(&live) {
            return Ok(());
        }
        let mut lost = self.lost_found()?;
        if live.is_dir() {
            if let Some(mut parent) = self.load(live.parent()).ok().filter(Live::is_dir) {
                if let Some(name) = self.name_in(&parent, ino, 0)? {
                    return self.lift(&mut parent, &name, live, &mut lost);
                }
            }
        }
        for attempt in 0..TRIES {
            let name = Name::of_lost(ino, attempt);
            match self.adopt(&live, &lost, name.get()) {
                Err(Error::Exists) => {}
                done => return done,
            }
        }
        Err(Error::Exists)
    }

    /// Puts an inode without any name into lost+found.
    fn adopt(&mut self, live: &Live, lost: &Live, name: &[u8]) -> Result {
        let mut stage = Stage::new();
        let mut change = Change::new(self.volume, &mut stage);
        let (mut parent, mut raw) = (lost.raw, live.raw);
        dir::insert(&mut change, &mut parent, name, Found { ino: live.ino(), kind: inode::kind(live.mode()) })?;
        if live.is_dir() {
            parent.nlink = parent.nlink.get().saturating_add(1).into();
            raw.parent = lost.ino().into();
        } else {
            raw.nlink = 1.into();
        }
        inode::stage(&mut change, lost, &mut parent)?;
        inode::stage(&mut change, live, &mut raw)?;
        change.commit(()).map(|durable| durable.reply())
    }

    /// Moves a directory out of a circle.
    fn lift(&mut self, parent: &mut Live, name: &Name, live: Live, lost: &mut Live) -> Result {
        let mut moved = live;
        for attempt in 0..TRIES {
            let to_name = Name::of_lost(moved.ino(), attempt);
            let rename = Rename {
                from: parent,
                from_name: name.get(),
                to: Some(lost),
                to_name: to_name.get(),
                moved: &mut moved,
                victim: None,
                now: self.now,
            };
            match ops::rename(self.volume, rename) {
                Err(Error::Exists) => {}
                done => return done.map(|durable| durable.reply()),
            }
        }
        Err(Error::Exists)
    }

    /// Whether a directory's parents lead to the root and each has an entry for the next.
    fn reaches_root(&mut self, live: &Live) -> bool {
        let mut live = live.clone();
        // Brent: a circle meets the mark, which moves on after 1, 2, 4, ... steps.
        let (mut mark, mut steps, mut limit) = (live.ino(), 0u64, 1u64);
        while live.ino() != self.volume.geometry().root() {
            let Some(parent) = self.load(live.parent()).ok().filter(Live::is_dir) else { return false };
            if parent.ino() == mark || !matches!(self.name_in(&parent, live.ino(), 0), Ok(Some(_))) {
                return false;
            }
            live = parent;
            steps = steps.saturating_add(1);
            if steps == limit {
                (mark, steps, limit) = (live.ino(), 0, limit.saturating_mul(2));
            }
        }
        true
    }

    /// The directory lost+found, which is made if need be.
    fn lost_found(&mut self) -> Result<Live> {
        let mut root = self.load(self.volume.geometry().root())?;
        if let Some(found) = dir::lookup(self.volume, &root, LOST)? {
            return self.load(found.ino).and_then(|live| if live.is_dir() { Ok(live) } else { Err(Error::NotDir) });
        }
        let new = New { mode: inode::S_IFDIR | 0o700, uid: 0, gid: 0, now: self.now, what: What::Dir };
        ops::create(self.volume, &mut root, LOST, &new).map(|durable| durable.reply())
    }
}
