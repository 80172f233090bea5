// SPDX-License-Identifier: GPL-2.0

//! Power cuts at every fence of every operation: what returned is there, what was under way is there or not, and everything
//! fits together. Then the run goes on, now and then from one of the images that a cut left.

mod common;

use common::driver::{Driver, Op};
use common::fragile::{memory, words, Fragile};
use common::model::{Kind, Model};
use common::{options, Rng};
use pfnfs_core::media::{Error, Geometry, BLOCK};
use pfnfs_core::meta::mkfs;
use pfnfs_sim::plain::{Memory, Plain};

/// A volume for a run.
#[derive(Clone, Copy)]
struct Setup {
    size: usize,
    half: u32,
    inodes: u64,
    steps: u32,
    names: u64,
    long: bool,
    blocks: u64,
}

/// Mounts an image in memory that forgets nothing, checks it, and tells which of the models it is.
fn outcome(image: &[u64], models: &[&Model]) -> Result<usize, String> {
    let memory = memory(image);
    let geometry = Geometry::read(&memory).map_err(|error| format!("superblock: {error:?}"))?;
    let machine = Plain::new(memory, &geometry);
    let driver = Driver::mount(&machine).map_err(|error| format!("mount: {error:?}"))?;
    driver.check().map_err(|error| format!("check: {error:?}"))?;
    let found = driver.read_back().map_err(|error| format!("read: {error:?}"))?;
    let same = models.iter().position(|model| **model == found);
    let differences = || models.iter().map(|model| difference(model, &found)).collect::<Vec<_>>();
    same.ok_or_else(|| format!("none of the models: {}", differences().join("; ")))
}

/// The first difference of two models, short.
fn difference(model: &Model, found: &Model) -> String {
    for ino in model.nodes.keys().chain(found.nodes.keys()) {
        let show = |model: &Model| {
            let text = format!("{:?}", model.nodes.get(ino));
            text[..text.len().min(300)].to_string()
        };
        if model.nodes.get(ino) != found.nodes.get(ino) {
            return format!("inode {ino}: {} but {}", show(model), show(found));
        }
    }
    "nothing".into()
}

fn expected(error: &Error) -> bool {
    matches!(
        error,
        Error::Exists
            | Error::NotFound
            | Error::NotEmpty
            | Error::NotDir
            | Error::IsDir
            | Error::NoSpace
            | Error::NoInodes
            | Error::Invalid("rename")
    )
}

/// Operations of which each is one step, so that a cut leaves it done or not.
fn one_step(op: Op) -> Op {
    match op {
        Op::Write(ino, pos, mut bytes) => {
            bytes.truncate((BLOCK - pos % BLOCK) as usize);
            Op::Write(ino, pos, bytes)
        }
        op => op,
    }
}

/// Runs operations, cuts each at each fence; returns the number of cuts.
fn run(seed: u64, setup: Setup) -> usize {
    let mut rng = Rng(seed);
    let formatted = Memory::new(setup.size);
    mkfs::format(&formatted, &options(2, setup.half, setup.inodes)).unwrap();
    let mut machine = Fragile::new(words(&formatted), seed);
    let mut driver = Driver::mount(machine).unwrap();
    let mut cuts = 0;
    for step in 0..setup.steps {
        let op = one_step(driver.model.random(&mut rng, setup.names, setup.long, setup.blocks));
        let before = driver.model.clone();
        machine.images.borrow_mut().clear();
        machine.cuts.set(3);
        let result = driver.apply(&op);
        machine.cuts.set(1);
        machine.keep_images();
        machine.cuts.set(0);
        let fail = |why: String| -> ! {
            let text = format!("{op:?}");
            panic!("seed {seed} step {step}: {}: {why}", &text[..text.len().min(200)])
        };
        if let Err(error) = result {
            if !expected(&error) {
                fail(format!("{error:?}"));
            }
            // Preallocation takes what there is, run by run.
            assert!(driver.model == before || matches!(op, Op::Preallocate(..)), "{error:?} changed something");
        }
        let images = machine.images.take();
        cuts += images.len();
        for (index, image) in images.iter().enumerate() {
            let last = index + 1 == images.len();
            let models = if last { vec![&driver.model] } else { vec![&driver.model, &before] };
            if let Err(why) = outcome(image, &models) {
                fail(format!("cut {index} of {}: {why}", images.len()));
            }
        }
        if rng.below(24) == 0 {
            (machine, driver) = revive(&images, [&before, &driver.model], driver.clock, &mut rng);
        }
    }
    driver.compare();
    cuts
}

/// Goes on from what one of the cuts left.
fn revive(
    images: &[Vec<u64>],
    models: [&Model; 2],
    clock: i64,
    rng: &mut Rng,
) -> (&'static Fragile, Driver<&'static Fragile>) {
    let image = rng.pick(images).unwrap();
    let model = models[outcome(image, &models).unwrap()].clone();
    let machine = Fragile::new(image.clone(), rng.next());
    let mut driver = Driver::mount(machine).unwrap();
    driver.adopt(model, clock);
    (machine, driver)
}

#[test]
fn cuts_at_every_fence() {
    let setup = Setup { size: 400 << 10, half: 4096, inodes: 256, steps: 300, names: 12, long: false, blocks: 12 };
    let cuts: usize = (0..4).map(|seed| run(seed, setup)).sum();
    println!("{cuts} cuts");
    assert!(cuts > 3000);
}

#[test]
fn cuts_with_splits_and_merges() {
    let setup = Setup { size: 1 << 20, half: 4096, inodes: 512, steps: 300, names: 300, long: true, blocks: 300 };
    let cuts: usize = (10..12).map(|seed| run(seed, setup)).sum();
    println!("{cuts} cuts");
    assert!(cuts > 2000);
}

#[test]
fn cuts_of_a_full_volume() {
    let setup = Setup { size: 160 << 10, half: 2048, inodes: 256, steps: 300, names: 30, long: true, blocks: 20 };
    let cuts: usize = (20..23).map(|seed| run(seed, setup)).sum();
    println!("{cuts} cuts");
    assert!(cuts > 2000);
}

#[test]
fn a_long_truncation_is_finished_by_the_next_mount() {
    let formatted = Memory::new(4 << 20);
    mkfs::format(&formatted, &options(2, 8192, 256)).unwrap();
    let machine = Fragile::new(words(&formatted), 5);
    let mut driver = Driver::mount(machine).unwrap();
    driver.apply(&Op::Create(common::driver::ROOT, b"file".to_vec())).unwrap();
    let ino = *driver.model.files().first().unwrap();
    for block in (0..200).rev() {
        driver.apply(&Op::Write(ino, 2 * block * BLOCK, vec![7; BLOCK as usize])).unwrap();
    }
    for op in [Op::Truncate(ino, 3 * BLOCK), Op::Unlink(common::driver::ROOT, b"file".to_vec())] {
        let before = driver.model.clone();
        machine.images.borrow_mut().clear();
        machine.cuts.set(3);
        driver.apply(&op).unwrap();
        machine.cuts.set(0);
        let images = machine.images.take();
        for image in &images {
            outcome(image, &[&before, &driver.model]).unwrap();
        }
        if matches!(op, Op::Truncate(..)) {
            assert!(images.len() > 12, "a truncation of many records");
            for block in (4..200).rev() {
                driver.apply(&Op::Write(ino, 2 * block * BLOCK, vec![7; BLOCK as usize])).unwrap();
            }
        }
    }
    assert!(matches!(driver.model.nodes[&common::driver::ROOT].kind, Kind::Dir { .. }));
}
