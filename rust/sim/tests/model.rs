// SPDX-License-Identifier: GPL-2.0

//! The operations against a model, without power cuts: long random sequences, big directories, many extents, full volumes.

mod common;

use common::driver::{Driver, Op, ROOT};
use common::{options, Rng};
use pfnfs_core::media::{Error, Geometry};
use pfnfs_core::meta::mkfs;
use pfnfs_sim::plain::{Memory, Plain};

fn plain(size: usize, lanes: u32, half: u32, inodes: u64) -> &'static Plain {
    let memory = Memory::new(size);
    mkfs::format(&memory, &options(lanes, half, inodes)).unwrap();
    let geometry = Geometry::read(&memory).unwrap();
    Box::leak(Box::new(Plain::new(memory, &geometry)))
}

#[test]
fn an_empty_volume_has_a_root() {
    let driver = Driver::mount(plain(1 << 20, 2, 4096, 256)).unwrap();
    driver.compare();
}

fn random(seed: u64, steps: u32, names: u64, long: bool, blocks: u64) {
    let machine = plain(8 << 20, 2, 8192, 2048);
    let mut driver = Driver::mount(machine).unwrap();
    let mut rng = Rng(seed);
    for step in 0..steps {
        let op = driver.model.random(&mut rng, names, long, blocks);
        match driver.apply(&op) {
            Ok(())
            | Err(Error::Exists | Error::NotFound | Error::NotEmpty | Error::NotDir | Error::IsDir | Error::NoSpace) => {
            }
            Err(Error::Invalid("rename")) => {}
            Err(error) => panic!("seed {seed} step {step}: {op:?}: {error:?}"),
        }
        if step % 64 == 0 {
            driver.compare();
        }
    }
    driver.compare();
}

#[test]
fn random_operations() {
    (0..8).for_each(|seed| random(seed, 2000, 40, false, 16));
}

#[test]
fn random_operations_with_long_names_and_many_extents() {
    (100..106).for_each(|seed| random(seed, 2000, 400, true, 400));
}

#[test]
fn tens_of_thousands_of_entries() {
    let mut driver = Driver::mount(plain(64 << 20, 4, 65536, 40_000)).unwrap();
    for index in 0..30_000u32 {
        driver.apply(&Op::Create(ROOT, format!("file number {index}").into_bytes())).unwrap();
    }
    driver.compare();
    for index in (0..30_000u32).filter(|index| index % 7 != 0) {
        driver.apply(&Op::Unlink(ROOT, format!("file number {index}").into_bytes())).unwrap();
    }
    driver.compare();
    for index in (0..30_000u32).filter(|index| index % 7 == 0) {
        driver.apply(&Op::Unlink(ROOT, format!("file number {index}").into_bytes())).unwrap();
    }
    driver.compare();
    assert_eq!(driver.lives[&ROOT].blocks(), 0, "an empty directory has no tree");
}
