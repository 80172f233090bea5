// SPDX-License-Identifier: GPL-2.0

//! A file system in plain collections, and a driver that does the same to it and to a volume.
//!
//! The driver plays the part of `rust/fs`: it keeps the `Live` inodes, and carries bytes.

pub mod carrier;
pub mod data;
pub mod driver;
pub mod model;
pub mod op;
mod read;
mod refusal;

use pfnfs_core::media::format::Time;
use pfnfs_core::meta::mkfs;

/// splitmix64, for tests that want other numbers than [`crate::random::Random`] gives.
pub struct Rng(pub u64);

impl Rng {
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        crate::random::mix(self.0)
    }

    pub fn below(&mut self, limit: u64) -> u64 {
        self.draw() % limit
    }

    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        if from.is_empty() {
            None
        } else {
            from.get(self.below(from.len() as u64) as usize)
        }
    }
}

/// A moment: each second has nanoseconds of its own, the first and the last ones among them.
pub fn time(sec: i64) -> Time {
    let nsec = match sec & 15 {
        7 => 0,
        15 => 999_999_999,
        _ => (crate::random::mix(sec as u64) % 1_000_000_000) as u32,
    };
    Time { sec: sec.into(), nsec: nsec.into() }
}

/// The second of a moment that [`time`] has made; of any other one a number that no clock here shows.
pub fn second(moment: Time) -> i64 {
    let sec = moment.sec.get();
    if moment == time(sec) {
        sec
    } else {
        i64::MIN + i64::from(moment.nsec.get())
    }
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
