// SPDX-License-Identifier: GPL-2.0

//! What came of many images, by what was changed in them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use pfnfs_core::media::format::{self, Node};

use super::base::{Base, Kind};
use super::exercise::{Depth, Outcome, DEPTHS};
use super::mutation::{Mutation, Place};

/// Counts.
#[derive(Debug, Default)]
pub struct Tally {
    pub images: u64,
    /// By structure: images of each depth.
    structures: BTreeMap<&'static str, [u64; DEPTHS.len()]>,
    depths: [u64; DEPTHS.len()],
    done: u64,
    refused: u64,
    damage: u64,
    accesses: (u64, &'static str),
    /// Every reason that was given for a refusal.
    pub reasons: BTreeSet<&'static str>,
}

impl Tally {
    /// Adds an image.
    pub fn add(&mut self, base: &Base, mutations: &[Mutation], outcome: &Outcome) {
        self.images += 1;
        self.depths[outcome.depth as usize] += 1;
        let structures: BTreeSet<_> = mutations.iter().map(|mutation| structure(base, mutation)).collect();
        for structure in structures {
            self.structures.entry(structure).or_default()[outcome.depth as usize] += 1;
        }
        self.done += outcome.done;
        self.refused += outcome.refused;
        self.damage += outcome.damage;
        self.accesses = self.accesses.max(outcome.accesses);
        self.reasons.extend(&outcome.reasons);
    }

    /// Adds another worker's counts.
    pub fn join(&mut self, other: Tally) {
        self.images += other.images;
        for (to, from) in self.depths.iter_mut().zip(other.depths) {
            *to += from;
        }
        for (structure, counts) in other.structures {
            let here = self.structures.entry(structure).or_default();
            here.iter_mut().zip(counts).for_each(|(to, from)| *to += from);
        }
        self.done += other.done;
        self.refused += other.refused;
        self.damage += other.damage;
        self.accesses = self.accesses.max(other.accesses);
        self.reasons.extend(other.reasons);
    }

    /// Images that got past superblock, slots and log.
    pub fn deep(&self) -> u64 {
        self.depths[Depth::Table as usize..].iter().sum()
    }
}

/// What a mutation changes, as people call it.
fn structure(base: &Base, mutation: &Mutation) -> &'static str {
    match mutation {
        Mutation::Size(_) => "size of the device",
        Mutation::Forge { .. } => "forged records",
        Mutation::Edit { logged: true, .. } => "changes in the log",
        Mutation::Edit { place, .. } => match place.kind {
            Kind::Super => "superblocks",
            Kind::Slot => "slots",
            Kind::Record => "records",
            Kind::Half => "log, anywhere",
            Kind::Bitmap => "bitmaps",
            Kind::Chunk => "inode chunks",
            Kind::Inode => "inodes",
            Kind::Node => node(base, place),
            Kind::Symlink => "symlinks",
            Kind::Data => "data",
        },
    }
}

fn node(base: &Base, place: &Place) -> &'static str {
    let Some(spot) = place.spot(base) else { return "data" };
    let node: Node = base.read(spot.at);
    match (place.offset, node.level, node.order) {
        (0..64, ..) => "tree: headers",
        (_, 1.., _) => "tree: keys, children",
        (offset, ..) if offset < 64 + 4 * u32::from(node.count.get()) => "tree: slots",
        (_, _, format::NODE_HASHED) => "tree: directory entries",
        _ => "tree: extents",
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{:<24}{:>8}", "changed", "images")?;
        DEPTHS.iter().try_for_each(|(_, name)| write!(to, "{name:>9}"))?;
        writeln!(to)?;
        for (structure, counts) in self.structures.iter().chain([(&"all", &self.depths)]) {
            write!(to, "{structure:<24}{:>8}", counts.iter().sum::<u64>())?;
            counts.iter().try_for_each(|count| write!(to, "{count:>9}"))?;
            writeln!(to)?;
        }
        let (most, name) = self.accesses;
        writeln!(to, "{} operations done, {} refused, {} of them for damage", self.done, self.refused, self.damage)?;
        writeln!(to, "{} reasons given; at most {most} accesses to the media, by {name}", self.reasons.len())?;
        write!(to, "{} % past superblock and log", self.deep() * 100 / self.images.max(1))
    }
}
