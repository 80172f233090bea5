// SPDX-License-Identifier: GPL-2.0

//! A file system in plain collections: what a volume has to look like.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

/// A file of the model. One without links is open still, and gone after a power cut.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Node {
    pub mode: u16,
    pub nlink: u32,
    pub uid: u32,
    pub gid: u32,
    pub generation: u32,
    /// Seconds; the nanoseconds follow from them.
    pub atime: i64,
    pub mtime: i64,
    pub ctime: i64,
    pub btime: i64,
    pub kind: Kind,
}

impl Node {
    /// Its contents were changed.
    pub fn touch(&mut self, now: i64) {
        (self.mtime, self.ctime) = (now, now);
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
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
    /// What bytes of files may be besides after a power cut, by inode number and word: of what was stored through a mapping and
    /// not synced, and of what is being overwritten in place.
    pub loose: BTreeMap<(u64, u64), Vec<[u8; 8]>>,
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

    pub fn is_file(&self, ino: u64) -> bool {
        self.nodes.get(&ino).is_some_and(|node| matches!(node.kind, Kind::File(_)))
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
        let is_file = |node: &Node| matches!(node.kind, Kind::File(_)) && node.nlink > 0;
        self.nodes.iter().filter(|(_, node)| is_file(node)).map(|(ino, _)| *ino).collect()
    }

    /// Files without a name that are open.
    pub fn unnamed(&self) -> Vec<u64> {
        self.nodes.iter().filter(|(_, node)| node.nlink == 0).map(|(ino, _)| *ino).collect()
    }

    /// Whether `ino` is `below` or in it, however deep.
    pub fn is_below(&self, ino: u64, below: u64) -> bool {
        let mut at = ino;
        loop {
            if at == below {
                return true;
            }
            match self.nodes.get(&at).map(|node| &node.kind) {
                Some(Kind::Dir { parent, .. }) if *parent != at => at = *parent,
                _ => return false,
            }
        }
    }

    /// What is below a directory, with it.
    pub fn below(&self, dir: u64) -> Model {
        let mut model = Model::default();
        let mut todo = vec![dir];
        while let Some(ino) = todo.pop() {
            let node = self.nodes[&ino].clone();
            if let Kind::Dir { entries, .. } = &node.kind {
                todo.extend(entries.values());
            }
            model.nodes.insert(ino, node);
        }
        model
    }

    /// Both: this one with the files of another one, which replace those of the same numbers.
    pub fn with(&self, other: &Model) -> Model {
        let mut model = self.clone();
        model.nodes.extend(other.nodes.iter().map(|(ino, node)| (*ino, node.clone())));
        model.loose.extend(other.loose.iter().map(|(word, values)| (*word, values.clone())));
        model
    }

    /// Drops a link. A file that loses its last one stays, without a name, if it is `open`.
    pub fn drop_link(&mut self, ino: u64, open: bool, now: i64) {
        let node = self.nodes.get_mut(&ino).unwrap();
        node.ctime = now;
        node.nlink = if matches!(node.kind, Kind::Dir { .. }) { 0 } else { node.nlink - 1 };
        if node.nlink == 0 && !open {
            self.remove(ino);
        }
    }

    /// The file is gone.
    pub fn remove(&mut self, ino: u64) {
        self.nodes.remove(&ino);
        self.loose.retain(|(file, _), _| *file != ino);
    }

    /// Stores bytes into a file, which grows if need be.
    pub fn store(&mut self, ino: u64, pos: u64, bytes: &[u8]) {
        let data = self.data_mut(ino);
        let (start, end) = (pos as usize, pos as usize + bytes.len());
        data.resize(data.len().max(end), 0);
        data[start..end].copy_from_slice(bytes);
    }

    /// A word of a file; zeroes past the end.
    fn word(data: &[u8], index: u64) -> [u8; 8] {
        let mut word = [0; 8];
        let start = (index as usize * 8).min(data.len());
        let part = &data[start..data.len().min(start + 8)];
        word[..part.len()].copy_from_slice(part);
        word
    }

    /// From now on these bytes may be found as they are now, whatever is stored.
    pub fn loosen(&mut self, ino: u64, bytes: std::ops::Range<u64>) {
        for index in bytes.start / 8..bytes.end.div_ceil(8) {
            let word = Self::word(self.data(ino), index);
            self.loose.entry((ino, index)).or_default().push(word);
        }
    }

    /// From now on these bytes are what they are.
    pub fn tighten(&mut self, ino: u64, bytes: std::ops::Range<u64>) {
        let words = bytes.start / 8..bytes.end.div_ceil(8);
        self.loose.retain(|(file, index), _| *file != ino || !words.contains(index));
    }

    /// How what was found on a volume differs from what may be there after a power cut, if it does.
    pub fn difference(&self, found: &Model) -> Option<String> {
        let named = |model: &Model| model.nodes.iter().filter(|(_, node)| node.nlink > 0).count();
        for (ino, node) in self.nodes.iter().filter(|(_, node)| node.nlink > 0) {
            let Some(other) = found.nodes.get(ino) else { return Some(format!("inode {ino} is not there")) };
            if node != other && !self.admits(*ino, node, other) {
                return Some(format!("inode {ino}: {}", unlike(node, other)));
            }
        }
        (named(self) != named(found)).then(|| {
            let extra = found.nodes.keys().find(|ino| self.nodes.get(ino).is_none_or(|node| node.nlink == 0));
            format!("inode {extra:?} is there")
        })
    }

    /// Whether what was found on a volume is one of these after a power cut; how it differs from
    /// each, if not.
    pub fn one_of(models: &[&Model], found: &Model) -> Result<(), String> {
        if models.iter().any(|model| model.fits(found)) {
            return Ok(());
        }
        let differences: Vec<String> = models.iter().filter_map(|model| model.difference(found)).collect();
        Err(differences.join("; or else "))
    }

    /// Whether [`Model::difference`] finds nothing.
    fn fits(&self, found: &Model) -> bool {
        let named = |model: &Model| model.nodes.values().filter(|node| node.nlink > 0).count();
        let fits = |(ino, node): (&u64, &Node)| match found.nodes.get(ino) {
            _ if node.nlink == 0 => true,
            Some(other) => node == other || self.admits(*ino, node, other),
            None => false,
        };
        self.nodes.iter().all(fits) && named(self) == named(found)
    }

    /// Whether an inode may be this one after a power cut.
    pub fn admits_node(&self, ino: u64, found: &Node) -> bool {
        self.nodes.get(&ino).is_some_and(|node| node == found || self.admits(ino, node, found))
    }

    /// Whether there is an inode of this number that has a name.
    pub fn has_name(&self, ino: u64) -> bool {
        self.nodes.get(&ino).is_some_and(|node| node.nlink > 0)
    }

    /// Whether a node differs in loose bytes only.
    fn admits(&self, ino: u64, node: &Node, found: &Node) -> bool {
        let (Kind::File(data), Kind::File(other)) = (&node.kind, &found.kind) else { return false };
        let like = Node { kind: Kind::File(Vec::new()), ..node.clone() };
        if like != (Node { kind: Kind::File(Vec::new()), ..found.clone() }) || data.len() != other.len() {
            return false;
        }
        data.chunks(8).zip(other.chunks(8)).enumerate().all(|(index, (one, two))| {
            let loose = || self.loose.get(&(ino, index as u64)).map_or(&[][..], |words| words);
            let admits = |at: usize| one[at] == two[at] || loose().iter().any(|word| word[at] == two[at]);
            one == two || (0..one.len()).all(admits)
        })
    }

    /// A number for all that a power cut may leave of this.
    pub fn digest(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        for (ino, node) in self.nodes.iter().filter(|(_, node)| node.nlink > 0) {
            (ino, node).hash(&mut hasher);
        }
        self.loose.hash(&mut hasher);
        hasher.finish()
    }
}

/// What two nodes differ in, short.
fn unlike(node: &Node, found: &Node) -> String {
    let short = |node: &dyn std::fmt::Debug| format!("{node:?}").chars().take(200).collect::<String>();
    match (&node.kind, &found.kind) {
        (Kind::File(data), Kind::File(other)) => {
            let at = data.iter().zip(other).position(|(one, two)| one != two);
            let bytes = |data: &[u8]| {
                at.map_or(String::new(), |at| format!(" {:02x?} at {at}", &data[at..data.len().min(at + 8)]))
            };
            let text = |node: &Node, data: &[u8]| {
                let rest = format!("{:?}", Node { kind: Kind::Special(0), ..node.clone() });
                format!("{} bytes{}, {rest}", data.len(), bytes(data))
            };
            format!("{} instead of {}", text(found, other), text(node, data))
        }
        _ => format!("{} instead of {}", short(found), short(node)),
    }
}
