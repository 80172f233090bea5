// SPDX-License-Identifier: GPL-2.0

//! What has to be refused, to whomever it comes: by the file system's shell it never does, and still the core may not rely on
//! that. And what is done before anything else: a truncation that was interrupted is finished.

mod common;

use std::cell::RefCell;
use std::rc::Rc;

use common::driver::{Driver, Op, ROOT};
use common::fragile::{memory, words};
use common::{options, time};
use pfnfs_core::media::{Error, Geometry, Result, BLOCK};
use pfnfs_core::meta::inode::{self, Live, Orphan, S_IFDIR, S_IFREG};
use pfnfs_core::meta::ops::{self, New, What};
use pfnfs_core::meta::{mkfs, Open, Volume};
use pfnfs_sim::plain::{Memory, Plain};
use pfnfs_sim::world::{Policy, Program, World};

type Machine = &'static Plain;

fn machine(memory: Memory) -> Machine {
    let geometry = Geometry::read(&memory).unwrap();
    Box::leak(Box::new(Plain::new(memory, &geometry)))
}

fn formatted(size: usize, lanes: u32, half: u32) -> Memory {
    let memory = Memory::new(size);
    mkfs::format(&memory, &options(lanes, half, 4096)).unwrap();
    memory
}

fn driver(size: usize) -> Driver<Machine> {
    Driver::mount(machine(formatted(size, 2, 8192))).unwrap()
}

fn named(driver: &Driver<Machine>, name: &str) -> u64 {
    driver.model.entries(ROOT)[name.as_bytes()]
}

fn new(mode: u16, what: What<'_>) -> New<'_> {
    New { mode, uid: 0, gid: 0, now: time(9), what }
}

/// Nothing comes into a directory that was removed and is open still, and nothing goes.
#[test]
fn a_removed_directory_takes_no_names() {
    let mut driver = driver(1 << 20);
    for name in ["file", "other"] {
        driver.apply(&Op::Create(ROOT, name.into())).unwrap();
    }
    driver.apply(&Op::Mkdir(ROOT, b"dir".to_vec())).unwrap();
    let [file, dir] = ["file", "dir"].map(|name| named(&driver, name));
    let volume = driver.volume.clone();
    let mut root = driver.lives.remove(&ROOT).unwrap();
    let mut gone = driver.lives.remove(&dir).unwrap();
    let mut file = driver.lives.remove(&file).unwrap();
    let _ = ops::rmdir(&volume, &mut root, b"dir", &mut gone, time(5)).unwrap();
    let before = volume.space();
    let refused = |result: Result| assert_eq!(result, Err(Error::NotFound));
    refused(ops::create(&volume, &mut gone, b"new", &new(S_IFREG | 0o600, What::File)).map(drop));
    refused(ops::create(&volume, &mut gone, b"new", &new(S_IFDIR | 0o700, What::Dir)).map(drop));
    refused(ops::link(&volume, &mut gone, b"new", &mut file, time(6)).map(drop));
    refused(ops::unlink(&volume, &mut gone, b"file", &mut file, time(6)).map(drop));
    let mut rename = |from: &mut Live, to: &mut Live, name: &[u8]| {
        let (to, victim, now) = (Some(to), None, time(6));
        let moved = &mut file;
        refused(
            ops::rename(&volume, ops::Rename { from, from_name: name, to, to_name: b"new", moved, victim, now })
                .map(drop),
        );
    };
    rename(&mut root, &mut gone, b"file");
    rename(&mut gone, &mut root, b"file");
    assert_eq!(volume.space(), before);
    ops::evict(&volume, gone).unwrap();
}

/// What changes the blocks or the size of files refuses everything else, and changes nothing.
#[test]
fn only_files_have_contents() {
    let mut driver = driver(1 << 20);
    driver.apply(&Op::Mkdir(ROOT, b"dir".to_vec())).unwrap();
    driver.apply(&Op::Symlink(ROOT, b"link".to_vec(), vec![b't'; 300])).unwrap();
    driver.apply(&Op::Symlink(ROOT, b"short".to_vec(), vec![b't'; 3])).unwrap();
    driver.apply(&Op::Fifo(ROOT, b"fifo".to_vec())).unwrap();
    for name in ["dir", "link", "short", "fifo"] {
        let ino = named(&driver, name);
        let mut live = driver.lives[&ino].clone();
        let live = &mut live;
        let volume = &driver.volume;
        let reserve = || volume.reserve(0, 1, false).unwrap();
        let now = time(7);
        let results: [Result; 9] = [
            ops::attach(volume, live, 0, reserve().written(), Some(9), now).map(drop),
            ops::preallocate(volume, live, 0, reserve(), None, now).map(drop),
            ops::written(volume, live, 0, 1, None, now).map(drop),
            ops::unwrite(volume, live, 0..1, now).map(drop),
            ops::extend(volume, live, 5000, now).map(drop),
            ops::truncate(volume, live, 0, now).map(drop),
            ops::punch(volume, live, 0..1, now).map(drop),
            ops::finish_truncate(volume, live).map(drop),
            pfnfs_core::meta::extent::find(volume, live, 0).map(drop),
        ];
        for (number, result) in results.into_iter().enumerate() {
            match result {
                Err(Error::IsDir) if name == "dir" => {}
                Err(Error::Invalid("not a regular file")) => {}
                other => panic!("{name}, call {number}: {other:?}"),
            }
        }
    }
    driver.compare();
}

/// An image in which the truncation of a file of many extents to `size` was interrupted, and the file's number.
fn interrupted(size: u64) -> (Vec<u64>, u64) {
    let world = World::new(words(&formatted(1 << 20, 2, 2048)), 1, 1);
    world.prepare(&Geometry::read(&world).unwrap());
    let mut driver = Driver::mount(world.clone()).unwrap();
    driver.apply(&Op::Create(ROOT, b"file".to_vec())).unwrap();
    let ino = driver.model.entries(ROOT)[&b"file"[..]];
    for block in 0..70 {
        driver.apply(&Op::Write(ino, block * 2 * BLOCK, vec![7; BLOCK as usize])).unwrap();
    }
    let images = Rc::new(RefCell::new(Vec::new()));
    let taken = images.clone();
    world.watch(Some(Box::new(move |world, fence| {
        if fence {
            taken.borrow_mut().push(world.media.borrow().live().to_vec());
        }
    })));
    driver.apply(&Op::Truncate(ino, size)).unwrap();
    world.watch(None);
    let images = images.take();
    assert!(images.len() > 2, "a truncation of several records");
    (images[images.len() / 2].clone(), ino)
}

/// Whatever is done to such a file: first the truncation is finished, so that nothing that lay beyond the end comes back.
#[test]
fn an_interrupted_truncation_is_finished_before_anything_else() {
    type Step = fn(&Volume<Machine>, &mut Live) -> Result;
    let steps: [Step; 6] = [
        |volume, live| ops::attach(volume, live, 20, volume.reserve(0, 1, false)?.written(), None, time(7)).map(drop),
        |volume, live| ops::preallocate(volume, live, 20, volume.reserve(0, 1, false)?, None, time(7)).map(drop),
        |volume, live| ops::written(volume, live, 20, 1, None, time(7)).map(drop),
        |volume, live| ops::unwrite(volume, live, 0..1, time(7)).map(drop),
        |volume, live| ops::extend(volume, live, 40 * BLOCK, time(7)).map(drop),
        |volume, live| ops::punch(volume, live, 0..1, time(7)).map(drop),
    ];
    let (image, ino) = interrupted(5000);
    for (number, step) in steps.iter().enumerate() {
        let machine = machine(memory(&image));
        let volume = Volume::open(machine, Geometry::read(&machine).unwrap(), Open::ReadWrite).unwrap();
        let mut live = inode::load(&volume, ino, None).unwrap();
        assert_eq!(live.orphan(), Orphan::Truncating);
        step(&volume, &mut live).unwrap_or_else(|error| panic!("call {number}: {error:?}"));
        assert_eq!(live.orphan(), Orphan::None, "call {number}");
        assert_eq!(volume.orphans(0), Ok(None), "call {number}");
        volume.close().unwrap();
        let driver = Driver::mount(machine).unwrap();
        driver.check().unwrap();
        let found = driver.read_back().unwrap();
        assert!(
            found.data(ino).iter().skip(5000).all(|byte| *byte == 0),
            "call {number}: what was cut off is there again"
        );
    }
}

/// More former nodes than the list of those that must not be used yet has room for.
#[test]
fn former_nodes_wait_for_a_checkpoint_when_there_are_too_many() {
    let mut driver = Driver::mount(machine(formatted(8 << 20, 1, 1 << 19))).unwrap();
    let before = driver.volume.space();
    let names: Vec<Vec<u8>> = (0..1800).map(|n| format!("{n:04}{}", "x".repeat(240)).into_bytes()).collect();
    driver.apply(&Op::Create(ROOT, b"file".to_vec())).unwrap();
    let file = named(&driver, "file");
    for name in &names {
        driver.apply(&Op::Link(ROOT, name.clone(), file)).unwrap();
    }
    driver.volume.checkpoint().unwrap();
    let nodes = before.free - driver.volume.space().free;
    assert!(nodes > 2 * pfnfs_core::meta::machine::LIMBO_MIN as u64, "{nodes} nodes");
    let cut = driver.volume.backlog().cut;
    for name in names {
        driver.apply(&Op::Unlink(ROOT, name)).unwrap();
    }
    driver.apply(&Op::Unlink(ROOT, b"file".to_vec())).unwrap();
    assert!(driver.volume.backlog().cut > cut, "a checkpoint made room");
    driver.volume.reclaim().unwrap();
    driver.volume.checkpoint().unwrap();
    assert_eq!(driver.volume.space(), before);
    driver.compare();
}

/// Once metadata is lost or wrong, nobody changes anything any more, on whatever CPU.
#[test]
fn no_lane_takes_a_record_after_damage() {
    const CPUS: usize = 4;
    let world = World::new(words(&formatted(1 << 20, CPUS as u32, 2048)), CPUS, 1);
    world.prepare(&Geometry::read(&world).unwrap());
    let driver = Driver::mount(world.clone()).unwrap();
    let volume = driver.volume.clone();
    assert!(volume.failed(Error::Corrupt { at: 0, why: "for a test" }));
    assert!(!volume.failed(Error::Corrupt { at: 0, why: "for a test" }), "that is nothing new");
    let refused = Rc::new(RefCell::new(0));
    let programs = (0..CPUS).map(|_| {
        let (volume, mut root, refused) = (volume.clone(), driver.lives[&ROOT].clone(), refused.clone());
        Box::new(move || {
            let attr = ops::SetAttr { uid: Some(3), ..Default::default() };
            assert_eq!(ops::set_attr(&volume, &mut root, &attr).map(drop), Err(Error::ReadOnly));
            *refused.borrow_mut() += 1;
        }) as Program
    });
    world.run(programs.collect(), Policy::Chance(128), &mut |_, _| ());
    assert_eq!(*refused.borrow(), CPUS);
}

/// Blocks that nobody took after all: what was stored to them cannot come down on their next owner.
#[test]
fn what_is_given_back_is_not_stored_to_any_more() {
    let world = World::new(words(&formatted(1 << 20, 1, 2048)), 1, 1);
    world.prepare(&Geometry::read(&world).unwrap());
    let driver = Driver::mount(world.clone()).unwrap();
    for split in [false, true] {
        let blocks = driver.volume.reserve(0, 3, false).unwrap();
        blocks.store(0, &[1; 64]).unwrap();
        blocks.zero(BLOCK, BLOCK).unwrap();
        assert!(world.media.borrow().pending() > 0);
        if split {
            let (head, tail) = blocks.split(1);
            drop(tail);
            assert_eq!(world.media.borrow().pending(), 0);
            drop(head);
        } else {
            drop(blocks);
        }
        assert_eq!(world.media.borrow().pending(), 0);
    }
}

/// The first file of a slot has any generation: of a number that was never told nobody knows the handle.
#[test]
fn generations_cannot_be_guessed() {
    let mut driver = driver(1 << 20);
    let mut generations = std::collections::BTreeSet::new();
    for number in 0..32 {
        driver.apply(&Op::Create(ROOT, format!("{number}").into_bytes())).unwrap();
        let live = &driver.lives[&named(&driver, &format!("{number}"))];
        assert_ne!(live.generation(), 0);
        generations.insert(live.generation() >> 8);
    }
    assert!(generations.len() > 24, "{generations:x?}");
}
