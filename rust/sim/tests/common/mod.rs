// SPDX-License-Identifier: GPL-2.0

//! What the model tests share: a file system in plain collections, and a driver that does the same to it and to a volume.
//!
//! The driver plays the part of `rust/fs`: it keeps the `Live` inodes, moves the bytes and zeroes past the end of files.

#![allow(dead_code, reason = "each test uses a part")]

pub mod driver;
pub mod fragile;
pub mod model;
pub mod op;

use pfnfs_core::media::format::Time;
use pfnfs_core::meta::mkfs;

/// splitmix64.
pub struct Rng(pub u64);

impl Rng {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        if from.is_empty() {
            None
        } else {
            from.get(self.below(from.len() as u64) as usize)
        }
    }
}

pub fn time(sec: i64) -> Time {
    Time { sec: sec.into(), nsec: 7.into() }
}

/// Options of a small volume.
pub fn options(lanes: u32, half_size: u32, max_inodes: u64) -> mkfs::Options {
    mkfs::Options {
        uuid: *b"0123456789abcdef",
        hash_seed: *b"the seed of hash",
        lanes,
        half_size,
        max_inodes,
        now: time(1),
        ..mkfs::Options::suited(1 << 20)
    }
}

/// The factor of a node's word, as the format's description has it.
fn weight(index: u64) -> u64 {
    let mut z = (index + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31 | 1
}

/// Makes the sum of a tree node right.
pub fn fix_sum(node: &mut [u8]) {
    node[56..64].fill(0);
    let words = node.chunks_exact(4).map(|word| u64::from(u32::from_le_bytes(word.try_into().unwrap())));
    let sum = words.zip(0..).fold(0u64, |sum, (word, index)| sum.wrapping_add(word.wrapping_mul(weight(index))));
    node[56..64].copy_from_slice(&sum.to_le_bytes());
}
