// SPDX-License-Identifier: GPL-2.0

//! The volumes that workloads begin with.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use pfnfs_core::media::{Geometry, BLOCK, GROUP_BLOCKS};
use pfnfs_core::meta::mkfs;

use super::call::{self, Call, Class};
use super::trees;
use crate::fs::driver::{Driver, Op, ROOT};
use crate::fs::model::Model;
use crate::fs::{options, time};
use crate::image::Image;
use crate::world::World;

/// A volume to begin with.
#[derive(Debug)]
pub struct Setup {
    pub name: &'static str,
    pub(super) blocks: u64,
    lanes: u32,
    half: u32,
    /// Calls that make the tree.
    tree: Tree,
    /// Names that calls by chance use, and how long they are at most.
    pub(super) names: usize,
    pub(super) longest: usize,
    /// What all states on it are counted as, if not as the operation that the cut met.
    pub class: Option<Class>,
    /// What the machine says that its first CPU is: which lane, and which group, that works with.
    pub cpu: u32,
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
    /// A file of so many extents of one block each, and as many holes.
    Holes(u64),
    /// The same, all past the end of the file.
    Strips(u64),
    /// Files with blocks on both sides of the borders of groups.
    Groups,
    /// The same, and nothing is free in the first group.
    FullGroup,
    /// A directory of three levels with little in it; or one that gets its third level with the
    /// next entry.
    Levels(bool),
    /// Many files that each have one block of metadata.
    Blocks,
    /// Names of equal hashes.
    Hashes,
    /// The log has numbers for so many more records; generations and times are at their ends.
    Last(u64),
    /// Times long before the epoch.
    Early,
}

/// A few files, one of each kind: whole blocks, a tail, a hole, blocks that are not written, two names.
pub(super) const FILES: &str = "mkdir /d; mkdir /e; mkdir /d/s; create /f; write /f - 0 5000; create /g; write /g - 8192 3000; \
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

/// A setup with short names, on a log of one short lane.
const fn short(name: &'static str, blocks: u64, tree: Tree) -> Setup {
    Setup { name, blocks, lanes: 1, half: 2048, tree, names: 6, longest: 3, class: None, cpu: 0 }
}

/// A setup with names of all lengths.
const fn long(name: &'static str, blocks: u64, tree: &'static str, names: usize) -> Setup {
    Setup { names, longest: 250, ..short(name, blocks, Tree::Of(tree)) }
}

/// The setup of a class.
const fn class(class: Class, setup: Setup) -> Setup {
    Setup { class: Some(class), ..setup }
}

/// Three groups, the last of them a small one.
const GROUPS: u64 = 2 * GROUP_BLOCKS as u64 + 256;

/// Files of which a write or a fault meets many blocks: unwritten ones, behind a written one and with a hole in between.
const STEPS: &str =
    "mkdir /d; create /f; write /f - 0 5000; create /g; write /g - 0 4096; reserve /g - 1 18; reserve /g - 21 3; \
                     truncate /g - 98000; create /n0";

/// Files on a volume of runs of 2 MiB: one that is about to get blocks behind its first 2 MiB, one that has so many that are not
/// written, and one whose end lies within a written block that mappings see.
const LARGE: &str =
    "mkdir /d; create /f; write /f - 0 5000; create /h; reserve /h - 509 3; create /u; reserve /u - 512 40; \
                     truncate /u - 2260000; create /n0";

/// All setups: those for long workloads first.
pub static SETUPS: &[Setup] = &[
    short("small", 40, Tree::Of(FILES)),
    Setup { lanes: 4, half: 4096, ..short("lanes", 44, Tree::Of(FILES)) },
    short("brim", 40, Tree::Of(BRIM)),
    long("full", 33, "create /f; create /g; mkdir /d", 10),
    long("names", 64, "create /f; mkdir /d", 60),
    short("inodes", 96, Tree::AllNumbers),
    short("split", 64, Tree::BeforeSplit),
    short("merge", 64, Tree::BeforeMerge),
    short("extents", 64, Tree::Of(EXTENTS)),
    short("pieces", 128, Tree::Pieces(72)),
    short("many pieces", 280, Tree::Pieces(200)),
    short("large", 1600, Tree::Of(LARGE)),
    short("steps", 96, Tree::Of(STEPS)),
    Setup { lanes: 2, ..short("cpus", 60, Tree::Twice(FILES)) },
    short("one lane", 60, Tree::Twice(FILES)),
    // Those of classes: see `classes`.
    class(Class::Groups, short("groups", GROUPS, Tree::Groups)),
    class(Class::Groups, Setup { cpu: 2, lanes: 2, ..short("last group", GROUPS, Tree::Groups) }),
    class(Class::Groups, short("full group", GROUPS, Tree::FullGroup)),
    class(Class::Levels, short("three levels", 700, Tree::Levels(true))),
    class(Class::Levels, short("third level", 700, Tree::Levels(false))),
    class(Class::Levels, short("two levels", 500, Tree::Strips(400))),
    class(Class::Pieces, short("torn", 160, Tree::Pieces(90))),
    class(Class::NoSpace, short("scarce", 40, Tree::Of(FILES))),
    class(Class::NoSpace, short("scarce leaves", 64, Tree::BeforeSplit)),
    class(Class::NoSpace, short("scarce extents", 64, Tree::Of(EXTENTS))),
    class(Class::NoSpace, short("scarce holes", 200, Tree::Holes(80))),
    class(Class::NoSpace, short("scarce pieces", 180, Tree::Pieces(72))),
    class(Class::NoSpace, short("scarce numbers", 96, Tree::AllNumbers)),
    class(Class::Limbo, Setup { half: 3 << 13, ..short("limbo", 300, Tree::Blocks) }),
    class(Class::Frozen, short("frozen", 40, Tree::Of(FILES))),
    class(Class::Frozen, Setup { lanes: 4, half: 4096, ..short("frozen lanes", 60, Tree::Of(FILES)) }),
    class(Class::ReadOnly, short("read-only", 40, Tree::Of(FILES))),
    class(Class::ReadOnly, Setup { lanes: 4, half: 4096, ..short("read-only lanes", 64, Tree::Of(FILES)) }),
    class(Class::Lost, short("lost", 48, Tree::Of(FILES))),
    class(Class::Lost, short("lost leaves", 72, Tree::BeforeSplit)),
    class(Class::Lost, Setup { lanes: 2, half: 4096, ..short("lost extents", 80, Tree::Of(EXTENTS)) }),
    class(Class::OneDirectory, Setup { lanes: 2, ..short("one directory", 64, Tree::Of(FILES)) }),
    class(Class::OneDirectory, short("one directory and lane", 64, Tree::BeforeSplit)),
    class(Class::OneInode, Setup { lanes: 2, ..short("one inode", 64, Tree::Of(FILES)) }),
    class(Class::OneInode, short("one inode and lane", 64, Tree::Of(EXTENTS))),
    class(Class::Checked, Setup { lanes: 2, ..short("checked", 60, Tree::Twice(FILES)) }),
    class(Class::Checked, short("checked lane", 60, Tree::Twice(FILES))),
    class(Class::Hashes, short("equal hashes", 72, Tree::Hashes)),
    class(Class::Ends, short("last numbers", 40, Tree::Last(1))),
    class(Class::Ends, Setup { lanes: 4, half: 4096, ..short("last of lanes", 64, Tree::Last(3)) }),
    class(Class::Ends, short("numbers before the last", 64, Tree::Last(8))),
    class(Class::Ends, short("first seconds", 40, Tree::Early)),
];

/// How many of them long workloads use.
pub const FOR_LONG: usize = 5;

/// A setup as an image, and what is in it.
#[derive(Debug)]
pub struct Base {
    pub image: Image,
    pub model: Model,
    pub geometry: Geometry,
    /// When the first call is made.
    pub clock: i64,
    /// The generations that inode numbers had last.
    pub generations: BTreeMap<u64, u32>,
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

    /// A driver of a fresh volume.
    fn fresh(&self) -> Driver<World> {
        // What lies in blocks that were never written is no zeroes.
        let world = World::new(Image::noise((self.blocks * BLOCK / 8) as usize), 1, 77);
        let options = mkfs::Options { now: time(1), ..options(self.lanes, self.half, 512) };
        mkfs::format(&world, &options).expect("the volume is large enough");
        world.prepare(&Geometry::read(&world).expect("it was just formatted"));
        Driver::mount(world).expect("it was just formatted")
    }

    fn make(&self) -> Base {
        let mut driver = self.fresh();
        driver = match self.tree {
            Tree::Of(calls) => filled(driver, calls),
            Tree::Twice(calls) => {
                fill(&mut driver, "mkdir /a; mkdir /b");
                for dir in ["a", "b"] {
                    driver.root = driver.model.entries(ROOT)[dir.as_bytes()];
                    fill(&mut driver, calls);
                }
                driver
            }
            Tree::AllNumbers => {
                // 256 slots, of which the header takes 16.
                for number in driver.model.nodes.len()..240 {
                    driver.apply(&Op::Create(ROOT, format!("k{number}").into_bytes())).expect("the tree has room");
                }
                driver
            }
            Tree::Pieces(count) => trees::pieces(driver, count),
            Tree::Holes(count) => {
                driver = trees::strips(driver, count);
                fill(&mut driver, &format!("truncate /g - {}", 2 * count * BLOCK));
                driver
            }
            Tree::Strips(count) => trees::strips(driver, count),
            Tree::BeforeSplit => trees::before_split(driver),
            Tree::BeforeMerge => {
                driver = trees::before_split(driver);
                fill(&mut driver, "link /n0 /k");
                trees::before_next_level(driver, |number| format!("unlink /k{number}"))
            }
            Tree::Groups => trees::groups(driver, false),
            Tree::FullGroup => trees::groups(driver, true),
            Tree::Levels(grown) => trees::levels(driver, grown),
            Tree::Blocks => trees::blocks(driver),
            Tree::Hashes => trees::hashes(driver),
            Tree::Last(_) => {
                driver.clock = i64::MAX - 2000;
                filled(driver, FILES)
            }
            Tree::Early => {
                driver.clock = trees::EARLY;
                filled(driver, FILES)
            }
        };
        driver.compare();
        driver.volume.close().expect("the log can be read");
        let mut image = driver.machine.media.borrow().durable().clone();
        let geometry = *driver.volume.geometry();
        let generations = match self.tree {
            Tree::Last(left) => trees::last_numbers(&mut image, &driver, left),
            _ => BTreeMap::new(),
        };
        Base { geometry, generations, image, clock: self.tree.clock(driver.clock), model: driver.model }
    }
}

impl Tree {
    /// When the first call is made on it, if it was made until then.
    fn clock(&self, clock: i64) -> i64 {
        match self {
            Tree::Early => clock,
            Tree::Last(_) => i64::MAX - 2,
            _ => clock.max(1000),
        }
    }
}

/// Does these calls first.
fn filled(mut driver: Driver<World>, calls: &str) -> Driver<World> {
    fill(&mut driver, calls);
    driver
}

/// Does these calls.
pub(super) fn fill(driver: &mut Driver<World>, calls: &str) {
    for text in calls.split(';') {
        let call: Call = text.parse().expect("a call");
        let (_, ops) = call::resolve(&call, driver).expect("the tree can be made");
        ops.iter().for_each(|op| driver.apply(op).expect("the tree has room"));
    }
}
