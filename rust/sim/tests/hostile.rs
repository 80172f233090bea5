// SPDX-License-Identifier: GPL-2.0

//! Damaged and forged images: opened, walked and worked on, they give errors and nothing else. No panic, no overflow (the test
//! profile checks), no work without end (the machine counts reads).
//!
//! Many of the images have right checksums, so that what is forged is reached.

mod common;

use std::panic::{catch_unwind, AssertUnwindSafe};

use common::driver::{Driver, Op, ROOT};
use common::fragile::{memory, words, Fragile};
use common::{options, time, Rng};
use pfnfs_core::media::format::{self, Chunk, Inode, Super};
use pfnfs_core::media::{check, Error, Geometry, Pmem, PmemMut, Result, BLOCK};
use pfnfs_core::meta::inode::{Live, Orphan, S_IFREG};
use pfnfs_core::meta::ops::{self, New, What};
use pfnfs_core::meta::{dir, extent, inode, mkfs, walk, Open, Volume};
use pfnfs_sim::plain::Memory;
use zerocopy::IntoBytes;

/// What lies where in the images, so that mutations hit it.
#[derive(Default)]
struct Places {
    inodes: Vec<u64>,
    nodes: Vec<u64>,
    chunks: Vec<u64>,
}

impl walk::Visitor for Places {
    fn inode(&mut self, live: &Live) {
        self.inodes.push(live.at());
    }

    fn extent(&mut self, ino: u64, _file_block: u64, block: u64, len: u32, _unwritten: bool) {
        if ino == format::TABLE_INO {
            self.chunks.extend((block..block + u64::from(len)).step_by(format::CHUNK_BLOCKS as usize));
        }
    }

    fn node(&mut self, _ino: u64, block: u64) {
        self.nodes.push(block);
    }
}

/// A volume with a bit of everything: deep directories, trees, orphans, a log that is not empty.
fn sample(seed: u64) -> (Vec<u64>, Places) {
    let formatted = Memory::new(1 << 20);
    mkfs::format(&formatted, &options(2, 4096, 768)).unwrap();
    let machine = Fragile::new(words(&formatted), seed);
    let mut driver = Driver::mount(machine).unwrap();
    let mut rng = Rng(seed);
    for index in 0..260 {
        driver.apply(&Op::Create(ROOT, format!("file {index}").into_bytes())).unwrap();
    }
    let ino = driver.model.files()[0];
    for block in 0..30 {
        driver.apply(&Op::Write(ino, 2 * block * BLOCK, vec![1; BLOCK as usize])).unwrap();
    }
    for _ in 0..300 {
        let _ = driver.apply(&driver.model.random(&mut rng, 60, true, 40));
    }
    let new = New { mode: S_IFREG, uid: 0, gid: 0, now: time(1), what: What::File };
    let _orphan = ops::tmpfile(&driver.volume, ROOT, &new).unwrap();
    let mut places = Places::default();
    let mut blocks = vec![0; walk::Scratch::block_words(driver.volume.geometry())];
    let mut links = vec![0; walk::Scratch::link_words(&driver.volume)];
    let mut keys = dir::Scratch::new();
    let mut scratch = walk::Scratch { blocks: &mut blocks, links: &mut links, keys: &mut keys };
    walk::check(&driver.volume, &mut scratch, &mut places).unwrap();
    // All stores have arrived, so that mutations of what is in place matter also where the log has it.
    let image = machine.media.borrow().cut(pfnfs_sim::media::Cut::Nothing, &mut pfnfs_sim::random::Random::new(seed));
    (image, places)
}

fn fix_node(image: &mut [u8], block: u64) {
    let start = (block * BLOCK) as usize;
    if let Some(node) = image.get_mut(start..start + BLOCK as usize) {
        common::fix_sum(node);
    }
}

fn fix<T: IntoBytes + zerocopy::FromBytes + zerocopy::Immutable>(memory: &Memory, at: u64, f: impl FnOnce(&mut T)) {
    if let Ok(mut object) = memory.read::<T>(at) {
        f(&mut object);
        let _ = memory.store(at, object.as_bytes());
    }
}

/// Makes checksums right, those that the mutation may have broken.
fn fix_up(image: Vec<u8>, places: &Places) -> Vec<u8> {
    let mut image = image;
    places.nodes.iter().for_each(|block| fix_node(&mut image, *block));
    let memory = Memory(std::cell::RefCell::new(image));
    let uuid = options(1, 4096, 256).uuid;
    let last = memory.size() / BLOCK * BLOCK - BLOCK;
    for at in [0, last] {
        fix::<Super>(&memory, at, |sb| sb.crc = check::super_crc(sb, at).into());
    }
    for at in format::SLOT_OFFSETS.map(|offset| BLOCK + offset) {
        fix::<format::Slot>(&memory, at, |slot| slot.crc = check::slot_crc(&uuid, slot, at).into());
    }
    for at in places.inodes.iter().copied().chain([format::TABLE_BLOCK * BLOCK]) {
        fix::<Inode>(&memory, at, |inode| inode.crc = check::inode_crc(&uuid, inode).into());
    }
    for at in places.chunks.iter().map(|block| block * BLOCK) {
        fix::<Chunk>(&memory, at, |chunk| chunk.crc = check::chunk_crc(&uuid, chunk, at).into());
    }
    memory.0.into_inner()
}

/// Where a mutation goes: metadata mostly.
fn target(rng: &mut Rng, places: &Places, size: u64) -> u64 {
    let within =
        |rng: &mut Rng, list: &[u64], scale: u64, len: u64| rng.pick(list).map_or(0, |at| at * scale) + rng.below(len);
    match rng.below(10) {
        0 => rng.below(256),
        1 => BLOCK + rng.below(2) * 2048 + rng.below(64),
        2 => 2 * BLOCK + rng.below(256),
        3 => within(rng, &places.chunks, BLOCK, 128),
        4 | 5 => within(rng, &places.inodes, 1, 256),
        6 => within(rng, &places.nodes, BLOCK, 64),
        7 => within(rng, &places.nodes, BLOCK, 900),
        8 => within(rng, &places.nodes, BLOCK, BLOCK),
        _ => rng.below(size),
    }
}

/// A value that somebody might not have thought of.
fn value(rng: &mut Rng) -> u64 {
    match rng.below(8) {
        0 => 0,
        1 => u64::MAX,
        2 => 1 << rng.below(64),
        3 => (1 << rng.below(64)) - 1,
        4 => rng.below(256),
        5 => rng.below(4097),
        6 => u64::from(u32::MAX),
        _ => rng.next(),
    }
}

fn mutate(image: &mut Vec<u8>, rng: &mut Rng, places: &Places) {
    for _ in 0..1 + rng.below(4) {
        let at = target(rng, places, image.len() as u64) as usize;
        match rng.below(4) {
            0 | 1 => {
                if let Some(byte) = image.get_mut(at) {
                    *byte ^= 1 << rng.below(8);
                }
            }
            2 => {
                let len = 1usize << rng.below(4);
                let at = at & !(len - 1);
                let bytes = value(rng).to_le_bytes();
                image.iter_mut().skip(at).take(len).zip(bytes).for_each(|(to, from)| *to = from);
            }
            _ => {
                // A part of another place: what is well-formed, but elsewhere.
                let from = target(rng, places, image.len() as u64) as usize & !7;
                let len = 8 << rng.below(6);
                let piece: Vec<u8> = image.iter().skip(from).take(len).copied().collect();
                image.iter_mut().skip(at & !7).zip(piece).for_each(|(to, from)| *to = from);
            }
        }
    }
    if rng.below(30) == 0 {
        let len = rng.below(image.len() as u64 + 1) as usize / 8 * 8;
        image.truncate(len);
    }
}

/// Opens the image and does everything to it. Errors are welcome.
fn exercise(image: &[u64], rng: &mut Rng) -> Result<bool> {
    let memory = memory(image);
    let geometry = Geometry::read(&memory)?;
    let machine = Fragile::with(image.to_vec(), &geometry, rng.next());
    let how = if rng.below(8) == 0 { Open::NoRecovery } else { Open::ReadWrite };
    let volume = Volume::open(&machine, geometry, how)?;
    let sound = check_all(&volume).is_ok();
    let mut from = 0;
    while let Some(ino) = volume.orphans(from)? {
        from = ino + 1;
        if let Ok(mut live) = inode::load(&volume, ino, None) {
            let _ = match live.orphan() {
                Orphan::Truncating => ops::finish_truncate(&volume, &mut live).map(drop),
                _ => ops::evict(&volume, live),
            };
        }
    }
    let mut inos: Vec<u64> = (16..volume.space().inodes.min(800)).collect();
    while inos.len() > 120 {
        inos.swap_remove(rng.below(inos.len() as u64) as usize);
    }
    inos.push(ROOT);
    for ino in inos {
        if let Ok(mut live) = inode::load(&volume, ino, None) {
            let result =
                if live.is_dir() { use_dir(&volume, &mut live, rng) } else { use_file(&volume, &mut live, rng) };
            let _ = result;
        }
    }
    let _ = volume.checkpoint();
    let _ = check_all(&volume);
    Ok(sound)
}

fn check_all(volume: &Volume<&Fragile>) -> Result<walk::Summary> {
    let mut blocks = vec![0; walk::Scratch::block_words(volume.geometry())];
    let mut links = vec![0; walk::Scratch::link_words(volume)];
    let mut keys = dir::Scratch::new();
    walk::check(volume, &mut walk::Scratch { blocks: &mut blocks, links: &mut links, keys: &mut keys }, &mut ())
}

fn use_dir(volume: &Volume<&Fragile>, live: &mut Live, rng: &mut Rng) -> Result {
    let mut names = Vec::new();
    let mut scratch = dir::Scratch::new();
    let read = dir::read(volume, live, 0, &mut scratch, &mut |entry| {
        names.push((entry.name.to_vec(), entry.ino));
        names.len() < 2000
    });
    assert!(names.len() <= 2000);
    let _ = dir::read(volume, live, rng.next(), &mut scratch, &mut |_| true);
    let new = New { mode: S_IFREG | 0o644, uid: 0, gid: 0, now: time(2), what: What::File };
    for index in 0..6 {
        let long = "y".repeat(rng.below(240) as usize);
        let _ = ops::create(volume, live, format!("new {index} {long}").as_bytes(), &new);
    }
    for (name, ino) in names.iter().take(40) {
        let _ = dir::lookup(volume, live, name);
        let Ok(mut victim) = inode::load(volume, *ino, None) else { continue };
        if rng.below(2) == 0 && victim.ino() != live.ino() {
            let rename = ops::Rename {
                from: live,
                from_name: name,
                to: None,
                to_name: b"renamed",
                moved: &mut victim,
                victim: None,
                now: time(3),
            };
            let _ = ops::rename(volume, rename);
        } else if !victim.is_dir()
            && ops::unlink(volume, live, name, &mut victim, time(3)).is_ok()
            && victim.nlink() == 0
        {
            let _ = ops::evict(volume, victim);
        }
    }
    read
}

fn use_file(volume: &Volume<&Fragile>, live: &mut Live, rng: &mut Rng) -> Result {
    let mut target = [0; 100];
    let _ = inode::read_link(volume, live, rng.below(200), &mut target);
    let mut block = 0;
    for _ in 0..200 {
        match extent::find(volume, live, block)? {
            extent::Extent::Hole { len } => block += len.max(1),
            extent::Extent::Data { len, .. } => block += u64::from(len.max(1)),
        }
        if block >= extent::FILE_BLOCKS {
            break;
        }
    }
    for _ in 0..4 {
        let at = rng.below(80);
        if let Ok(blocks) = volume.reserve(0, 1 + rng.below(4) as u32, false) {
            let _ = ops::preallocate(volume, live, at, blocks, Some(rng.next() >> rng.below(64)), time(4));
        }
        let _ = ops::written(volume, live, at, 1 + rng.below(20), None, time(4));
        let _ = ops::punch(volume, live, at..at + rng.below(10), time(4));
    }
    let _ = ops::extend(volume, live, rng.next() >> rng.below(64), time(4));
    let size = live.size();
    let _ = ops::truncate(volume, live, if size == 0 { 0 } else { rng.below(size) }, time(5));
    Ok(())
}

/// What became of the images.
#[derive(Debug, Default)]
struct Tally {
    refused: usize,
    damaged: usize,
    sound: usize,
}

fn run(seeds: std::ops::Range<u64>, fixed: bool) -> Tally {
    let samples: Vec<_> = (0..3).map(sample).collect();
    let mut tally = Tally::default();
    for seed in seeds {
        let mut rng = Rng(seed.wrapping_mul(0x1234_5678_9abc_def1));
        let (image, places) = &samples[rng.below(samples.len() as u64) as usize];
        let mut bytes: Vec<u8> = image.iter().flat_map(|word| word.to_le_bytes()).collect();
        mutate(&mut bytes, &mut rng, places);
        if fixed && bytes.len() >= 4 * BLOCK as usize {
            bytes = fix_up(bytes, places);
        }
        let image: Vec<u64> = bytes.chunks_exact(8).map(|word| u64::from_le_bytes(word.try_into().unwrap())).collect();
        match catch_unwind(AssertUnwindSafe(|| exercise(&image, &mut rng))) {
            Ok(Ok(true)) => tally.sound += 1,
            Ok(Ok(false)) => tally.damaged += 1,
            Ok(Err(Error::Invalid(why))) => panic!("seed {seed}: mount says Invalid({why})"),
            Ok(Err(_)) => tally.refused += 1,
            Err(_) => panic!("seed {seed}, fixed {fixed}: panicked"),
        }
    }
    tally
}

#[test]
fn mutations_with_wrong_checksums() {
    let tally = run(0..600, false);
    println!("{tally:?}");
    assert!(tally.refused > 30 && tally.damaged > 100 && tally.sound > 10, "{tally:?}");
}

#[test]
fn mutations_with_right_checksums() {
    let tally = run(1000..1900, true);
    println!("{tally:?}");
    assert!(tally.refused > 30 && tally.damaged > 200 && tally.sound > 10, "{tally:?}");
}
