// SPDX-License-Identifier: GPL-2.0

//! The workloads of the classes that have setups of their own: by seed, after one pattern each.

use super::call::Class;
use super::operations::OPERATIONS;
use super::plan::Piece;
use super::setup::{Setup, SETUPS};
use super::trees::{equal, long_name, EQUALS};
use crate::random::{mix, Random};

/// Operations that take blocks in many records, or many blocks in one, on the setups of few blocks:
/// see [`Piece::Scarce`].
const SCARCE: &[(&str, &[&str])] = &[
    (
        "scarce",
        &[
            "create /c",
            "symlink /t - 300",
            "mkdir /m",
            "link /f /d/k",
            "write /f - 0 20000",
            "write /g - 100 9000",
            "fallocate /f - 4096 40000",
            "store /f - 5000 2",
            "punch /f - 0 1",
            "zero /f - 0 2",
            "rename /f /d/x",
            "unlinkopen /f; write @ - 5000 9000",
        ],
    ),
    (
        "scarce leaves",
        &["create /c", "link /f /k", "symlink /t - 300", "mkdir /m", "rename /f /longer", "rename /d/x /longer"],
    ),
    (
        "scarce extents",
        &[
            "write /f - 12288 9",
            "write /f - 8192 40000",
            "store /f - 12288 2",
            "reserve /f - 4 12",
            "zero /g - 0 8",
            "punch /g - 2 1",
            "reserve /g - 1 14",
        ],
    ),
    (
        "scarce holes",
        &[
            "reserve /g - 0 20",
            "reserve /g - 21 40",
            "write /g - 4096 30000",
            "write /g - 8000 60000",
            "zero /g - 3 30",
            "store /g - 4096 9",
            "store /g - 12288 2",
        ],
    ),
    (
        "scarce pieces",
        &[
            "write /g - 4096 30000",
            "zero /g - 0 72",
            "punch /g - 0 72",
            "punch /g - 11 31",
            "truncate /g - 50000",
            "unlink /g",
            "reserve /g - 60 30",
            "rename /n0 /g",
            "store /g - 4096 2",
        ],
    ),
    ("scarce numbers", &["create /c", "mkdir /m", "symlink /t - 300", "tmpfile; link @ /w", "unlink /k60; create /c"]),
];

/// All pieces of work of the classes, so many of each.
pub(super) fn pieces(count: usize, seed: u64) -> Vec<Piece> {
    let mut random = Random::new(mix(seed ^ 0x636c_6173_7365));
    let mut pieces = Vec::new();
    for setup in SETUPS {
        let Some(class) = setup.class else { continue };
        let of_class = SETUPS.iter().filter(|other| other.class == Some(class)).count();
        let count = count.div_ceil(of_class);
        pieces.extend((0..count).filter_map(|number| piece(class, setup, (number, count), &mut random)));
    }
    let scarce = SCARCE.iter().flat_map(|(setup, all)| all.iter().map(|text| Piece::Scarce(setup, text)));
    pieces.extend(scarce);
    pieces
}

/// The `number`th piece of work on a setup.
fn piece(class: Class, setup: &'static Setup, (number, count): (usize, usize), random: &mut Random) -> Option<Piece> {
    let some = |count: usize, random: &mut Random| {
        let calls: Vec<&str> = (0..count).map(|_| OPERATIONS[random.below(OPERATIONS.len())]).collect();
        calls.join(";")
    };
    let made = |text: String| Some(Piece::Made(setup.name, text));
    let word = random.word();
    let beside = |[one, two]: [String; 2]| Some(Piece::Beside(setup.name, one, two, word >> 32));
    match class {
        Class::Groups => made(on_groups(random)),
        Class::Levels if setup.name == "third level" => {
            (number < THIRD.len()).then(|| THIRD[number].to_string()).and_then(made)
        }
        Class::Levels if setup.name == "two levels" => (number < 12).then(|| on_strips(800, random)).and_then(made),
        Class::Levels => made(format!("{}!{}", on_long_names(random), on_long_names(random))),
        Class::Pieces => (number < count * 2 / 3).then(|| on_pieces(90, random)).and_then(made),
        Class::Limbo => (number < count / 5).then(|| on_full_limbo(random)).and_then(made),
        Class::Frozen if random.chance(128) => made(format!("{}!freeze", some(3, random))),
        Class::Frozen => made(format!("{}!freeze;{}", some(2, random), some(1, random))),
        Class::ReadOnly => made(format!("{}!{}", some(1, random), some(1, random))),
        Class::Hashes => made(format!("{}!{}", on_equal_hashes(random), on_equal_hashes(random))),
        Class::Ends => made(some(2, random)),
        Class::Lost => {
            let (kind, which) = (LOSSES[number % LOSSES.len()], random.below(999));
            made(format!("{}!lose {kind} - {which};{}", some(1, random), some(2, random)))
        }
        Class::OneDirectory if number % 2 == 1 => None,
        Class::OneDirectory => beside([2, 2].map(|count| names(count, random))),
        Class::OneInode => beside([3, 2].map(|count| contents(count, random))),
        Class::Checked => beside([some(2, random), some(2, random)]),
        _ => None,
    }
}

/// Kinds of memory that is lost.
const LOSSES: [&str; 9] = ["data", "block", "free", "node", "inode", "chunk", "log", "bitmap", "slot"];

/// Calls on names of one directory, and its files.
fn names(count: usize, random: &mut Random) -> String {
    let name = |random: &mut Random| ["/f", "/g", "/l", "/n0", "/n1", "/n2", "/d/x", "/d/n1"][random.below(8)];
    let call = |random: &mut Random| {
        let (one, two) = (name(random), name(random));
        match random.below(14) {
            0 | 1 => format!("create {one}"),
            2 => format!("mkdir {one}"),
            3 => format!("symlink {one} - {}", 30 + 270 * random.below(2)),
            4 | 5 => format!("link {one} {two}"),
            6..=8 => format!("unlink {one}"),
            9 | 10 => format!("rename {one} {two}"),
            11 => format!("rmdir {one}"),
            12 => format!("write {one} - {} 700", random.below(9000)),
            _ => "checkpoint".into(),
        }
    };
    (0..count).map(|_| call(random)).collect::<Vec<_>>().join(";")
}

/// Calls on one file.
fn contents(count: usize, random: &mut Random) -> String {
    let call = |random: &mut Random| {
        let (at, block) = (random.below(20_000), random.below(5));
        match random.below(17) {
            0..=2 => format!("write /f - {at} {}", 1 + random.below(6000)),
            3 | 4 => format!("store /f - {at} 3"),
            5 => "fsync /f".into(),
            6 | 7 => format!("truncate /f - {at}"),
            8 => format!("punch /f - {block} 2"),
            9 => format!("zero /f - {block} 2"),
            10 => format!("reserve /f - {block} 3"),
            11 => format!("chmod /f - {}", random.below(512)),
            12 => format!("chown /f - {} {}", random.below(9), random.below(70_000)),
            13 => format!("link /f /k{}", random.below(2)),
            14 => "rename /f /d/f; rename /d/f /f".into(),
            15 => "unlink /f; create /f".into(),
            _ => "checkpoint".into(),
        }
    };
    (0..count).map(|_| call(random)).collect::<Vec<_>>().join(";")
}

/// What makes a tree of two levels one of three. `+` is a name that splits a leaf.
const THIRD: [&str; 4] = ["link /n0 /+", "create /+", "rename /f /+", "symlink /+ - 300"];

/// Puts the name that splits a leaf into a text.
pub(super) fn with_next_name(text: &str, setup: &'static Setup) -> String {
    if !text.contains('+') {
        return text.into();
    }
    let model = &setup.base().model;
    let long = model.entries(crate::fs::driver::ROOT).keys().filter(|name| name.len() == 250).count();
    text.replace('+', &long_name(long))
}

/// Files that lie in several groups.
fn on_groups(random: &mut Random) -> String {
    let file = ["/b0", "/b1", "/b2", "/b0", "/b1", "/z"][random.below(6)];
    let (block, blocks) = (random.below(16), 1 + random.below(12));
    let at = 4096 * (8 + random.below(6)) + [0, 100, 4000][random.below(3)];
    match random.below(14) {
        0 => format!("unlink {file}"),
        1 => format!("unlinkopen {file}; close"),
        2 => format!("rename /n0 {file}"),
        3 => format!("truncate {file} - {}", random.below(70_000)),
        4 => format!("punch {file} - {block} {blocks}"),
        5 => format!("zero {file} - {block} {blocks}"),
        6 | 7 => format!("write {file} - {at} {}", [10, 4096, 9000][random.below(3)]),
        8 => format!("store {file} - {at} 2"),
        9 => format!("reserve {file} - {} {blocks}", 24 + block),
        10 => format!("punch {file} - {block} {blocks}! reserve {file} - 0 30"),
        11 => format!("unlink {file}! create /c; write /c - 0 9000"),
        12 => "symlink /t - 300; unlink /t".into(),
        _ => format!("truncate /z - 0; write /z - 0 {}", 1 + random.below(9000)),
    }
}

/// Entries of a directory whose names are long.
fn on_long_names(random: &mut Random) -> String {
    let (old, other) = (long_name(random.below(60)), long_name(random.below(60)));
    let new = long_name(10_000 + random.below(200));
    match random.below(9) {
        0 | 1 => format!("link /n0 /{new}"),
        2 | 3 => format!("unlink /{old}"),
        4 => format!("create /{new}"),
        5 => format!("rename /{old} /{new}"),
        6 => format!("rename /f /{other}"),
        7 => format!("symlink /{new} - 300"),
        _ => format!("mkdir /{new}"),
    }
}

/// A file `/g` of so many extents.
fn on_pieces(extents: usize, random: &mut Random) -> String {
    let (block, blocks) = (random.below(extents), 1 + random.below(extents));
    match random.below(10) {
        0 => "unlink /g".into(),
        1 => "rename /n0 /g".into(),
        2 => format!("truncate /g - {}", random.below(4096 * extents)),
        3 | 4 => format!("punch /g - {block} {blocks}"),
        5 | 6 => format!("zero /g - {block} {blocks}"),
        7 => format!("write /g - {} {}", random.below(4096 * extents), 1 + random.below(40_000)),
        8 => format!("store /g - {} 3", 4096 * block),
        _ => "unlinkopen /g; close".into(),
    }
}

/// A file `/g` of blocks past its end, as many holes between them.
fn on_strips(blocks: usize, random: &mut Random) -> String {
    let block = random.below(blocks);
    match random.below(8) {
        0 => "unlink /g".into(),
        1 => "rename /n0 /g".into(),
        2 => "truncate /g - 0".into(),
        3 => format!("punch /g - {block} {}", random.below(blocks)),
        4 => format!("punch /g - {block} 70! reserve /g - {} 40", block + 7),
        5 => format!("store /g - {} 2", block % 2 * 4096),
        6 => format!("write /g - {} 5000", block % 4 * 4096),
        _ => format!("reserve /g - {block} 30"),
    }
}

/// Former metadata fills the list where it waits for a checkpoint, or nearly; then something frees
/// more of it.
fn on_full_limbo(random: &mut Random) -> String {
    let trees = 11 + random.below(8);
    let symlinks = (0..48).map(|number| format!("unlink /s{number};"));
    let text: String = symlinks.chain((0..trees).map(|number| format!("unlink /t{number};"))).collect();
    let last = [
        "unlink /t20",
        "truncate /t20 - 0",
        "punch /t20 - 0 12",
        "rename /n0 /t20",
        "rename /n0 /s50",
        "unlinkopen /t20; close",
        "unlink /t20; unlink /t21; unlink /t22",
        "unlink /t20; create /t20; write /t20 - 0 5000",
        "fill /n0 - 0",
    ][random.below(9)];
    format!("{text}!{last}")
}

/// Names of equal hashes.
fn on_equal_hashes(random: &mut Random) -> String {
    let [one, two] = equal(random.below(EQUALS));
    let [other, _] = equal(random.below(EQUALS));
    match random.below(10) {
        0 => format!("link /n0 /{two}"),
        1 => format!("create /{one}"),
        2 => format!("unlink /{one}"),
        3 => format!("unlink /{two}"),
        4 => format!("rename /{one} /{two}"),
        5 => format!("rename /{two} /{one}"),
        6 => format!("rename /f /{two}"),
        7 => format!("unlink /{one}; link /n0 /{one}"),
        8 => format!("rename /{other} /{two}"),
        _ => format!("unlink /{one}; mkdir /{one}; rmdir /{one}"),
    }
}
