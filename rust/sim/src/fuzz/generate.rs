// SPDX-License-Identifier: GPL-2.0

//! Mutations by seed: fields rather than bytes, values that are wrong by little or that belong to something else.

use pfnfs_core::media::format::{self, Node};
use pfnfs_core::media::BLOCK;

use super::base::{Base, Kind};
use super::mutation::{self, Bytes, Fix, Mutation, Place};
use crate::random::Random;

/// How often a kind is hit, of 64; the rest are forged records.
const WEIGHTS: [(Kind, usize); 10] = [
    (Kind::Super, 2),
    (Kind::Slot, 3),
    (Kind::Record, 8),
    (Kind::Half, 1),
    (Kind::Bitmap, 4),
    (Kind::Chunk, 5),
    (Kind::Inode, 14),
    (Kind::Node, 19),
    (Kind::Symlink, 1),
    (Kind::Data, 1),
];

/// Fields of a superblock: offset and width.
const SUPER: &[(u32, u32)] = &[
    (0, 8),
    (8, 4),
    (12, 4),
    (16, 4),
    (20, 4),
    (24, 8),
    (32, 8),
    (40, 8),
    (48, 8),
    (64, 8),
    (96, 8),
    (112, 8),
    (120, 4),
    (124, 4),
    (128, 8),
    (136, 8),
    (144, 8),
    (152, 8),
    (160, 4),
    (164, 2),
    (166, 2),
    (168, 8),
    (176, 8),
    (184, 8),
    (212, 8),
    (252, 4),
];
/// Fields of a slot.
const SLOT: &[(u32, u32)] = &[(0, 4), (4, 4), (8, 8), (16, 8), (24, 8), (32, 8)];
/// Fields of a record's header and of its first patches.
const RECORD: &[(u32, u32)] =
    &[(0, 4), (4, 4), (8, 8), (16, 8), (24, 8), (24, 4), (28, 2), (30, 2), (32, 4), (32, 8), (36, 4), (40, 8)];
/// Fields of a chunk's header.
const CHUNK: &[(u32, u32)] =
    &[(0, 8), (8, 8), (0, 1), (2, 1), (4, 2), (32, 8), (34, 1), (36, 1), (40, 8), (64, 4), (72, 8), (80, 8)];
/// Fields of an inode.
const INODE: &[(u32, u32)] = &[
    (0, 2),
    (2, 2),
    (4, 4),
    (8, 8),
    (16, 4),
    (24, 4),
    (28, 4),
    (32, 4),
    (36, 1),
    (37, 1),
    (38, 1),
    (39, 1),
    (40, 8),
    (48, 8),
    (56, 8),
    (64, 4),
    (80, 4),
    (92, 4),
    (96, 8),
    (108, 8),
    (116, 8),
    (124, 4),
    (128, 8),
    (136, 8),
    (144, 4),
    (148, 4),
    (152, 8),
    (160, 8),
    (168, 4),
    (176, 8),
    (240, 8),
];
/// Fields of a node's header.
const NODE: &[(u32, u32)] = &[
    (0, 4),
    (4, 1),
    (5, 1),
    (6, 2),
    (6, 2),
    (8, 2),
    (8, 2),
    (10, 2),
    (10, 2),
    (12, 4),
    (16, 8),
    (24, 8),
    (32, 8),
    (40, 8),
    (56, 8),
];

/// Image `index` of `seed`: which base, and what is changed.
pub fn image(bases: &[Base], random: &mut Random) -> (usize, Vec<Mutation>) {
    let base = random.below(bases.len());
    let count = [1, 1, 1, 2, 2, 3, 4, 6][random.below(8)];
    let mut list = Vec::new();
    for _ in 0..count {
        mutate(&bases[base], random, &mut list);
    }
    (base, list)
}

/// Adds a mutation: one change, or the same one to both copies of something.
pub fn mutate(base: &Base, random: &mut Random, list: &mut Vec<Mutation>) {
    if random.below(200) == 0 {
        list.push(Mutation::Size(random.below(base.image.len()) as u64 / 64 * 64));
        return;
    }
    let mut left = random.below(64);
    for (kind, weight) in WEIGHTS {
        if left < weight {
            return edit(base, random, kind, list);
        }
        left -= weight;
    }
    list.push(forge(base, random));
}

fn edit(base: &Base, random: &mut Random, kind: Kind, list: &mut Vec<Mutation>) {
    let count = base.spots(kind).len();
    if count == 0 {
        list.push(forge(base, random));
        return;
    }
    let index = random.below(count) as u32;
    let (offset, width) = field(base, random, kind, index);
    let place = Place { kind, index, offset };
    let copies = matches!(kind, Kind::Super | Kind::Slot) && random.chance(160);
    let fix = if random.chance(20) { Fix::Nothing } else { Fix::Sum };
    let logged = !matches!(kind, Kind::Super | Kind::Slot | Kind::Record | Kind::Half) && random.chance(60);
    let edit = if random.below(12) == 0 {
        transplant(base, random, place, logged)
    } else {
        let bytes = Bytes::Set(value(base, random, place, width));
        Mutation::Edit { place, bytes, fix, logged }
    };
    if let (true, Mutation::Edit { bytes, fix, .. }) = (copies, &edit) {
        let place = Place { index: index + 1, ..place };
        list.push(Mutation::Edit { place, bytes: bytes.clone(), fix: *fix, logged: false });
    }
    list.push(edit);
}

/// Something well-formed from elsewhere, whole or in part.
fn transplant(base: &Base, random: &mut Random, to: Place, logged: bool) -> Mutation {
    let whole = match to.kind {
        Kind::Super | Kind::Inode => 256,
        Kind::Slot => 64,
        Kind::Chunk => 128,
        Kind::Record => 192,
        _ => 4096,
    };
    let from = Place { index: random.below(base.spots(to.kind).len()) as u32, ..to };
    let fix = if random.chance(200) { Fix::Identity } else { Fix::Sum };
    let (to, from, len) = if random.chance(128) {
        (Place { offset: 0, ..to }, Place { offset: 0, ..from }, whole)
    } else {
        (to, from, 8 << random.below(6))
    };
    Mutation::Edit { place: to, bytes: Bytes::Copy { from, len }, fix, logged }
}

/// Offset and width of a field of something.
fn field(base: &Base, random: &mut Random, kind: Kind, index: u32) -> (u32, u32) {
    let fields = match kind {
        Kind::Super => SUPER,
        Kind::Slot => SLOT,
        Kind::Record => RECORD,
        Kind::Chunk => CHUNK,
        Kind::Inode => INODE,
        Kind::Node => return node_field(base, random, index),
        Kind::Bitmap => return (random.below(base.geometry.blocks() as usize / 8) as u32, 1),
        Kind::Symlink | Kind::Data => return (random.below(BLOCK as usize - 8) as u32, 1 << random.below(4)),
        Kind::Half => return (random.below(base.geometry.half_size() as usize / 8 - 1) as u32 * 8, 8),
    };
    if kind == Kind::Record && random.chance(64) {
        return (random.below(60) as u32 * 4, 4);
    }
    fields[random.below(fields.len())]
}

/// A field of a node: of its header, of a slot or a child, of an entry.
fn node_field(base: &Base, random: &mut Random, index: u32) -> (u32, u32) {
    let spots = base.spots(Kind::Node);
    let at = spots[index as usize % spots.len()].at;
    let node: Node = base.read(at);
    let slot = random.below(usize::from(node.count.get()).max(1)) as u32;
    match random.below(10) {
        0..=2 => NODE[random.below(NODE.len())],
        3..=5 if node.level > 0 => (64 + 16 * slot + 8 * random.below(2) as u32, 8),
        _ if node.level > 0 => (64 + 16 * slot + 8, 8),
        3 | 4 => (64 + 4 * slot + 2 * random.below(2) as u32, 2),
        _ => {
            let offset = u32::from(base.read::<zerocopy::little_endian::U16>(at + 64 + 4 * u64::from(slot) + 2).get());
            let fields: &[(u32, u32)] = if node.order == format::NODE_HASHED {
                &[(0, 8), (0, 1), (8, 8), (16, 1), (17, 1), (17, 1), (18, 1), (19, 4)]
            } else {
                &[(0, 8), (8, 8), (8, 8), (16, 4), (16, 4), (20, 4)]
            };
            let (field, width) = fields[random.below(fields.len())];
            (offset.min(4072) + field, width)
        }
    }
}

/// A value for a field that somebody might not have thought of.
fn value(base: &Base, random: &mut Random, place: Place, width: u32) -> Vec<u8> {
    let at = place.spot(base).map_or(0, |spot| spot.at) + u64::from(place.offset);
    let mut old = [0; 8];
    let have = &base.image[(at as usize).min(base.image.len() - 8)..][..width as usize];
    old[..width as usize].copy_from_slice(have);
    let old = u64::from_le_bytes(old);
    let bits = (8 * width) as usize;
    let value = match random.below(12) {
        0 => 0,
        1 => u64::MAX,
        2 | 3 => old ^ 1 << random.below(bits),
        4 => old.wrapping_add(1 + random.below(3) as u64),
        5 => old.wrapping_sub(1 + random.below(3) as u64),
        6 => 1 << random.below(bits),
        7 => (1u64 << random.below(bits)).wrapping_sub(1),
        8 | 9 => known(base, random),
        10 => random.below(4097) as u64,
        _ => random.word(),
    };
    value.to_le_bytes()[..width as usize].to_vec()
}

/// A number that means something in this image: a block, an inode.
fn known(base: &Base, random: &mut Random) -> u64 {
    let block = |kind, random: &mut Random| {
        let spots = base.spots(kind);
        spots.get(random.below(spots.len())).map_or(0, |spot| spot.at / BLOCK)
    };
    match random.below(8) {
        0 | 1 => block(Kind::Node, random),
        2 => block(Kind::Data, random),
        3 => block(Kind::Chunk, random),
        4 => base.geometry.data().start,
        5 => base.geometry.data().end - random.below(2) as u64,
        _ => base.inos[random.below(base.inos.len())],
    }
}

/// A record with patches that fit the format, at places that mean something.
fn forge(base: &Base, random: &mut Random) -> Mutation {
    let mut patches = Vec::new();
    for _ in 0..1 + random.below(3) {
        let kind = [Kind::Node, Kind::Inode, Kind::Chunk, Kind::Bitmap, Kind::Data, Kind::Super][random.below(6)];
        let spots = base.spots(kind);
        let Some(spot) = spots.get(random.below(spots.len())) else { continue };
        let at = spot.at + random.below(256) as u64;
        let place = Place { kind, index: 0, offset: 0 };
        match random.below(4) {
            0 => {
                let bytes = value(base, random, place, 8);
                patches.extend(mutation::patch(at, 8, format::PATCH_WRITE));
                patches.extend(bytes);
            }
            1 => patches.extend(mutation::patch(at, 1 << random.below(14), format::PATCH_ZERO)),
            set => {
                let bits = if kind == Kind::Bitmap || kind == Kind::Chunk { spot.at } else { at & !7 };
                let kind = if set == 2 { format::PATCH_SET } else { format::PATCH_CLEAR };
                let len = if random.chance(240) { 8 } else { random.below(64) as u64 };
                patches.extend(mutation::patch(bits, len, kind));
                let first = if random.chance(230) { random.below(520) as u32 } else { random.word() as u32 };
                patches.extend(first.to_le_bytes());
                let most = if random.chance(230) { 5 } else { 32 };
                patches.extend((1u32 << random.below(most)).to_le_bytes());
            }
        }
    }
    if random.below(16) == 0 {
        patches.truncate(random.below(patches.len() + 1));
    }
    Mutation::Forge { half: random.below(4) as u32, patches }
}
