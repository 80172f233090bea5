// SPDX-License-Identifier: GPL-2.0

//! Sound images to start from, small, with a bit of everything; and what lies where in them.

use std::sync::Arc;

use pfnfs_core::media::format::{self, Record, Slot, Time};
use pfnfs_core::media::{Geometry, Result, BLOCK};
use pfnfs_core::meta::inode::{Live, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFREG};
use pfnfs_core::meta::ops::What;
use pfnfs_core::meta::{dir, mkfs, walk, Machine, Open, Volume};
use zerocopy::FromBytes;

use super::files::Files;
use super::lossy::Lossy;
use crate::plain::Plain;
use crate::random::Random;

/// Bytes of every base: what the smallest device has.
pub const SIZE: usize = 2 << 20;
/// The root directory.
pub const ROOT: u64 = format::ROOT_INO;
/// Inode numbers at most.
const INODES: u64 = 512;

/// What can lie somewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Super,
    Slot,
    /// A whole record of the log that counts, or did.
    Record,
    /// Half a lane.
    Half,
    Bitmap,
    /// Header of a chunk of the inode table.
    Chunk,
    Inode,
    Node,
    /// Block of a long symlink.
    Symlink,
    /// Block of a file.
    Data,
}

/// All kinds, in order, with their names.
pub const KINDS: [(Kind, &str); 10] = [
    (Kind::Super, "super"),
    (Kind::Slot, "slot"),
    (Kind::Record, "record"),
    (Kind::Half, "half"),
    (Kind::Bitmap, "bitmap"),
    (Kind::Chunk, "chunk"),
    (Kind::Inode, "inode"),
    (Kind::Node, "node"),
    (Kind::Symlink, "symlink"),
    (Kind::Data, "data"),
];

/// Where something lies, and which inode it belongs to, or 0.
#[derive(Clone, Copy, Debug)]
pub struct Spot {
    pub at: u64,
    pub ino: u64,
}

/// A sound image.
pub struct Base {
    pub name: &'static str,
    pub image: Arc<Vec<u8>>,
    pub geometry: Geometry,
    /// Inodes in use.
    pub inos: Vec<u64>,
    /// The sequence of the newest record.
    pub newest: u64,
    spots: [Vec<Spot>; KINDS.len()],
}

impl Base {
    /// Where the things of a kind lie.
    pub fn spots(&self, kind: Kind) -> &[Spot] {
        &self.spots[kind as usize]
    }

    /// An object of the image.
    pub fn read<T: FromBytes>(&self, at: u64) -> T {
        T::read_from_prefix(&self.image[at as usize..]).expect("within the image").0
    }
}

/// Collects what a walk visits.
struct Map<'a>(&'a mut [Vec<Spot>; KINDS.len()], &'a mut Vec<u64>);

impl Map<'_> {
    fn add(&mut self, kind: Kind, at: u64, ino: u64) {
        self.0[kind as usize].push(Spot { at, ino });
    }
}

impl walk::Visitor for Map<'_> {
    fn inode(&mut self, live: &Live) {
        self.add(Kind::Inode, live.at(), live.ino());
        self.1.push(live.ino());
        if live.is_symlink() && live.format().root.get() != 0 {
            self.add(Kind::Symlink, live.format().root.get() * BLOCK, live.ino());
        }
    }

    fn extent(&mut self, ino: u64, _file_block: u64, block: u64, len: u32, _unwritten: bool) {
        if ino == format::TABLE_INO {
            for chunk in (block..block + u64::from(len)).step_by(format::CHUNK_BLOCKS as usize) {
                self.add(Kind::Chunk, chunk * BLOCK, 0);
            }
        } else {
            self.add(Kind::Data, block * BLOCK, ino);
        }
    }

    fn node(&mut self, ino: u64, block: u64) {
        self.add(Kind::Node, block * BLOCK, ino);
    }
}

/// Memory for a walk, and the walk.
pub fn check<M: Machine>(volume: &Volume<M>, visitor: &mut dyn walk::Visitor) -> Result<walk::Summary> {
    let mut blocks = vec![0; walk::Scratch::block_words(volume.geometry())];
    let mut links = vec![0; walk::Scratch::link_words(volume)];
    let mut keys = dir::Scratch::new();
    walk::check(volume, &mut walk::Scratch { blocks: &mut blocks, links: &mut links, keys: &mut keys }, visitor)
}

/// What a half of the log holds: where each record that counts lies, its sequence, and the offset behind the last.
pub fn records(image: &[u8], geometry: &Geometry, nonce: u64, lane: u32, half: u8) -> (Vec<(u64, u64)>, u32) {
    let (start, mut end, mut last) = (geometry.half_at(lane, half), 0, 0);
    let mut found = Vec::new();
    while end + 64 <= geometry.half_size() {
        let at = start + u64::from(end);
        let header = Record::read_from_prefix(&image[at as usize..]).expect("within the log").0;
        let (len, seq) = (header.len.get(), header.seq.get());
        if header.nonce.get() != nonce
            || seq <= last
            || len < 24
            || u64::from(end) + u64::from(len) > u64::from(geometry.half_size())
        {
            break;
        }
        found.push((at, seq));
        last = seq;
        end += len.next_multiple_of(64);
    }
    (found, end)
}

/// A volume under construction.
type Maker<'a> = Files<&'a Plain<Lossy>>;

fn options() -> mkfs::Options {
    mkfs::Options {
        uuid: *b"0123456789abcdef",
        label: *b"a volume to be fuzzed\0\0\0\0\0\0\0\0\0\0\0",
        hash_seed: *b"the seed of hash",
        lanes: 2,
        half_size: 4096,
        max_inodes: INODES,
        now: Time { sec: 1.into(), nsec: 7.into() },
        ..mkfs::Options::suited(SIZE as u64)
    }
}

/// How a base is made.
struct Recipe {
    name: &'static str,
    /// What is in place in the end.
    settled: fn(&Maker<'_>, &mut Random) -> Result,
    /// What is only in the log.
    logged: Option<fn(&Maker<'_>, &mut Random) -> Result>,
    /// The fence of `logged` at which the power fails, counted from the last; none if it does behind.
    cut: Option<usize>,
}

/// All bases.
pub fn all() -> Vec<Base> {
    let recipes = [
        Recipe { name: "small", settled: small, logged: None, cut: None },
        Recipe { name: "mixed", settled: mixed, logged: None, cut: None },
        Recipe { name: "tall", settled: tall, logged: None, cut: None },
        Recipe { name: "dirty", settled: mixed, logged: Some(busy), cut: None },
        Recipe { name: "torn", settled: scattered, logged: Some(truncating), cut: Some(2) },
    ];
    recipes.iter().map(|recipe| make(recipe).unwrap_or_else(|error| panic!("{}: {error:?}", recipe.name))).collect()
}

fn make(recipe: &Recipe) -> Result<Base> {
    let memory = Lossy::new(SIZE);
    mkfs::format(&memory, &options())?;
    let geometry = Geometry::read(&memory)?;
    let machine = Plain::new(memory, &geometry);
    let files = Files::mount(&machine, geometry, Open::ReadWrite)?;
    let mut random = Random::new(1);
    (recipe.settled)(&files, &mut random)?;
    files.volume.checkpoint()?;
    if let Some(logged) = recipe.logged {
        machine.memory.keep.set(recipe.cut.is_some());
        logged(&files, &mut random)?;
    }
    let mut spots: [Vec<Spot>; KINDS.len()] = Default::default();
    let mut inos = Vec::new();
    check(&files.volume, &mut Map(&mut spots, &mut inos))?;
    let image = match recipe.cut {
        Some(back) => machine.memory.kept.borrow_mut().iter().rev().nth(back).expect("so many fences").clone(),
        None => {
            if recipe.logged.is_none() {
                files.volume.close()?;
            }
            machine.memory.cut()
        }
    };
    let mut map = Map(&mut spots, &mut inos);
    let newest = fixed(&image, &geometry, &mut map);
    Ok(Base { name: recipe.name, image: Arc::new(image), geometry, inos, newest, spots })
}

/// What lies in fixed places, and the log; returns the newest record's sequence.
fn fixed(image: &[u8], geometry: &Geometry, map: &mut Map<'_>) -> u64 {
    for block in [0, geometry.blocks() - 1] {
        map.add(Kind::Super, block * BLOCK, 0);
    }
    let mut nonce = 0;
    for offset in format::SLOT_OFFSETS {
        let at = format::SLOT_BLOCK * BLOCK + offset;
        nonce = Slot::read_from_prefix(&image[at as usize..]).expect("within the image").0.nonce.get();
        map.add(Kind::Slot, at, 0);
    }
    let mut newest = 0;
    for (lane, half) in (0..geometry.lanes()).flat_map(|lane| [(lane, 0), (lane, 1)]) {
        map.add(Kind::Half, geometry.half_at(lane, half), 0);
        for (at, seq) in records(image, geometry, nonce, lane, half).0 {
            map.add(Kind::Record, at, 0);
            newest = newest.max(seq);
        }
    }
    for group in 0..geometry.groups() {
        map.add(Kind::Bitmap, geometry.bitmap_at(group), 0);
    }
    map.add(Kind::Inode, format::TABLE_BLOCK * BLOCK, 0);
    newest
}

fn small(files: &Maker<'_>, _: &mut Random) -> Result {
    let dir = files.create(ROOT, b"dir", S_IFDIR | 0o755, What::Dir)?;
    let file = files.create(dir, b"file", S_IFREG | 0o644, What::File)?;
    files.write(file, 0, 5000)
}

/// Writes a block at a time: a record for each.
fn by_blocks(files: &Maker<'_>, file: u64, pos: u64, len: usize) -> Result {
    let (mut pos, mut left) = (pos, len);
    while left > 0 {
        let n = left.min((BLOCK - pos % BLOCK) as usize);
        files.write(file, pos, n)?;
        (pos, left) = (pos + n as u64, left - n);
    }
    Ok(())
}

/// Directories with a leaf and with many, files with inline extents and with trees, links of all kinds.
fn mixed(files: &Maker<'_>, random: &mut Random) -> Result {
    let dir = files.create(ROOT, b"dir", S_IFDIR | 0o755, What::Dir)?;
    let below = files.create(dir, b"below", S_IFDIR | 0o700, What::Dir)?;
    let wide = files.create(ROOT, b"wide", S_IFDIR | 0o755, What::Dir)?;
    let sparse = files.create(dir, b"sparse", S_IFREG | 0o644, What::File)?;
    for block in 0..14 {
        files.write(sparse, 2 * block * BLOCK, 100)?;
    }
    files.preallocate(sparse, 30, 5)?;
    for index in 0..24u64 {
        let dir = [ROOT, dir, below][random.below(3)];
        let file = files.create(dir, format!("file {index}").as_bytes(), S_IFREG | 0o644, What::File)?;
        by_blocks(files, file, index % 3 * BLOCK, 1 + random.below(9000))?;
        files.link(wide, format!("link {index} {}", "x".repeat(random.below(200))).as_bytes(), file)?;
        files.link(wide, format!("again {index} {}", "y".repeat(random.below(240))).as_bytes(), file)?;
    }
    files.create(ROOT, b"short", S_IFLNK | 0o777, What::Symlink(b"dir/below"))?;
    files.create(below, b"long", S_IFLNK | 0o777, What::Symlink(&[b't'; 1000]))?;
    files.create(ROOT, b"fifo", S_IFIFO | 0o600, What::Node(0))?;
    files.create(dir, b"null", S_IFCHR | 0o666, What::Node(0x103))?;
    files.tmpfile(ROOT, S_IFREG | 0o600).map(drop)
}

/// The same, and a file with many extents.
fn scattered(files: &Maker<'_>, random: &mut Random) -> Result {
    mixed(files, random)?;
    let file = files.create(ROOT, b"scattered", S_IFREG | 0o644, What::File)?;
    (0..90).try_for_each(|block| files.preallocate(file, 2 * block, 1))?;
    files.truncate(file, 200 * BLOCK)
}

/// A directory of three levels, most of whose leaves are gone again, and a file whose tree has several leaves.
fn tall(files: &Maker<'_>, _: &mut Random) -> Result {
    let dir = files.create(ROOT, b"tall", S_IFDIR | 0o755, What::Dir)?;
    let file = files.create(ROOT, b"file", S_IFREG | 0o644, What::File)?;
    let name = |index: u32| format!("{index:0>250}").into_bytes();
    for index in 0..3000 {
        files.link(dir, &name(index), file)?;
    }
    for index in (0..3000).filter(|index| index % 80 != 0) {
        files.unlink(dir, &name(index), false)?;
    }
    for block in 0..200 {
        files.preallocate(file, 2 * block, 1)?;
    }
    files.write(file, 0, BLOCK as usize)
}

/// Fills both lanes of the log with records of many kinds.
fn busy(files: &Maker<'_>, random: &mut Random) -> Result {
    let lanes = files.machine();
    for index in 0..26u32 {
        lanes.cpu.set(index % 2);
        let name = format!("new {index}").into_bytes();
        match index % 7 {
            0 | 1 => {
                let file = files.create(ROOT, &name, S_IFREG | 0o644, What::File)?;
                by_blocks(files, file, 0, 1 + random.below(6000))?;
            }
            2 => drop(files.create(ROOT, &name, S_IFDIR | 0o755, What::Dir)?),
            3 => files.rename(ROOT, format!("new {}", index - 2).as_bytes(), ROOT, &name)?,
            4 => files.create(ROOT, &name, S_IFLNK | 0o777, What::Symlink(&[b's'; 200])).map(drop)?,
            5 => files.unlink(ROOT, format!("new {}", index - 5).as_bytes(), true)?,
            _ => files.tmpfile(ROOT, S_IFREG | 0o600).map(drop)?,
        }
    }
    Ok(())
}

/// A truncation that takes several records.
fn truncating(files: &Maker<'_>, _: &mut Random) -> Result {
    let file = files.find(ROOT, b"scattered")?.expect("made before");
    files.truncate(file, 1)
}
