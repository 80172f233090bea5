// SPDX-License-Identifier: GPL-2.0

//! The volumes that workloads begin with.

use std::sync::OnceLock;

use pfnfs_core::media::{Geometry, BLOCK};
use pfnfs_core::meta::mkfs;

use super::call::{self, Call};
use crate::fs::driver::{Driver, Op, ROOT};
use crate::fs::model::Model;
use crate::fs::{options, time};
use crate::random::mix;
use crate::world::World;

/// A volume to begin with.
#[derive(Debug)]
pub struct Setup {
    pub name: &'static str,
    blocks: u64,
    lanes: u32,
    half: u32,
    /// Calls that make the tree.
    tree: Tree,
    /// Names that calls by chance use, and how long they are at most.
    pub(super) names: usize,
    pub(super) longest: usize,
}

/// What is in it.
#[derive(Debug)]
enum Tree {
    /// What these calls make.
    Of(&'static str),
    /// The same twice, in the directories `/a` and `/b`.
    Twice(&'static str),
    /// A file for every inode number of the first chunk.
    AllNumbers,
    /// The root directory is one leaf, which the next entry splits.
    BeforeSplit,
    /// It has two leaves, which become one when the next entry of one of them is removed.
    BeforeMerge,
    /// A file of so many extents of one block each, every other one unwritten.
    Pieces(u64),
}

/// A few files, one of each kind: whole blocks, a tail, a hole, blocks that are not written, two names.
const FILES: &str = "mkdir /d; mkdir /e; mkdir /d/s; create /f; write /f - 0 5000; create /g; write /g - 8192 3000; \
                     reserve /g - 0 1; create /d/x; write /d/x - 0 700; link /d/x /l; symlink /s - 9; mkfifo /p; create /n0";
/// The same with a file that takes all blocks but one.
const BRIM: &str = "mkdir /d; mkdir /e; mkdir /d/s; create /f; write /f - 0 5000; create /g; write /g - 8192 3000; \
                    reserve /g - 0 1; create /d/x; write /d/x - 0 700; link /d/x /l; symlink /s - 9; mkfifo /p; create /n0; \
                    create /z; reserve /z - 0 10";

/// The same with a file whose next extent is one too many for its inode, and one of which all but one have to go before they
/// are in the inode again.
const EXTENTS: &str = "mkdir /d; mkdir /e; mkdir /d/s; create /f; write /f - 0 5000; reserve /f - 4 1; reserve /f - 6 1; \
                       reserve /f - 8 1; write /f - 40960 100; create /g; write /g - 8192 3000; reserve /g - 0 1; reserve /g - 4 1; \
                       reserve /g - 6 1; write /g - 32768 9; reserve /g - 10 1; create /d/x; write /d/x - 0 700; link /d/x /l; \
                       symlink /s - 9; mkfifo /p; create /n0";

/// All setups: those for long workloads first.
pub static SETUPS: &[Setup] = &[
    Setup { name: "small", blocks: 40, lanes: 1, half: 2048, tree: Tree::Of(FILES), names: 6, longest: 3 },
    Setup { name: "lanes", blocks: 44, lanes: 4, half: 4096, tree: Tree::Of(FILES), names: 6, longest: 3 },
    Setup { name: "brim", blocks: 40, lanes: 1, half: 2048, tree: Tree::Of(BRIM), names: 6, longest: 3 },
    Setup {
        name: "full",
        blocks: 33,
        lanes: 1,
        half: 2048,
        tree: Tree::Of("create /f; create /g; mkdir /d"),
        names: 10,
        longest: 250,
    },
    Setup {
        name: "names",
        blocks: 64,
        lanes: 1,
        half: 2048,
        tree: Tree::Of("create /f; mkdir /d"),
        names: 60,
        longest: 250,
    },
    Setup { name: "inodes", blocks: 96, lanes: 1, half: 2048, tree: Tree::AllNumbers, names: 6, longest: 3 },
    Setup { name: "split", blocks: 64, lanes: 1, half: 2048, tree: Tree::BeforeSplit, names: 6, longest: 3 },
    Setup { name: "merge", blocks: 64, lanes: 1, half: 2048, tree: Tree::BeforeMerge, names: 6, longest: 3 },
    Setup { name: "extents", blocks: 64, lanes: 1, half: 2048, tree: Tree::Of(EXTENTS), names: 6, longest: 3 },
    Setup { name: "pieces", blocks: 128, lanes: 1, half: 2048, tree: Tree::Pieces(72), names: 6, longest: 3 },
    Setup { name: "many pieces", blocks: 280, lanes: 1, half: 2048, tree: Tree::Pieces(200), names: 6, longest: 3 },
    Setup { name: "cpus", blocks: 60, lanes: 2, half: 2048, tree: Tree::Twice(FILES), names: 6, longest: 3 },
    Setup { name: "one lane", blocks: 60, lanes: 1, half: 2048, tree: Tree::Twice(FILES), names: 6, longest: 3 },
];

/// How many of them long workloads use.
pub const FOR_LONG: usize = 5;

/// A setup as an image, and what is in it.
#[derive(Debug)]
pub struct Base {
    pub image: Vec<u64>,
    pub model: Model,
    pub geometry: Geometry,
}

impl Setup {
    pub fn named(name: &str) -> Option<&'static Setup> {
        SETUPS.iter().find(|setup| setup.name == name)
    }

    /// Formats and fills a volume, once.
    pub fn base(&'static self) -> &'static Base {
        static BASES: [OnceLock<Base>; SETUPS.len()] = [const { OnceLock::new() }; SETUPS.len()];
        let index = SETUPS.iter().position(|setup| setup.name == self.name).unwrap_or(0);
        BASES[index].get_or_init(|| self.make())
    }

    fn make(&self) -> Base {
        // What lies in blocks that were never written is no zeroes.
        let words = (0..self.blocks * BLOCK / 8).map(|word| mix(word) | 1).collect();
        let world = World::new(words, 1, 77);
        let options = mkfs::Options { now: time(1), ..options(self.lanes, self.half, 512) };
        mkfs::format(&world, &options).expect("the volume is large enough");
        let geometry = Geometry::read(&world).expect("it was just formatted");
        world.prepare(&geometry);
        let mut driver = Driver::mount(world.clone()).expect("it was just formatted");
        match self.tree {
            Tree::Of(calls) => fill(&mut driver, calls),
            Tree::Twice(calls) => {
                fill(&mut driver, "mkdir /a; mkdir /b");
                for dir in ["a", "b"] {
                    driver.root = driver.model.entries(ROOT)[dir.as_bytes()];
                    fill(&mut driver, calls);
                }
            }
            Tree::AllNumbers => {
                // 256 slots, of which the header takes 16.
                for number in driver.model.nodes.len()..240 {
                    driver.apply(&Op::Create(ROOT, format!("k{number}").into_bytes())).expect("the tree has room");
                }
            }
            Tree::Pieces(count) => {
                fill(&mut driver, FILES);
                fill(&mut driver, &format!("unlink /g; create /g; reserve /g - 0 {count}"));
                for block in (0..count).step_by(2) {
                    fill(&mut driver, &format!("write /g - {} 4096", block * BLOCK));
                }
            }
            Tree::BeforeSplit | Tree::BeforeMerge => {}
        }
        if matches!(self.tree, Tree::BeforeSplit | Tree::BeforeMerge) {
            fill(&mut driver, FILES);
            driver = before_next_level(driver, |number| format!("link /n0 /k{number}"));
        }
        if let Tree::BeforeMerge = self.tree {
            fill(&mut driver, "link /n0 /k");
            driver = before_next_level(driver, |number| format!("unlink /k{number}"));
        }
        let world = driver.machine.clone();
        driver.compare();
        driver.volume.close().expect("the log can be read");
        let image = world.media.borrow().durable().to_vec();
        Base { geometry, image, model: driver.model }
    }
}

/// Does these calls.
fn fill(driver: &mut Driver<World>, calls: &str) {
    for text in calls.split(';') {
        let call: Call = text.parse().expect("a call");
        let (_, ops) = call::resolve(&call, driver).expect("the tree can be made");
        ops.iter().for_each(|op| driver.apply(op).expect("the tree has room"));
    }
}

/// Does calls until one of them takes or gives back blocks, as a tree does that gets a level more or less. Returns the volume
/// as it was before that.
fn before_next_level(driver: Driver<World>, call: impl Fn(usize) -> String) -> Driver<World> {
    let mut driver = driver;
    let free = driver.volume.space().free;
    for number in 0.. {
        let (image, model, clock) =
            (driver.machine.media.borrow().durable().to_vec(), driver.model.clone(), driver.clock);
        fill(&mut driver, &call(number));
        if driver.volume.space().free != free {
            let world = World::new(image, 1, 77);
            world.prepare(driver.volume.geometry());
            driver = Driver::mount(world).expect("it was mounted");
            driver.adopt(model, clock);
            break;
        }
    }
    driver
}
