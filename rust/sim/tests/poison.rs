// SPDX-License-Identifier: GPL-2.0

//! Memory that fails under a mounted volume: what is lost gives an error, changes end with the first metadata that is, what
//! was durable before stays readable, and nothing is worse when the memory is good again.

mod common;

use std::collections::BTreeSet;

use common::driver::{Driver, Op, ROOT};
use common::lossy::Lossy;
use common::model::Kind;
use common::{options, Rng};
use pfnfs_core::media::format;
use pfnfs_core::media::{Error, Geometry, Pmem, BLOCK, LINE};
use pfnfs_core::meta::extent::{self, Extent};
use pfnfs_core::meta::file::Clear;
use pfnfs_core::meta::inode::Live;
use pfnfs_core::meta::{dir, mkfs, walk, Open, Volume};
use pfnfs_sim::plain::Memory;

const SIZE: usize = 4 << 20;
/// Lines of a block.
const LINES: u64 = BLOCK / LINE;

fn machine() -> &'static Lossy {
    let memory = Memory::new(SIZE);
    mkfs::format(&memory, &options(2, 8192, 1024)).unwrap();
    let geometry = Geometry::read(&memory).unwrap();
    Lossy::new(memory, &geometry)
}

/// The same memory after a restart.
fn restart(old: &Lossy) -> &'static Lossy {
    let memory = Memory(old.plain.memory.0.clone());
    let geometry = Geometry::read(&memory).unwrap();
    Lossy::new(memory, &geometry)
}

/// Errors that say nothing of the media.
fn harmless(error: Error) -> bool {
    use Error::*;
    matches!(error, Exists | NotFound | NotEmpty | NotDir | IsDir | NoSpace | Invalid("rename"))
}

fn work(driver: &mut Driver<&'static Lossy>, rng: &mut Rng, steps: u32) {
    for _ in 0..steps {
        let op = driver.model.random(rng, 60, true, 60);
        match driver.apply(&op) {
            Ok(()) => {}
            Err(error) => assert!(harmless(error), "{op:?}: {error:?}"),
        }
    }
}

/// Blocks by what they are for.
#[derive(Default)]
struct Places {
    inodes: Vec<u64>,
    nodes: Vec<u64>,
    chunks: Vec<u64>,
    data: Vec<u64>,
}

impl walk::Visitor for Places {
    fn inode(&mut self, live: &Live) {
        self.inodes.push(live.at() / LINE);
        if live.is_symlink() && live.format().root.get() != 0 {
            self.nodes.push(live.format().root.get());
        }
    }

    fn extent(&mut self, ino: u64, _file_block: u64, block: u64, len: u32, _unwritten: bool) {
        let blocks = block..block + u64::from(len);
        if ino == format::TABLE_INO {
            self.chunks.extend(blocks.step_by(format::CHUNK_BLOCKS as usize));
        } else {
            self.data.extend(blocks);
        }
    }

    fn node(&mut self, _ino: u64, block: u64) {
        self.nodes.push(block);
    }
}

fn places(volume: &Volume<&'static Lossy>) -> Places {
    let mut blocks = vec![0; walk::Scratch::block_words(volume.geometry())];
    let mut links = vec![0; walk::Scratch::link_words(volume)];
    let mut keys = dir::Scratch::new();
    let mut scratch = walk::Scratch { blocks: &mut blocks, links: &mut links, keys: &mut keys };
    let mut places = Places::default();
    walk::check(volume, &mut scratch, &mut places).unwrap();
    places
}

/// A line of metadata: of a node or an inode mostly.
fn metadata(rng: &mut Rng, geometry: &Geometry, places: &Places) -> u64 {
    let line = |rng: &mut Rng, block: u64| block * LINES + rng.below(LINES);
    match rng.below(10) {
        0..=3 if !places.nodes.is_empty() => {
            let block = *rng.pick(&places.nodes).unwrap();
            line(rng, block)
        }
        4 | 5 => rng.pick(&places.inodes).unwrap() + rng.below(4),
        6 => rng.pick(&places.chunks).unwrap() * LINES,
        7 => geometry.half_at(rng.below(2) as u32, rng.below(2) as u8) / LINE + rng.below(40),
        8 => geometry.bitmap_at(0) / LINE + rng.below(SIZE as u64 / BLOCK / 8 / LINE),
        _ => rng.pick(&places.inodes).unwrap() + rng.below(4),
    }
}

/// The inodes that an operation may have changed, or not.
fn touched(driver: &Driver<&'static Lossy>, op: &Op) -> BTreeSet<u64> {
    let entry = |dir: &u64, name: &Vec<u8>| driver.model.entries(*dir).get(name).copied();
    let list = match op {
        Op::Create(dir, name) | Op::Mkdir(dir, name) | Op::Symlink(dir, name, _) | Op::Fifo(dir, name) => {
            vec![Some(*dir), entry(dir, name)]
        }
        Op::Link(dir, _, ino) => vec![Some(*dir), Some(*ino)],
        Op::Unlink(dir, name) | Op::UnlinkOpen(dir, name) => vec![Some(*dir), entry(dir, name)],
        Op::Rename(from, from_name, to, to_name) => {
            vec![Some(*from), Some(*to), entry(from, from_name), entry(to, to_name)]
        }
        Op::Write(ino, ..)
        | Op::Truncate(ino, _)
        | Op::Extend(ino, _)
        | Op::Preallocate(ino, ..)
        | Op::Punch(ino, ..)
        | Op::Zero(ino, ..)
        | Op::Chown(ino, ..)
        | Op::MapStore(ino, ..)
        | Op::Fsync(ino)
        | Op::Close(ino)
        | Op::Tmpfile(ino)
        | Op::Chmod(ino, _) => vec![Some(*ino)],
        Op::Checkpoint | Op::Remount | Op::Freeze => vec![],
    };
    list.into_iter().flatten().collect()
}

/// Every inode of the model but for those in `unsure` reads as it should, or not at all. How many could be read.
fn readable(driver: &Driver<&'static Lossy>, unsure: &BTreeSet<u64>) -> usize {
    let mut read = 0;
    for (ino, node) in driver.model.nodes.iter().filter(|(ino, _)| !unsure.contains(ino)) {
        match driver.node(*ino) {
            Ok(found) => {
                assert_eq!(&found, node, "inode {ino}");
                read += 1;
            }
            Err(Error::Poison { .. }) => {}
            Err(error) => panic!("inode {ino}: {error:?}"),
        }
    }
    read
}

#[derive(Default, Debug)]
struct Tally {
    /// Volumes on which an operation met the loss.
    met: usize,
    /// Inodes that could be read afterwards, and those there were.
    read: usize,
    inodes: usize,
    /// Mounts of volumes whose memory was still bad.
    mounted: usize,
    refused: usize,
}

/// Whether parts of blocks are zeroed in place.
fn has_edges(driver: &Driver<&'static Lossy>, op: &Op) -> bool {
    match op {
        Op::Punch(ino, bytes) | Op::Zero(ino, bytes) => {
            Clear::new(bytes.clone(), driver.lives[ino].size()).edges().next().is_some()
        }
        _ => false,
    }
}

/// Loses a line of metadata under a volume, goes on until an operation meets that, and looks what is left.
fn lose_metadata(seed: u64, tally: &mut Tally) {
    let mut rng = Rng(seed);
    let mut driver = Driver::mount(machine()).unwrap();
    work(&mut driver, &mut rng, 150);
    let places = places(&driver.volume);
    driver.machine.known.set(rng.below(2) == 0);
    driver.machine.lost.borrow_mut().insert(metadata(&mut rng, driver.volume.geometry(), &places));
    let (mut unsure, met) = (BTreeSet::new(), tally.met);
    for _ in 0..150 {
        let op = driver.model.random(&mut rng, 60, true, 60);
        let mut touching = touched(&driver, &op);
        let error = match driver.apply(&op) {
            Ok(()) => continue,
            Err(error) if harmless(error) => continue,
            Err(error) => error,
        };
        assert!(matches!(error, Error::Poison { .. }), "{op:?}: {error:?}");
        if rng.below(2) == 0 {
            // Somebody else's, before the file system has heard of the error: the cut must not pass what is not in place.
            let _ = driver.volume.checkpoint();
        }
        assert!(driver.volume.failed(error), "the first");
        assert!(!driver.volume.failed(error), "only the first is new");
        touching.extend(touched(&driver, &op));
        unsure = touching;
        tally.met += 1;
        break;
    }
    if tally.met == met {
        return;
    }
    let _ = driver.volume.checkpoint();
    let before = driver.model.clone();
    for _ in 0..60 {
        let op = driver.model.random(&mut rng, 60, true, 60);
        // What it does to inodes that are unsure says nothing.
        // To let go of a file without a name stores nothing: it waits. To overwrite is not for the core to refuse.
        let waits = matches!(op, Op::Close(_) | Op::Write(..) | Op::MapStore(..)) || has_edges(&driver, &op);
        if !waits && driver.lives.len() == driver.model.nodes.len() && touched(&driver, &op).is_disjoint(&unsure) {
            let _ = driver.apply(&op);
        }
    }
    assert!(driver.model == before, "seed {seed}: something was changed");
    tally.inodes += before.nodes.len();
    tally.read += readable(&driver, &unsure);
    assert_eq!(driver.volume.close(), Err(Error::ReadOnly), "nothing says that the log is empty");
    after_restart(&driver, &unsure, seed, tally);
}

/// Mounts the same memory again, still bad, and then repaired.
fn after_restart(driver: &Driver<&'static Lossy>, unsure: &BTreeSet<u64>, seed: u64, tally: &mut Tally) {
    let bad = restart(driver.machine);
    bad.lost.replace(driver.machine.lost.borrow().clone());
    bad.known.set(driver.machine.known.get());
    match Driver::mount(bad) {
        Ok(_) => tally.mounted += 1,
        Err(Error::Poison { .. }) => {
            tally.refused += 1;
            let geometry = Geometry::read(&bad).unwrap();
            // Reading what is left works even where the log cannot be replayed, unless the slots or the table are gone.
            Volume::open(bad, geometry, Open::NoRecovery).unwrap();
        }
        Err(error) => panic!("seed {seed}: {error:?}"),
    }
    let mut again = Driver::mount(restart(driver.machine)).unwrap_or_else(|error| panic!("seed {seed}: {error:?}"));
    again.check().unwrap_or_else(|error| panic!("seed {seed}: {error:?}"));
    again.model = driver.model.clone();
    let sure: Vec<u64> = again.model.nodes.keys().filter(|ino| !unsure.contains(ino)).copied().collect();
    for ino in sure {
        assert_eq!(again.node(ino).as_ref(), Ok(&again.model.nodes[&ino]), "seed {seed}: inode {ino}");
    }
    let found = again.read_back().unwrap();
    again.adopt(found, 10_000);
    work(&mut again, &mut Rng(seed), 40);
    again.compare();
}

#[test]
fn metadata_that_is_lost_ends_all_changes() {
    let mut tally = Tally::default();
    (0..250).for_each(|seed| lose_metadata(seed, &mut tally));
    println!("{tally:?}");
    assert!(tally.met > 80 && tally.mounted > 20 && tally.refused > 20, "{tally:?}");
    assert!(tally.read * 10 > tally.inodes * 7, "{tally:?}");
}

/// Loses data and free blocks: nobody but who touches the data sees it.
fn lose_data(seed: u64) -> (usize, usize) {
    let mut rng = Rng(seed);
    let mut driver = Driver::mount(machine()).unwrap();
    work(&mut driver, &mut rng, 150);
    // What waits to be freed is met by the checker, but not by visitors.
    driver.volume.reclaim().unwrap();
    let places = places(&driver.volume);
    let used: BTreeSet<u64> = places.data.iter().chain(&places.nodes).copied().collect();
    let inside = |block: &u64| places.chunks.iter().any(|at| (*at..at + format::CHUNK_BLOCKS).contains(block));
    let free: Vec<u64> =
        driver.volume.geometry().data().filter(|block| !used.contains(block) && !inside(block)).collect();
    let mut lost: BTreeSet<u64> = (0..free.len() / 5).filter_map(|_| rng.pick(&free)).copied().collect();
    lost.extend((0..places.data.len() / 10).filter_map(|_| rng.pick(&places.data)).copied());
    let lines = lost.iter().flat_map(|block| block * LINES..(block + 1) * LINES);
    driver.machine.lost.borrow_mut().extend(lines);
    let mut failed = 0;
    for _ in 0..200 {
        let op = driver.model.random(&mut rng, 60, true, 60);
        match driver.apply(&op) {
            Err(Error::Poison { at }) => {
                assert!(places.data.contains(&(at / BLOCK)), "{op:?}: a lost block that nobody had was taken");
                failed += 1;
            }
            Err(error) => assert!(harmless(error), "{op:?}: {error:?}"),
            Ok(()) => {}
        }
    }
    readable(&driver, &BTreeSet::new());
    let lost_data = driver.model.files().into_iter().filter(|ino| driver.node(*ino).is_err()).count();
    driver.check().unwrap();
    driver.volume.checkpoint().unwrap();
    driver.volume.close().unwrap();
    (failed, lost_data)
}

#[test]
fn data_that_is_lost_is_all_that_is_lost() {
    let (mut failed, mut lost) = (0, 0);
    for seed in 0..60 {
        let (f, l) = lose_data(seed);
        failed += f;
        lost += l;
    }
    println!("{failed} operations and {lost} files met lost data");
    assert!(failed > 5 && lost > 20);
}

/// Free blocks fail while they are filled: whoever fills them takes others. Says how many failed.
fn lose_fresh(seed: u64) -> u64 {
    let mut rng = Rng(seed);
    let mut driver = Driver::mount(machine()).unwrap();
    work(&mut driver, &mut rng, 40);
    driver.machine.flaky.set(40);
    work(&mut driver, &mut rng, 150);
    driver.machine.flaky.set(0);
    assert_eq!(readable(&driver, &BTreeSet::new()), driver.model.nodes.len(), "nothing is lost");
    driver.check().unwrap();
    driver.volume.close().unwrap();
    driver.machine.failed.get()
}

#[test]
fn fresh_blocks_that_fail_are_replaced() {
    let failed: u64 = (0..60).map(lose_fresh).sum();
    println!("{failed} blocks failed");
    // Blocks of data, and nodes of trees.
    assert!(failed > 200);
}

/// A volume without a free block, on which a file has as many extents as the inode holds, preallocated. The file, and the blocks
/// of its middle extent.
fn full_volume() -> (Driver<&'static Lossy>, u64, u64) {
    let mut driver = Driver::mount(machine()).unwrap();
    let file = |driver: &mut Driver<_>, name: &str| {
        driver.apply(&Op::Create(ROOT, name.into())).unwrap();
        driver.model.entries(ROOT)[name.as_bytes()]
    };
    let (old, ino, rest) = (file(&mut driver, "old"), file(&mut driver, "file"), file(&mut driver, "rest"));
    // What is preallocated does not have zeroes in it.
    driver.apply(&Op::Write(old, 0, vec![0xee; 700 * BLOCK as usize])).unwrap();
    driver.apply(&Op::Truncate(old, 0)).unwrap();
    for extent in 0..format::INLINE_EXTENTS as u64 {
        driver.apply(&Op::Preallocate(ino, extent * 20, 10)).unwrap();
    }
    driver.apply(&Op::Extend(ino, 200 * BLOCK)).unwrap();
    let full = (0..).map(|at| driver.apply(&Op::Write(rest, at * BLOCK, vec![1; BLOCK as usize]))).find(Result::is_err);
    assert_eq!((full, driver.volume.space().free), (Some(Err(Error::NoSpace)), 0));
    let Ok(Extent::Data { block, len: 10, unwritten: true, .. }) =
        extent::find(&driver.volume, &driver.lives[&ino], 40)
    else {
        panic!("no extent of ten blocks")
    };
    (driver, ino, block)
}

#[test]
fn a_failed_block_of_an_extent_is_the_loss_of_nobody_else() {
    // Which blocks fail, and which one is written. Without a node nothing can be in two extents that was in one.
    for (lost, written) in [(vec![], 5), (vec![0], 5), (vec![2, 8], 5), (vec![5], 5), (vec![9], 0)] {
        for map in [false, true] {
            let (mut driver, ino, block) = full_volume();
            lost.iter().for_each(|n| driver.machine.lose(block + n));
            let at = (40 + written) * BLOCK;
            let op = if map { Op::MapStore(ino, at, vec![3; 8], false) } else { Op::Write(ino, at, vec![3; 8]) };
            let result = driver.apply(&op);
            match result {
                Ok(()) => assert!(lost.is_empty(), "{op:?}"),
                Err(Error::Poison { at }) => {
                    assert!(at / BLOCK == block + written && lost.contains(&written), "{op:?}")
                }
                other => {
                    assert!(other == Err(Error::NoSpace) && !lost.contains(&written), "{lost:?} {op:?}: {other:?}")
                }
            }
            // The rest of the volume goes on, and so does the file where there is a node again.
            driver.apply(&Op::Chmod(ROOT, 0o700)).unwrap();
            driver.apply(&Op::Unlink(ROOT, b"rest".to_vec())).unwrap();
            if !lost.contains(&written) {
                driver.apply(&op).unwrap();
            }
            driver.compare();
            driver.check().unwrap();
        }
    }
}

/// Mounts with these lines lost, unknown before. What became of it, and what it says is damaged.
fn mount_without(lines: std::ops::Range<u64>) -> (Driver<&'static Lossy>, Option<u64>, Option<u64>) {
    let mut driver = Driver::mount(machine()).unwrap();
    driver.apply(&Op::Create(ROOT, b"file".to_vec())).unwrap();
    let ino = driver.model.files()[0];
    driver.apply(&Op::Write(ino, 0, vec![7; 9000])).unwrap();
    let model = driver.model.clone();
    let machine = restart(driver.machine);
    machine.known.set(false);
    machine.lost.borrow_mut().extend(lines);
    let superblock = Geometry::read(&machine).unwrap().damaged();
    let mut driver = Driver::mount(machine).unwrap();
    driver.adopt(model, 1000);
    driver.apply(&Op::Create(ROOT, b"another".to_vec())).unwrap();
    driver.compare();
    assert!(matches!(driver.model.nodes[&ino].kind, Kind::File(ref data) if data.len() == 9000));
    let slot = driver.volume.damaged();
    driver.volume.close().unwrap();
    (driver, superblock, slot)
}

#[test]
fn copies_serve() {
    let last = SIZE as u64 - BLOCK;
    assert_eq!(mount_without(0..0).1, None);
    assert_eq!(mount_without(0..0).2, None);
    assert_eq!(mount_without(0..LINES).1, Some(0));
    assert_eq!(mount_without(last / LINE..last / LINE + LINES).1, Some(last));
    for offset in format::SLOT_OFFSETS {
        let at = format::SLOT_BLOCK * BLOCK + offset;
        assert_eq!(mount_without(at / LINE..at / LINE + 1).2, Some(at));
    }
    // Both: nobody can say what of the log counts.
    let machine = restart(mount_without(0..0).0.machine);
    machine.lost.borrow_mut().extend(LINES..2 * LINES);
    assert!(matches!(Driver::mount(machine).err(), Some(Error::Poison { .. })));
    assert!((&machine).size() > 0);
}

#[test]
fn an_error_that_closing_meets_is_new_all_the_same() {
    let mut driver = Driver::mount(machine()).unwrap();
    driver.apply(&Op::Create(ROOT, b"file".to_vec())).unwrap();
    let log = driver.volume.geometry().half_at(0, 0);
    driver.machine.lost.borrow_mut().insert(log / LINE);
    let error = driver.volume.close().unwrap_err();
    assert!(matches!(error, Error::Poison { .. }), "{error:?}");
    assert!(!driver.volume.read_only(), "it is not closed");
    assert!(driver.volume.failed(error), "nobody has said so yet, though nothing can be changed");
    assert!(!driver.volume.failed(error), "only the first is new");
}
