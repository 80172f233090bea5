// SPDX-License-Identifier: GPL-2.0
//! What a tree of files is, in memory.
//!
//! Layer: plain data. Names lead to inodes, so that hard links are the same file.

use crate::step::{bytes, Step};
use std::collections::BTreeMap;
use std::rc::Rc;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    Dir,
    /// Shared, so that a copy of a tree costs little.
    File(Rc<Vec<u8>>),
    Symlink(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inode {
    pub kind: Kind,
    /// Permission bits; `None` where they mean nothing (symlinks).
    pub mode: Option<u32>,
    /// Nanoseconds since the epoch, if a step set it and none changed the file since.
    pub mtime: Option<u64>,
}

/// Paths are relative, without a leading slash; the root itself is not listed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tree {
    pub names: BTreeMap<String, u64>,
    pub inodes: BTreeMap<u64, Inode>,
    next: u64,
}

impl Tree {
    pub fn get(&self, path: &str) -> Option<&Inode> {
        self.inodes.get(self.names.get(path)?)
    }

    fn get_mut(&mut self, path: &str) -> Option<&mut Inode> {
        self.inodes.get_mut(self.names.get(path)?)
    }

    pub fn content(&self, path: &str) -> Option<&[u8]> {
        match &self.get(path)?.kind {
            Kind::File(content) => Some(content),
            _ => None,
        }
    }

    pub fn links(&self, ino: u64) -> usize {
        self.names.values().filter(|i| **i == ino).count()
    }

    /// Paths of the inodes that satisfy `wanted`.
    pub fn paths(&self, wanted: impl Fn(&Inode) -> bool) -> Vec<&str> {
        let of = |ino| self.inodes.get(ino).is_some_and(&wanted);
        self.names.iter().filter(|(_, ino)| of(ino)).map(|(path, _)| path.as_str()).collect()
    }

    pub fn is_empty_dir(&self, path: &str) -> bool {
        let inside = format!("{path}/");
        !self.names.keys().any(|p| p.starts_with(&inside))
    }

    /// Adds what was found in a real tree under its own inode number.
    pub fn add_found(&mut self, path: String, ino: u64, inode: Inode) {
        self.names.insert(path, ino);
        self.inodes.insert(ino, inode);
    }

    fn add(&mut self, path: &str, kind: Kind, mode: Option<u32>) {
        self.next += 1;
        self.add_found(path.into(), self.next, Inode { kind, mode, mtime: None });
    }

    fn remove(&mut self, path: &str) {
        if let Some(ino) = self.names.remove(path) {
            if self.links(ino) == 0 {
                self.inodes.remove(&ino);
            }
        }
    }

    fn rename(&mut self, from: &str, to: &str) {
        self.remove(to);
        let inside = format!("{from}/");
        let moved: Vec<String> = self.names.keys().filter(|p| *p == from || p.starts_with(&inside)).cloned().collect();
        for path in moved {
            if let Some(ino) = self.names.remove(&path) {
                self.names.insert(format!("{to}{}", path.get(from.len()..).unwrap_or("")), ino);
            }
        }
    }

    fn edit(&mut self, path: &str, change: impl FnOnce(&mut Vec<u8>)) {
        if let Some(Inode { kind: Kind::File(content), mtime, .. }) = self.get_mut(path) {
            change(Rc::make_mut(content));
            *mtime = None;
        }
    }

    /// Does `step`, which must be possible.
    pub fn apply(&mut self, step: &Step) {
        match step {
            Step::Create { path, mode } => self.add(path, Kind::File(Rc::default()), Some(*mode)),
            Step::Mkdir { path, mode } => self.add(path, Kind::Dir, Some(*mode)),
            Step::Symlink { path, target } => self.add(path, Kind::Symlink(target.clone()), None),
            Step::Nameless { .. } | Step::Sync | Step::Fsync { .. } | Step::Faulty { done: 0, .. } => {}
            Step::Write { path, at, len, pattern }
            | Step::Faulty { path, at, done: len, pattern, .. }
            | Step::Store { path, at, len, pattern }
            | Step::Persist { path, at, len, pattern } => {
                self.edit(path, |content| {
                    if content.len() < at + len {
                        content.resize(at + len, 0);
                    }
                    if let Some(range) = content.get_mut(*at..at + len) {
                        range.copy_from_slice(&bytes(*pattern, *at, *len));
                    }
                });
            }
            Step::Truncate { path, len } => self.edit(path, |content| content.resize(*len, 0)),
            Step::Preallocate { path, len } => self.edit(path, |content| content.resize(*len, 0)),
            Step::Unlink { path } | Step::Rmdir { path } => self.remove(path),
            Step::Link { from, to } => {
                if let Some(ino) = self.names.get(from).copied() {
                    self.names.insert(to.clone(), ino);
                }
            }
            Step::Rename { from, to } => self.rename(from, to),
            Step::Chmod { path, mode } => {
                if let Some(inode) = self.get_mut(path) {
                    inode.mode = Some(*mode);
                }
            }
            Step::Touch { path, mtime } => {
                if let Some(inode) = self.get_mut(path) {
                    inode.mtime = Some(*mtime);
                }
            }
        }
    }
}
