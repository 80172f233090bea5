// SPDX-License-Identifier: GPL-2.0

//! A volume with a bit of everything, in memory; where its objects lie; and reading all of it back.

use std::collections::BTreeMap;

use pfnfs_core::media::format::{self, Time};
use pfnfs_core::media::{Geometry, Pmem, BLOCK};
use pfnfs_core::meta::extent::Extent;
use pfnfs_core::meta::inode::{self, Live, S_IFDIR, S_IFIFO, S_IFLNK, S_IFREG};
use pfnfs_core::meta::ops::{self, New, What};
use pfnfs_core::meta::{dir, extent, mkfs, walk, Open, Volume};
use pfnfs_sim::plain::{Memory, Plain};

pub const SIZE: usize = 8 << 20;
pub const ROOT: u64 = format::ROOT_INO;
pub const UUID: [u8; 16] = *b"0123456789abcdef";
pub const HASH: [u8; 16] = *b"the seed of hash";
/// Entries of /many: enough for several leaves below one inner node.
pub const MANY: u64 = 400;
/// Extents of /tree: as many.
pub const PIECES: u64 = 180;

/// What lies where.
#[derive(Clone, Default)]
pub struct Places {
    /// Inode number by path.
    pub inos: BTreeMap<String, u64>,
    /// Position of the slot by inode number.
    pub slots: BTreeMap<u64, u64>,
    /// Blocks of tree nodes by inode number, parents before their children.
    pub nodes: BTreeMap<u64, Vec<u64>>,
    /// First device block by inode number and file block.
    pub extents: BTreeMap<(u64, u64), u64>,
    /// Position of the target of /long link.
    pub long_link: u64,
    /// Every entry: inode, directory, name.
    entries: Vec<(u64, u64, String)>,
}

/// A volume, and where its objects lie.
#[derive(Clone)]
pub struct Sample {
    pub bytes: Vec<u8>,
    pub places: Places,
    pub geometry: Geometry,
}

fn time() -> Time {
    Time { sec: 1_700_000_000.into(), nsec: 7.into() }
}

fn new(mode: u16, what: What<'_>) -> New<'_> {
    New { mode: mode | 0o644, uid: 1000, gid: 100, now: time(), what }
}

/// The bytes of a block of a file.
fn pattern(ino: u64, file_block: u64) -> Vec<u8> {
    let start = format!("block {file_block} of inode {ino}\n");
    start.bytes().cycle().take(BLOCK as usize).collect()
}

struct Builder<'a> {
    volume: Volume<&'a Plain>,
}

impl Builder<'_> {
    fn load(&self, ino: u64) -> Live {
        inode::load(&self.volume, ino, None).expect("an inode")
    }

    fn make(&self, dir: u64, name: &str, mode: u16, what: What<'_>) -> u64 {
        let mut dir = self.load(dir);
        ops::create(&self.volume, &mut dir, name.as_bytes(), &new(mode, what)).expect("room").reply().ino()
    }

    /// Writes blocks, each an extent of its own.
    fn write(&self, ino: u64, file_blocks: impl Iterator<Item = u64>) {
        let mut live = self.load(ino);
        for file_block in file_blocks {
            let blocks = self.volume.reserve(0, 1, false).expect("room");
            blocks.store(0, &pattern(ino, file_block)).expect("a block");
            let size = Some((file_block + 1) * BLOCK);
            ops::attach(&self.volume, &mut live, file_block, blocks.written(), size, time()).expect("room").reply();
        }
    }

    fn fill(&self) {
        let many = self.make(ROOT, "many", S_IFDIR, What::Dir);
        for index in 0..MANY {
            let ino = self.make(many, &format!("file {index}"), S_IFREG, What::File);
            if index % 50 == 0 {
                self.write(ino, 0..1);
            }
        }
        let a = self.make(ROOT, "a", S_IFDIR, What::Dir);
        let b = self.make(a, "b", S_IFDIR, What::Dir);
        let c = self.make(b, "c", S_IFDIR, What::Dir);
        let deep = self.make(c, "deep", S_IFREG, What::File);
        self.write(deep, 0..1);
        let inline = self.make(ROOT, "inline", S_IFREG, What::File);
        self.write(inline, [0, 2, 4].into_iter());
        let tree = self.make(ROOT, "tree", S_IFREG, What::File);
        self.write(tree, (0..PIECES).map(|index| index * 2));
        let other = self.make(ROOT, "other", S_IFREG, What::File);
        self.write(other, 0..1);
        let mut live = self.load(other);
        let mut root = self.load(ROOT);
        ops::link(&self.volume, &mut root, b"second name", &mut live, time()).expect("room").reply();
        self.make(ROOT, "fifo", S_IFIFO, What::Node(0));
        self.make(ROOT, "short link", S_IFLNK, What::Symlink(b"a/b/c"));
        self.make(ROOT, "long link", S_IFLNK, What::Symlink(&[b'x'; 900]));
        let number = ops::number(&self.volume, ROOT).expect("room");
        let orphan = ops::tmpfile(&self.volume, &new(S_IFREG, What::File), number).expect("room").reply();
        self.write(orphan.ino(), 0..1);
    }
}

impl Sample {
    /// The volume, unmounted in order or, if `dirty`, cut off with records in its log.
    pub fn new(dirty: bool) -> Self {
        let memory = Memory::new(SIZE);
        let options = mkfs::Options {
            uuid: UUID,
            hash_seed: HASH,
            max_inodes: 2048,
            now: time(),
            ..mkfs::Options::suited(SIZE as u64)
        };
        mkfs::format(&memory, &options).expect("mkfs");
        let geometry = Geometry::read(&memory).expect("a volume");
        let machine = Plain::new(memory, &geometry);
        let volume = Volume::open(&machine, geometry, Open::ReadWrite).expect("a volume");
        let builder = Builder { volume };
        builder.fill();
        if !dirty {
            builder.volume.close().expect("no errors");
        }
        let bytes = machine.memory.0.borrow().clone();
        let mut sample = Self { bytes, places: Places::default(), geometry };
        sample.find_places();
        sample
    }

    /// Mounts a copy and hands it out.
    pub fn with<R>(&self, f: impl FnOnce(&Volume<&Plain>) -> R) -> R {
        let memory = Memory(self.bytes.clone().into());
        let geometry = Geometry::read(&memory).expect("a volume");
        let machine = Plain::new(memory, &geometry);
        let volume = Volume::open(&machine, geometry, Open::ReadOnly).expect("a volume");
        f(&volume)
    }

    /// Mounts it, changes it, and unmounts it in order.
    pub fn change(&mut self, f: impl FnOnce(&Volume<&Plain>)) {
        let machine = Plain::new(Memory(self.bytes.clone().into()), &self.geometry);
        let volume = Volume::open(&machine, self.geometry, Open::ReadWrite).expect("a volume");
        f(&volume);
        volume.close().expect("no errors");
        self.bytes = machine.memory.0.into_inner();
    }

    fn find_places(&mut self) {
        let mut places = Places::default();
        self.with(|volume| walk(volume, &mut places));
        for (ino, dir, name) in &places.entries {
            let (mut path, mut dir) = (format!("/{name}"), *dir);
            while let Some((_, above, name)) = places.entries.iter().find(|(ino, _, _)| *ino == dir) {
                path = format!("/{name}{path}");
                dir = *above;
            }
            places.inos.insert(path, *ino);
        }
        places.inos.insert("/".to_owned(), ROOT);
        self.places = places;
    }

    /// Every name with its type and contents.
    pub fn tree(&self) -> BTreeMap<String, Vec<u8>> {
        self.with(|volume| {
            let mut found = BTreeMap::new();
            read_dir(volume, ROOT, "", &mut found);
            found
        })
    }
}

fn walk(volume: &Volume<&Plain>, places: &mut Places) {
    let mut blocks = vec![0; walk::Scratch::block_words(volume.geometry())];
    let mut links = vec![0; walk::Scratch::link_words(volume)];
    let mut keys = dir::Scratch::new();
    let mut scratch = walk::Scratch { blocks: &mut blocks, links: &mut links, keys: &mut keys };
    walk::check(volume, &mut scratch, places).expect("a sound volume");
}

impl walk::Visitor for Places {
    fn inode(&mut self, live: &Live) {
        self.slots.insert(live.ino(), live.at());
        if live.is_symlink() && live.format().root.get() != 0 {
            self.long_link = live.format().root.get() * BLOCK;
        }
    }

    fn extent(&mut self, ino: u64, file_block: u64, block: u64, _len: u32, _unwritten: bool) {
        self.extents.insert((ino, file_block), block);
    }

    fn node(&mut self, ino: u64, block: u64) {
        self.nodes.entry(ino).or_default().push(block);
    }

    fn entry(&mut self, dir: u64, entry: &dir::Entry<'_>) {
        let name = String::from_utf8_lossy(entry.name).into_owned();
        self.entries.push((entry.ino, dir, name));
    }
}

fn read_dir(volume: &Volume<&Plain>, ino: u64, path: &str, found: &mut BTreeMap<String, Vec<u8>>) {
    let live = inode::load(volume, ino, None).expect("a sound directory");
    let mut entries = Vec::new();
    dir::read(volume, &live, 0, &mut dir::Scratch::new(), &mut |entry| {
        entries.push((String::from_utf8_lossy(entry.name).into_owned(), entry.ino));
        true
    })
    .expect("a sound directory");
    for (name, ino) in entries {
        let path = format!("{path}/{name}");
        let live = inode::load(volume, ino, None).expect("a sound inode");
        let contents = if live.is_dir() {
            read_dir(volume, ino, &path, found);
            b"directory".to_vec()
        } else if live.is_symlink() {
            let mut target = vec![0; live.size() as usize];
            inode::read_link(volume, &live, 0, &mut target).expect("a sound link");
            target
        } else if live.is_file() {
            read_file(volume, &live)
        } else {
            format!("mode {:o}", live.mode()).into_bytes()
        };
        found.insert(path, contents);
    }
}

fn read_file(volume: &Volume<&Plain>, live: &Live) -> Vec<u8> {
    let mut data = vec![0; live.size() as usize];
    for (file_block, page) in data.chunks_mut(BLOCK as usize).enumerate() {
        if let Extent::Data { block, unwritten: false, .. } =
            extent::find(volume, live, file_block as u64).expect("a sound file")
        {
            volume.media().read_bytes(block * BLOCK, page).expect("a block");
        }
    }
    data
}
