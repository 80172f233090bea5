// SPDX-License-Identifier: GPL-2.0

//! Operations of the file system, cut at every step: the volume that is mounted afterwards is the model before the operation,
//! or after it, and fits together. Mounts, with what they finish, are cut as well; some cuts are what the work goes on with.

mod common;

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use common::driver::{Driver, Op};
use common::model::Model;
use common::{options, Rng};
use pfnfs_core::media::{Geometry, BLOCK};
use pfnfs_core::meta::{inode, mkfs, Open, Volume};
use pfnfs_sim::media::Cut;
use pfnfs_sim::random::Random;
use pfnfs_sim::world::World;

/// Blocks of the volumes.
const BLOCKS: u64 = 128;

thread_local! {
    /// Truncations that a cut left to be finished.
    static INTERRUPTED: Cell<usize> = const { Cell::new(0) };
}

fn machine(words: Vec<u64>, seed: u64) -> World {
    let world = World::new(words, 1, seed);
    if let Ok(geometry) = Geometry::read(&world) {
        world.prepare(&geometry);
    }
    world
}

fn format() -> Vec<u64> {
    let world = machine(vec![0; (BLOCKS * BLOCK / 8) as usize], 1);
    mkfs::format(&world, &options(2, 2048, 256)).unwrap();
    let image = world.media.borrow().cut(Cut::All, &mut Random::new(0));
    image
}

/// Runs `f` and takes images on the way: before so many of 256 steps, at most `most`.
fn cut<R>(world: &World, of_256: u8, most: usize, seed: u64, f: impl FnOnce() -> R) -> (R, Vec<Vec<u64>>) {
    let images = Rc::new(RefCell::new(Vec::new()));
    let taken = images.clone();
    let mut random = Random::new(seed);
    world.watch(Some(Box::new(move |world, _| {
        if random.chance(of_256) && taken.borrow().len() < most {
            let cut = pfnfs_sim::oracle::any_cut(&mut random);
            taken.borrow_mut().push(world.media.borrow().cut(cut, &mut random));
        }
    })));
    let result = f();
    world.watch(None);
    let images = images.take();
    (result, images)
}

/// Mounts an image, walks it and compares it with the models it may be. Returns it with the one it is.
fn recover(image: &[u64], models: &[&Model], seed: u64) -> (Driver<World>, Vec<Vec<u64>>) {
    let world = machine(image.to_vec(), seed);
    let (driver, images) = cut(&world.clone(), 8, 2, seed, || Driver::mount(world).expect("the volume mounts"));
    driver.volume.reclaim().expect("orphans are freed");
    assert_eq!(driver.volume.orphans(0), Ok(None), "a mount finishes what was interrupted");
    let mut driver = driver;
    driver.check().expect("the volume fits together");
    let found = driver.read_back().expect("the volume can be read");
    let Some(model) = models.iter().find(|model| ***model == found) else {
        panic!("what was found is neither of the models:\n{}", differences(&found, models));
    };
    driver.model = (*model).clone();
    driver.lives =
        driver.model.nodes.keys().map(|ino| (*ino, inode::load(&driver.volume, *ino, None).unwrap())).collect();
    (driver, images)
}

fn differences(found: &Model, models: &[&Model]) -> String {
    let mut text = String::new();
    for model in models {
        for (ino, node) in &model.nodes {
            if found.nodes.get(ino) != Some(node) {
                let show = |node: &dyn std::fmt::Debug| format!("{node:?}").chars().take(200).collect::<String>();
                text += &format!("{ino}: {} instead of {}\n", show(&found.nodes.get(ino)), show(node));
            }
        }
        text += &format!("inodes {:?} instead of {:?}\n", found.nodes.keys(), model.nodes.keys());
    }
    text
}

/// Whether a mount of this image has something to finish.
fn has_orphan(image: &[u64]) -> bool {
    let world = machine(image.to_vec(), 1);
    let geometry = Geometry::read(&world).unwrap();
    Volume::open(world, geometry, Open::ReadWrite).unwrap().orphans(0).unwrap().is_some()
}

/// One operation with cuts. Returns how many were looked at; `driver` becomes what one of them left so many of 256 times.
fn step(driver: &mut Driver<World>, op: &Op, most: usize, adopt: u8, random: &mut Random) -> usize {
    let before = driver.model.clone();
    let world = driver.machine.clone();
    let rate = if matches!(op, Op::Truncate(..)) { 100 } else { 24 };
    let (result, images) = cut(&world, rate, most, random.word(), || driver.apply(op));
    match result {
        Ok(()) => {}
        Err(error) => {
            driver.refused(op, error, true).unwrap();
            assert_eq!(driver.model, before, "a refused operation changes nothing");
        }
    }
    let after = driver.model.clone();
    let mut looked = 0;
    let mut kept = None;
    let truncation = matches!(op, Op::Truncate(..));
    let interrupted: Vec<usize> = (0..images.len()).filter(|index| truncation && has_orphan(&images[*index])).collect();
    INTERRUPTED.with(|count| count.set(count.get() + interrupted.len()));
    let chosen = random.chance(adopt).then(|| match interrupted[..] {
        [] => random.below(images.len()),
        _ => interrupted[random.below(interrupted.len())],
    });
    for (index, image) in images.iter().enumerate() {
        let (mut next, within) = recover(image, &[&before, &after], random.word());
        looked += 1 + within.len();
        for image in &within {
            recover(image, &[&next.model], random.word());
        }
        if chosen == Some(index) {
            next.clock = driver.clock;
            kept = Some(next);
        }
    }
    if let Some(next) = kept {
        *driver = next;
    }
    looked
}

/// An operation that is one record, so that it happens or does not.
fn one_step(driver: &Driver<World>, rng: &mut Rng) -> Op {
    match driver.model.random(rng, 40, true, 8) {
        // An overwrite is not atomic.
        Op::Write(ino, pos, _) if pos < driver.model.data(ino).len() as u64 => Op::Checkpoint,
        Op::Write(ino, pos, mut bytes) => {
            bytes.truncate((BLOCK - pos % BLOCK) as usize);
            Op::Write(ino, pos, bytes)
        }
        Op::Punch(ino, bytes) => Op::Punch(ino, bytes.start..bytes.end.min(bytes.start + BLOCK)),
        Op::Preallocate(ino, block, _) => Op::Preallocate(ino, block, 1),
        op => op,
    }
}

fn work(seeds: std::ops::Range<u64>, operations: usize, most: usize) -> usize {
    let image = format();
    let mut looked = 0;
    for seed in seeds {
        let mut random = Random::new(seed);
        let mut rng = Rng(seed);
        let mut driver = Driver::mount(machine(image.clone(), seed)).unwrap();
        for _ in 0..operations {
            let op = one_step(&driver, &mut rng);
            looked += step(&mut driver, &op, most, 40, &mut random);
        }
        driver.check().expect("the volume fits together");
        assert_eq!(driver.read_back().unwrap(), driver.model);
    }
    println!("{looked} cuts");
    looked
}

#[test]
fn operations_happen_or_do_not() {
    assert!(work(0..3 * pfnfs_sim::effort(), 250, 3) > 2000);
}

/// Files of many extents, whose truncation takes several records: interrupted, it is finished before anybody gets the file.
#[test]
fn interrupted_truncations_are_finished() {
    let image = format();
    let mut looked = 0;
    for seed in 0..4 {
        let mut random = Random::new(seed);
        let mut driver = Driver::mount(machine(image.clone(), seed)).unwrap();
        driver.apply(&Op::Create(16, b"file".to_vec())).unwrap();
        let ino = driver.model.entries(16)[&b"file".to_vec()];
        for _ in 0..3 {
            for block in 0..70 {
                driver.apply(&Op::Write(ino, block * 2 * BLOCK, vec![seed as u8 + 1; 700])).unwrap();
            }
            let keep = random.below(2 * BLOCK as usize) as u64;
            looked += step(&mut driver, &Op::Truncate(ino, keep), 60, 128, &mut random);
            // Whatever a cut made of it: what lay beyond the end must not come back.
            let size = driver.model.data(ino).len() as u64;
            looked += step(&mut driver, &Op::Extend(ino, size + 9 * BLOCK), 8, 40, &mut random);
            assert_eq!(driver.read_back().unwrap(), driver.model);
        }
    }
    let interrupted = INTERRUPTED.with(Cell::get);
    assert!(looked > 100 && interrupted > 10, "{looked} cuts, {interrupted} interrupted");
}

/// The tail of the last block: grown over, appended to, cut again.
#[test]
fn tails_are_zero_when_seen() {
    let image = format();
    let mut looked = 0;
    for seed in 0..8 {
        let mut random = Random::new(seed);
        let mut driver = Driver::mount(machine(image.clone(), seed)).unwrap();
        driver.apply(&Op::Create(16, b"file".to_vec())).unwrap();
        let ino = driver.model.entries(16)[&b"file".to_vec()];
        for round in 0..40 {
            let size = driver.model.data(ino).len() as u64;
            let op = match random.below(4) {
                0 => Op::Truncate(ino, size - size.min(1 + random.below(900) as u64)),
                1 => Op::Extend(ino, size + random.below(900) as u64),
                _ => {
                    let room = BLOCK - size % BLOCK;
                    Op::Write(ino, size, vec![round + 1; (1 + random.below(600)).min(room as usize)])
                }
            };
            looked += step(&mut driver, &op, 6, 40, &mut random);
            assert_eq!(driver.read_back().unwrap(), driver.model);
        }
    }
    assert!(looked > 300, "{looked}");
}
