// SPDX-License-Identifier: GPL-2.0

//! A file system in plain collections: what a volume has to look like.

use std::collections::BTreeMap;

/// A file of the model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    pub mode: u16,
    pub nlink: u32,
    pub uid: u32,
    pub mtime: i64,
    pub kind: Kind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    File(Vec<u8>),
    Dir { parent: u64, entries: BTreeMap<Vec<u8>, u64> },
    Symlink(Vec<u8>),
    Special(u32),
}

/// All files by inode number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Model {
    pub nodes: BTreeMap<u64, Node>,
}

impl Model {
    pub fn entries(&self, dir: u64) -> &BTreeMap<Vec<u8>, u64> {
        match &self.nodes[&dir].kind {
            Kind::Dir { entries, .. } => entries,
            _ => panic!("{dir} is no directory"),
        }
    }

    pub fn entries_mut(&mut self, dir: u64) -> &mut BTreeMap<Vec<u8>, u64> {
        match &mut self.nodes.get_mut(&dir).unwrap().kind {
            Kind::Dir { entries, .. } => entries,
            _ => panic!("{dir} is no directory"),
        }
    }

    pub fn is_dir(&self, ino: u64) -> bool {
        matches!(self.nodes[&ino].kind, Kind::Dir { .. })
    }

    pub fn data(&self, ino: u64) -> &Vec<u8> {
        match &self.nodes[&ino].kind {
            Kind::File(data) => data,
            _ => panic!("{ino} is no file"),
        }
    }

    pub fn data_mut(&mut self, ino: u64) -> &mut Vec<u8> {
        match &mut self.nodes.get_mut(&ino).unwrap().kind {
            Kind::File(data) => data,
            _ => panic!("{ino} is no file"),
        }
    }

    pub fn dirs(&self) -> Vec<u64> {
        self.nodes.iter().filter(|(_, node)| matches!(node.kind, Kind::Dir { .. })).map(|(ino, _)| *ino).collect()
    }

    pub fn files(&self) -> Vec<u64> {
        self.nodes.iter().filter(|(_, node)| matches!(node.kind, Kind::File(_))).map(|(ino, _)| *ino).collect()
    }

    /// Whether `ino` is `below` or in it, however deep.
    pub fn is_below(&self, ino: u64, below: u64) -> bool {
        let mut at = ino;
        loop {
            if at == below {
                return true;
            }
            match &self.nodes[&at].kind {
                Kind::Dir { parent, .. } if *parent != at => at = *parent,
                _ => return false,
            }
        }
    }

    /// Drops a link; the file goes with the last.
    pub fn drop_link(&mut self, ino: u64) {
        let node = self.nodes.get_mut(&ino).unwrap();
        let gone = match node.kind {
            Kind::Dir { .. } => true,
            _ => {
                node.nlink -= 1;
                node.nlink == 0
            }
        };
        if gone {
            self.nodes.remove(&ino);
        }
    }
}
