// SPDX-License-Identifier: GPL-2.0

//! The trees of setups that take more than a few calls to make.

use std::collections::BTreeMap;

use pfnfs_core::media::format::{Inode, Slot};
use pfnfs_core::media::{check, format, Pmem, BLOCK, GROUP_BLOCKS};
use pfnfs_core::meta::ops;
use zerocopy::{FromBytes, IntoBytes};

use super::call;
use super::setup::{fill, FILES};
use crate::fs::driver::{Driver, ROOT};
use crate::fs::time;
use crate::image::Image;
use crate::world::World;

/// A time long before the epoch.
pub(super) const EARLY: i64 = i64::MIN + 3_000_000_000;

/// Numbers of names that have the same hash, two by two: found by trying 2^27 of them.
const EQUAL: [(u32, u32); 32] = [
    (0x169d243, 0x1745dc4),
    (0x0fc291d, 0x1cd0841),
    (0x2469122, 0x4023b0c),
    (0x5d7be48, 0x70d0934),
    (0x32b5c64, 0x3bfe02b),
    (0x14f10a5, 0x1f2bff5),
    (0x5d0f876, 0x5d6f280),
    (0x5d7047c, 0x798398f),
    (0x117fc22, 0x6014c19),
    (0x2a68525, 0x6a6c65c),
    (0x6855c87, 0x765f363),
    (0x0032584, 0x7867549),
    (0x29304a4, 0x7475439),
    (0x2af38bf, 0x50eee54),
    (0x0dfe36e, 0x3e95f0e),
    (0x030e18f, 0x4316b8d),
    (0x4d1c284, 0x71e08fd),
    (0x68a7af0, 0x7d637fc),
    (0x1fccde4, 0x61ff30c),
    (0x515e346, 0x6381ee1),
    (0x62a247e, 0x6a3effa),
    (0x0c0796b, 0x6ca0c81),
    (0x386e938, 0x76a938f),
    (0x45b4521, 0x63f8a55),
    (0x2367714, 0x4bf36e2),
    (0x572b180, 0x5954a50),
    (0x33fdf62, 0x3a389b7),
    (0x1d58d5d, 0x562d5f0),
    (0x261f404, 0x79a5c7c),
    (0x43e7022, 0x70b9ea3),
    (0x44c19c4, 0x79b072f),
    (0x0ff8c82, 0x4188b27),
];

/// How many pairs of names with equal hashes there are.
pub(super) const EQUALS: usize = EQUAL.len();

/// Two names of the same hash. (The key of the hash is that of [`crate::fs::options`].)
pub(super) fn equal(pair: usize) -> [String; 2] {
    let (one, two) = EQUAL[pair % EQUALS];
    [one, two].map(|number| format!("{}{number:08x}", "x".repeat(200)))
}

/// A name of 250 bytes.
pub(super) fn long_name(number: usize) -> String {
    format!("{number}{}", "y".repeat(250 - number.to_string().len()))
}

/// A file `/g` of so many extents of one block each, every other one unwritten.
pub(super) fn pieces(mut driver: Driver<World>, count: u64) -> Driver<World> {
    fill(&mut driver, FILES);
    fill(&mut driver, &format!("unlink /g; create /g; reserve /g - 0 {count}"));
    for block in (0..count).step_by(2) {
        fill(&mut driver, &format!("write /g - {} 4096", block * BLOCK));
    }
    driver
}

/// An empty file `/g` with so many extents of one block each, and as many holes.
pub(super) fn strips(mut driver: Driver<World>, count: u64) -> Driver<World> {
    fill(&mut driver, FILES);
    fill(&mut driver, "unlink /g; create /g");
    for block in 0..count {
        fill(&mut driver, &format!("reserve /g - {} 1", block * 2));
    }
    driver
}

/// The root directory is one leaf, which the next entry splits.
pub(super) fn before_split(mut driver: Driver<World>) -> Driver<World> {
    fill(&mut driver, FILES);
    before_next_level(driver, |number| format!("link /n0 /k{number}"))
}

/// Does calls until one of them takes or gives back blocks, as a tree does that gets a level more
/// or less. Returns the volume as it was before that.
pub(super) fn before_next_level(driver: Driver<World>, call: impl Fn(usize) -> String) -> Driver<World> {
    let free = driver.volume.space().free;
    before(driver, call, |driver| driver.volume.space().free != free)
}

/// Does calls until something is so. Returns the volume as it was before the last of them.
fn before(
    mut driver: Driver<World>,
    call: impl Fn(usize) -> String,
    so: impl Fn(&Driver<World>) -> bool,
) -> Driver<World> {
    for number in 0.. {
        let image = driver.machine.media.borrow().durable().clone();
        let (model, clock) = (driver.model.clone(), driver.clock);
        fill(&mut driver, &call(number));
        if so(&driver) {
            let world = World::new(image, 1, 77);
            world.prepare(driver.volume.geometry());
            driver = Driver::mount(world).expect("it was mounted");
            driver.adopt(model, clock);
            break;
        }
    }
    driver
}

/// Gives a file, from `file_block` on, blocks from `near` on, which are free.
fn place(driver: &mut Driver<World>, path: &str, file_block: u64, near: u64, count: u32) {
    let ino = call::find(&driver.model, ROOT, path).expect("it was made");
    let mut live = driver.lives.remove(&ino).expect("it was made");
    let blocks = driver.volume.reserve(near, count, false).expect("they are free");
    assert_eq!((blocks.first(), blocks.count()), (near, count), "they are free");
    driver.clock += 1;
    let now = driver.clock;
    ops::preallocate(&driver.volume, &mut live, file_block, blocks, None, time(now)).expect("there is room").reply();
    driver.model.nodes.get_mut(&ino).expect("it was made").touch(now);
    driver.lives.insert(ino, live);
}

/// Files on both sides of the borders of groups: `/b0` is one extent over the first border, `/b1`
/// one over the second, `/b2` is in every group. If `full`, `/z` has all the rest of the first
/// group.
pub(super) fn groups(mut driver: Driver<World>, full: bool) -> Driver<World> {
    fill(&mut driver, FILES);
    fill(&mut driver, "create /b0; create /b1; create /b2; create /z");
    let border = u64::from(GROUP_BLOCKS);
    for (path, border) in [("/b0", border), ("/b1", 2 * border)] {
        place(&mut driver, path, 0, border - 12, 12);
        place(&mut driver, path, 12, border, 12);
    }
    for (at, near) in [(0, border - 40), (20, 2 * border - 40), (40, border + 40), (60, 2 * border + 40)] {
        place(&mut driver, "/b2", at, near, 12);
    }
    fill(&mut driver, "write /b0 - 36864 20000; write /b1 - 40960 12288");
    if full {
        fill_group(&mut driver);
    }
    driver
}

/// Gives `/z` all that is free in the first group.
fn fill_group(driver: &mut Driver<World>) {
    let mut at = 0;
    loop {
        let blocks = driver.volume.reserve(0, GROUP_BLOCKS, false).expect("there are other groups");
        let (first, count) = (blocks.first(), blocks.count());
        drop(blocks);
        if first >= GROUP_BLOCKS.into() {
            break;
        }
        place(driver, "/z", at, first, count);
        at += u64::from(count);
    }
}

/// The root directory has two levels of inner nodes, and little in them; or gets the second one
/// with the next entry.
pub(super) fn levels(mut driver: Driver<World>, grown: bool) -> Driver<World> {
    fill(&mut driver, FILES);
    let level = |driver: &Driver<World>| driver.lives[&ROOT].format().level;
    let link = |number: usize| format!("link /n0 /{}", long_name(number));
    if !grown {
        return before(driver, link, |driver| level(driver) == 2);
    }
    let mut count = 0;
    while level(&driver) < 2 {
        fill(&mut driver, &link(count));
        count += 1;
    }
    (60..count).for_each(|number| fill(&mut driver, &format!("unlink /{}", long_name(number))));
    assert_eq!(level(&driver), 2, "levels stay");
    driver
}

/// Symlinks `/s0` and so on with targets of their own blocks, which are freed sixteen at a time,
/// and files `/t0` and so on with a node of extents each, which is freed at once.
pub(super) fn blocks(mut driver: Driver<World>) -> Driver<World> {
    fill(&mut driver, FILES);
    for number in 0..SYMLINKS {
        fill(&mut driver, &format!("symlink /s{number} - 300"));
    }
    for number in 0..TREES {
        fill(&mut driver, &format!("create /t{number}"));
        (0..6).for_each(|block| fill(&mut driver, &format!("reserve /t{number} - {} 1", block * 2)));
    }
    driver
}

/// How many of them there are.
pub(super) const SYMLINKS: usize = 64;
pub(super) const TREES: usize = 24;

/// Names of equal hashes, so many that the directory has several leaves: of most pairs both, of
/// some one, of some none.
pub(super) fn hashes(mut driver: Driver<World>) -> Driver<World> {
    fill(&mut driver, FILES);
    for pair in 0..EQUALS - 4 {
        let [one, two] = equal(pair);
        fill(&mut driver, &format!("link /n0 /{one}"));
        if pair % 4 != 0 {
            fill(&mut driver, &format!("link /n0 /{two}"));
        }
    }
    driver
}

/// Changes the slots of a volume that is at rest, so that there are numbers for so many more
/// records, and the generations of inode numbers that were never used to the last one.
pub(super) fn last_numbers(image: &mut Image, driver: &Driver<World>, left: u64) -> BTreeMap<u64, u32> {
    let geometry = driver.volume.geometry();
    let mut put = |at: u64, bytes: &[u8]| {
        image.change(at as usize..at as usize + bytes.len(), |piece, from| {
            piece.copy_from_slice(&bytes[from..from + piece.len()]);
        });
    };
    let media = driver.volume.media();
    for offset in format::SLOT_OFFSETS {
        let at = format::SLOT_BLOCK * BLOCK + offset;
        let mut slot: Slot = media.read(at).expect("a slot");
        slot.cut = (format::SEQ_END - left).into();
        slot.crc = check::slot_crc(geometry.uuid(), &slot, at).into();
        put(at, slot.as_bytes());
    }
    let last = *driver.lives.keys().next_back().expect("the root directory");
    let mut generations = BTreeMap::new();
    for slot in 1..20 {
        let at = driver.lives[&last].at() + slot * format::INODE_SIZE;
        let mut bytes = [0; size_of::<Inode>()];
        media.read_bytes(at, &mut bytes).expect("a slot of the table");
        let mut inode = Inode::read_from_bytes(&bytes).expect("its size");
        inode.generation = u32::MAX.into();
        put(at, inode.as_bytes());
        generations.insert(last + slot, u32::MAX);
    }
    generations
}
