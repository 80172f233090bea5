// SPDX-License-Identifier: GPL-2.0

//! The workloads: all sequences of one and two operations on a small tree, a sample of those of three, pairs of CPUs, and long
//! sequences by chance on volumes that are soon full.

use std::sync::Arc;

use super::call::{Call, Class};
use super::classes;
use super::data::DATA;
use super::judge::Kept;
use super::operations::{CHECKPOINT, EXTRA, GROWING, MANY, OPERATIONS, REMOUNT};
use super::run::{Effort, Failure, Item, Run, Workload};
use super::setup::{Setup, FOR_LONG, SETUPS};
use super::states::Budget;
use super::tally::Tally;
use crate::random::{mix, Random};

fn operation(index: usize) -> Vec<Item> {
    calls(OPERATIONS[index])
}

/// The name of the class of a setup.
fn class_name(setup: &str) -> &'static str {
    Setup::named(setup).and_then(|setup| setup.class).map_or("", Class::name)
}

/// The second CPU's.
fn beside(item: Item) -> Item {
    match item {
        Item::Call(call) => Item::Beside(call),
        cut => cut,
    }
}

fn calls(text: &str) -> Vec<Item> {
    let calls = text.split(';').filter(|text| !text.trim().is_empty());
    calls.map(|text| Item::Call(text.parse().expect("a call"))).collect()
}

/// Setups on which a tree is about to get a level more or less.
const EDGES: [&str; 3] = ["split", "merge", "extents"];

/// How much is done before time decides.
#[derive(Clone, Copy, Debug)]
pub struct Tier {
    pub one: Budget,
    /// Of single operations where a tree gets a level more or less.
    pub edge: Budget,
    pub two: Budget,
    /// Of operations of many records.
    pub pieces: Budget,
    /// On volumes of several runs of 2 MiB, where opening a state takes long.
    pub large: Budget,
    pub long: Budget,
    /// Sequences of three, sequences on a volume that is full, and long ones.
    pub threes: usize,
    pub brims: usize,
    pub longs: usize,
    /// Pairs of CPUs.
    pub cpus: usize,
    /// Sequences of two with a checkpoint behind, or a remount, which write little at a time.
    pub checkpoints: usize,
    /// Files of several leaves of extents as well.
    pub many: bool,
    /// Workloads of each class, and the states of each.
    pub classes: usize,
    pub class: Budget,
    /// The states of classes that have large trees, or try the same often.
    pub deep: Budget,
}

/// What a test of a mutant does.
pub const QUICK: Tier = Tier {
    one: Budget { all: 512, words: 512, pairs: 300, random: 100 },
    edge: Budget { all: 64, words: 128, pairs: 100, random: 50 },
    two: Budget { all: 64, words: 96, pairs: 30, random: 20 },
    pieces: Budget { all: 16, words: 12, pairs: 6, random: 6 },
    large: Budget { all: 16, words: 8, pairs: 4, random: 4 },
    long: Budget { all: 32, words: 32, pairs: 6, random: 10 },
    threes: 50,
    brims: 50,
    longs: 50,
    cpus: 50,
    checkpoints: 10,
    many: false,
    classes: 30,
    class: Budget { all: 32, words: 32, pairs: 6, random: 10 },
    deep: Budget { all: 8, words: 4, pairs: 2, random: 2 },
};

/// What `make check` does.
pub const CHECK: Tier = Tier {
    one: Budget { all: 1024, words: 4096, pairs: 5000, random: 200 },
    edge: Budget { all: 256, words: 256, pairs: 300, random: 100 },
    two: Budget { all: 64, words: 48, pairs: 10, random: 10 },
    pieces: Budget { all: 16, words: 12, pairs: 6, random: 6 },
    large: Budget { all: 64, words: 120, pairs: 60, random: 60 },
    long: Budget { all: 32, words: 24, pairs: 6, random: 10 },
    threes: 400,
    brims: 100,
    longs: 60,
    cpus: 200,
    checkpoints: 150,
    many: false,
    classes: 60,
    class: Budget { all: 64, words: 48, pairs: 10, random: 10 },
    deep: Budget { all: 8, words: 8, pairs: 4, random: 4 },
};

/// What `make check-full` does: about ten times that, which two cores do in half an hour or so.
pub const FULL: Tier = Tier {
    one: Budget { all: 4096, words: 16_384, pairs: 20_000, random: 1000 },
    edge: Budget { all: 1024, words: 2048, pairs: 2000, random: 400 },
    two: Budget { all: 128, words: 200, pairs: 60, random: 40 },
    pieces: Budget { all: 64, words: 48, pairs: 20, random: 20 },
    large: Budget { all: 128, words: 200, pairs: 100, random: 100 },
    long: Budget { all: 64, words: 64, pairs: 12, random: 20 },
    threes: 4000,
    brims: 1000,
    longs: 600,
    cpus: 2000,
    checkpoints: 1000,
    many: true,
    classes: 600,
    class: Budget { all: 64, words: 64, pairs: 12, random: 20 },
    deep: Budget { all: 16, words: 12, pairs: 6, random: 6 },
};

/// A piece of work.
#[derive(Clone, Debug)]
pub(super) enum Piece {
    /// Operations, by their places in the list, on this setup.
    Sequence(&'static str, Vec<usize>),
    /// One operation of [`EXTRA`], [`DATA`] or [`MANY`], on this setup.
    Extra(&'static str, &'static str),
    /// These calls of a class, on this setup, of which those behind the last `!` are explored.
    Made(&'static str, String),
    /// This call, with so few free blocks that it is refused, and always one more until it is not.
    Scarce(&'static str, &'static str),
    /// Calls of two CPUs, on the setup of a class.
    Beside(&'static str, String, String, u64),
    /// Operations of two CPUs, as this seed interleaves them.
    Cpus(Vec<usize>, Vec<usize>, u64),
    Long,
}

/// The plan of a run.
pub struct Plan {
    tier: Tier,
    seed: u64,
    /// Whether to go on by chance when all is done.
    endless: bool,
    pieces: Vec<Piece>,
}

impl Plan {
    /// With `only`, sequences whose last operation has this in it, or those on the setup of this name; `long` for the long ones.
    pub fn new(tier: Tier, seed: u64, endless: bool, only: Option<&str>) -> Self {
        let mut random = Random::new(seed);
        let count = OPERATIONS.len();
        let mut pieces = vec![Piece::Sequence("small", Vec::new())];
        pieces.extend((0..count).map(|last| Piece::Sequence("small", vec![last])));
        pieces.extend((0..count).map(|last| Piece::Sequence("brim", vec![last])));
        for setup in EDGES {
            pieces.extend((0..count).map(|last| Piece::Sequence(setup, vec![last])));
        }
        let pairs = (0..count * count).map(|pair| vec![pair / count, pair % count]);
        pieces.extend(pairs.map(|pair| Piece::Sequence(if pair[0] % 2 == 1 { "lanes" } else { "small" }, pair)));
        let some = |count: usize, random: &mut Random| -> Vec<usize> {
            (0..count).map(|_| random.below(OPERATIONS.len())).collect()
        };
        pieces.extend((0..tier.brims).map(|_| Piece::Sequence("brim", some(2, &mut random))));
        pieces.extend((0..tier.threes).map(|_| Piece::Sequence("small", some(3, &mut random))));
        pieces.extend((0..tier.checkpoints).map(|_| {
            let mut three = some(2, &mut random);
            three.push(CHECKPOINT);
            Piece::Sequence("small", three)
        }));
        pieces.extend(GROWING.map(|two| Piece::Sequence("inodes", two.to_vec())));
        pieces.extend(
            (0..tier.cpus).map(|_| Piece::Cpus(some(2, &mut random), some(2, &mut random), random.word() >> 32)),
        );
        pieces.extend((0..tier.longs).map(|_| Piece::Long));
        let extra = EXTRA.iter().chain(DATA).flat_map(|(setup, all)| all.iter().map(|text| Piece::Extra(setup, text)));
        pieces.extend(extra);
        // After the others, which so stay what they were.
        pieces.extend((0..tier.checkpoints).map(|_| {
            let mut three = some(2, &mut random);
            three.push(REMOUNT);
            Piece::Sequence("small", three)
        }));
        if tier.many {
            pieces.extend(MANY.iter().map(|text| Piece::Extra("many pieces", text)));
        }
        pieces.extend(classes::pieces(tier.classes, seed));
        if let Some(only) = only {
            pieces.retain(|piece| match piece {
                Piece::Sequence(setup, operations) => {
                    *setup == only || operations.last().is_some_and(|last| OPERATIONS[*last].contains(only))
                }
                Piece::Extra(setup, text) => *setup == only || text.contains(only),
                Piece::Made(setup, text) => *setup == only || class_name(setup) == only || text.contains(only),
                Piece::Scarce(setup, text) => *setup == only || class_name(setup) == only || text.contains(only),
                Piece::Beside(setup, ..) => *setup == only || class_name(setup) == only,
                Piece::Cpus(..) => only == "cpus",
                Piece::Long => only == "long",
            });
        }
        Self { tier, seed, endless, pieces }
    }

    /// Pieces of work before time decides.
    pub fn len(&self) -> u64 {
        self.pieces.len() as u64
    }

    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Does one piece of work; `None` if there is no such.
    pub fn work(&self, number: u64, tally: &Arc<Tally>) -> Option<Result<(), Failure>> {
        let mut random = Random::new(mix(self.seed ^ mix(number)));
        let piece = match self.pieces.get(number as usize) {
            Some(piece) => piece.clone(),
            None if !self.endless => return None,
            None if random.chance(100) => Piece::Long,
            None if random.chance(100) => {
                let mut two = || vec![random.below(OPERATIONS.len()), random.below(OPERATIONS.len())];
                Piece::Cpus(two(), two(), number)
            }
            None => Piece::Sequence("small", (0..3).map(|_| random.below(OPERATIONS.len())).collect()),
        };
        Some(match piece {
            Piece::Sequence(setup, operations) => {
                let budget = match operations[..] {
                    [_] if EDGES.contains(&setup) => self.tier.edge,
                    [] | [_] => self.tier.one,
                    [_, _] | [.., CHECKPOINT | REMOUNT] => self.tier.two,
                    _ => self.tier.long,
                };
                let items = operations.iter().flat_map(|index| operation(*index)).collect();
                self.sequence(setup, items, budget, &mut random, tally)
            }
            Piece::Extra(setup, text) => {
                let budget = match setup {
                    "large" => self.tier.large,
                    "pieces" | "many pieces" => self.tier.pieces,
                    _ => self.tier.edge,
                };
                self.sequence(setup, calls(text), budget, &mut random, tally)
            }
            Piece::Made(setup, text) => self.made(setup, &text, tally),
            Piece::Scarce(setup, text) => self.scarce(setup, text, tally),
            Piece::Beside(setup, one, two, seed) => {
                let setup = Setup::named(setup).expect("it is in the list");
                let mut items = calls(&one);
                items.extend(calls(&two).into_iter().map(beside));
                let effort = Effort { from: 0, budget: self.tier.long, keep_one_of: 0 };
                Run::new(&Workload { setup, seed, items }, setup.base(), tally).go(&effort).map(drop)
            }
            Piece::Cpus(one, two, seed) => {
                let setup = Setup::named(["cpus", "one lane"][random.below(2)]).expect("it is in the list");
                let mut items: Vec<Item> = one.iter().flat_map(|index| operation(*index)).collect();
                items.extend(two.iter().flat_map(|index| operation(*index)).map(beside));
                let effort = Effort { from: 0, budget: self.tier.long, keep_one_of: 0 };
                Run::new(&Workload { setup, seed, items }, setup.base(), tally).go(&effort).map(drop)
            }
            Piece::Long => self.long(&mut random, tally),
        })
    }

    /// Operations of which the last is explored; then from one of its states on another one, with the mount before it.
    fn sequence(
        &self,
        setup: &str,
        items: Vec<Item>,
        budget: Budget,
        random: &mut Random,
        tally: &Arc<Tally>,
    ) -> Result<(), Failure> {
        let setup = Setup::named(setup).expect("it is in the list");
        let from = items.len();
        let mut workload = Workload { setup, seed: self.seed, items };
        let kept = Run::new(&workload, setup.base(), tally).go(&Effort { from, budget, keep_one_of: 400 })?;
        if kept.is_empty() || tally.stopped() {
            return Ok(());
        }
        let kept = &kept[random.below(kept.len())];
        workload.items.truncate(kept.items);
        workload.items.push(Item::Cut(kept.snapshot, kept.choice.clone()));
        let from = workload.items.len();
        workload.items.extend(operation(random.below(OPERATIONS.len())));
        let effort = Effort { from, budget: self.tier.long, keep_one_of: 0 };
        Run::new(&workload, setup.base(), tally).go(&effort).map(drop)
    }

    /// Calls of a class.
    fn made(&self, setup: &str, text: &str, tally: &Arc<Tally>) -> Result<(), Failure> {
        let setup = Setup::named(setup).expect("it is in the list");
        let (before, text) = text.rsplit_once('!').unwrap_or(("", text));
        let mut items = if before.is_empty() { Vec::new() } else { calls(before) };
        let from = items.len() + 1;
        items.extend(calls(&classes::with_next_name(text, setup)));
        let workload = Workload { setup, seed: self.seed, items };
        let deep = matches!(setup.class, Some(Class::Levels | Class::Pieces));
        let budget = if deep { self.tier.deep } else { self.tier.class };
        let effort = Effort { from, budget, keep_one_of: 0 };
        Run::new(&workload, setup.base(), tally).go(&effort).map(drop)
    }

    /// A call with one free block more each time. Who does it with so many does it with more.
    fn scarce(&self, setup: &str, text: &str, tally: &Arc<Tally>) -> Result<(), Failure> {
        let setup = Setup::named(setup).expect("it is in the list");
        let mut enough = 0;
        // There are many of them.
        let Budget { all, words, pairs, random } = self.tier.deep;
        let budget = Budget { all: all / 2, words: words / 2, pairs: pairs / 2, random: random / 2 };
        for free in 0..setup.blocks {
            let items = calls(&format!("fill /n0 - {free}; {text}"));
            let effort = Effort { from: items.len(), budget, keep_one_of: 0 };
            let workload = Workload { setup, seed: self.seed, items };
            let refused = Run::new(&workload, setup.base(), tally).tell(&effort)?;
            if refused && enough > 0 {
                let why = format!("refused with {free} free blocks, and not with {}", free - 1);
                return Err(Failure { workload, violation: None, why });
            }
            enough += usize::from(!refused);
            if enough > 1 || tally.stopped() {
                break;
            }
        }
        Ok(())
    }

    /// Calls by chance, several generations.
    fn long(&self, random: &mut Random, tally: &Arc<Tally>) -> Result<(), Failure> {
        let setup = &SETUPS[random.below(FOR_LONG)];
        let mut workload = Workload { setup, seed: random.word() >> 32, items: Vec::new() };
        for generation in 0..3 {
            let from = workload.items.len();
            workload.items.extend(by_chance(setup, random, 40 >> generation));
            let effort = Effort { from: from.max(1), budget: self.tier.long, keep_one_of: 200 };
            let kept: Vec<Kept> = Run::new(&workload, setup.base(), tally).go(&effort)?;
            if tally.stopped() || kept.is_empty() {
                return Ok(());
            }
            let kept = &kept[random.below(kept.len())];
            workload.items.truncate(kept.items);
            workload.items.push(Item::Cut(kept.snapshot, kept.choice.clone()));
        }
        Ok(())
    }
}

/// So many calls on names that may be there or not: a call that makes no sense is passed over.
fn by_chance(setup: &Setup, random: &mut Random, count: usize) -> Vec<Item> {
    let name = |random: &mut Random| {
        let number = random.below(setup.names);
        let mut name = format!("n{number}");
        let len = (number * 67) % setup.longest;
        name.extend(std::iter::repeat_n('x', len.saturating_sub(name.len())));
        name
    };
    let path = |random: &mut Random| {
        let dir = ["", "", "", "/d", "/d", "/n0"][random.below(6)];
        format!("{dir}/{}", name(random))
    };
    let file = |random: &mut Random| match random.below(8) {
        0 | 1 => "/f".into(),
        2 | 3 => "/g".into(),
        4 => "@".into(),
        _ => path(random),
    };
    let call = |random: &mut Random| {
        let at = [0, 1000, 4096, 4100, 5000, 8192, 9000, 12_288, 16_384, 20_000][random.below(10)];
        let len = [8, 64, 700, 4096, 5000, 9000][random.below(6)];
        let (block, blocks) = (random.below(6) as u64, 1 + random.below(3) as u64);
        match random.below(37) {
            0..=3 => Call::new("create", &path(random), "-", 0, 0),
            4 => Call::new("mkdir", &path(random), "-", 0, 0),
            5 => Call::new("mkfifo", &path(random), "-", 0, 0),
            6 => Call::new("symlink", &path(random), "-", 1 + random.below(200) as u64, 0),
            7 | 8 => Call::new("link", &file(random), &path(random), 0, 0),
            9..=11 => Call::new("unlink", &path(random), "-", 0, 0),
            12 => Call::new("rmdir", &path(random), "-", 0, 0),
            13..=15 => Call::new("rename", &path(random), &path(random), 0, 0),
            16 => Call::new("rename", &file(random), &path(random), 0, 0),
            17 => Call::new("unlinkopen", &file(random), "-", 0, 0),
            18 => Call::new("close", "-", "-", 0, 0),
            19 => Call::new("tmpfile", "-", "-", 0, 0),
            20..=23 => Call::new("write", &file(random), "-", at, len),
            24 => Call::new("truncate", &file(random), "-", at, 0),
            25 => Call::new("truncate", &file(random), "-", random.below(20_000) as u64, 0),
            26 => Call::new("fallocate", &file(random), "-", at, len),
            27 => Call::new("reserve", &file(random), "-", block, blocks),
            28 => Call::new("punch", &file(random), "-", block, blocks),
            29 | 30 => Call::new("store", &file(random), "-", at, 1 + random.below(4) as u64),
            31 => Call::new("fsync", &file(random), "-", 0, 0),
            32 => Call::new("chmod", &file(random), "-", random.below(512) as u64, 0),
            33 => Call::new("zero", &file(random), "-", block, blocks),
            34 => Call::new("chown", &path(random), "-", random.below(9) as u64, random.below(99_999) as u64),
            35 if random.chance(64) => Call::new("remount", "-", "-", 0, 0),
            _ => Call::new("checkpoint", "-", "-", 0, 0),
        }
    };
    (0..count).map(|_| Item::Call(call(random))).collect()
}
