// SPDX-License-Identifier: GPL-2.0

//! Positions in a directory for programs of 32 bits: the upper 31 bits of a key.
//!
//! Few entries of a directory have the same 31 bits. The first of them has these alone for its
//! position; each of the others also has the rest of its key, above 32 bits: who reads on finds all
//! of them, once. Who goes to what 32 bits have kept of that comes to the first.

use super::KEY_BITS;

/// Bits of a position.
const BITS: u32 = 31;
/// Bits of a key below those of its position.
const BELOW: u32 = KEY_BITS - BITS;
/// The first position of an entry: 0 to 2 are those of `.` and `..`, and behind them.
const FIRST: u64 = 3;
/// The position behind all entries.
const END: u64 = (1 << BITS) - 1;

/// Where the keys of a position begin.
fn base(position: u64) -> u64 {
    if position <= FIRST {
        0
    } else {
        position << BELOW
    }
}

/// Gives entries their positions, while they are read in order.
pub struct Narrow {
    /// Position of the entry before.
    last: u64,
}

impl Narrow {
    /// The position behind all entries.
    pub const END: u64 = END;

    /// Reading begins at a position: with which key?
    pub fn start(at: u64) -> (Self, u64) {
        let (position, rest) = (at & END, at >> 32);
        if position == END {
            return (Self { last: END }, i64::MAX as u64);
        }
        // One with a rest is not the first of its like.
        let last = if rest > 0 { position } else { 0 };
        (Self { last }, base(position).saturating_add(rest))
    }

    /// The position of the next entry, by its key.
    pub fn of(&mut self, key: u64) -> u64 {
        let position = (key >> BELOW).clamp(FIRST, END.saturating_sub(1));
        let rest = if position == self.last { key.saturating_sub(base(position)) } else { 0 };
        self.last = position;
        rest << 32 | position
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec::Vec;

    use super::*;

    /// Reads keys, `room` at a time, as getdents(2) does; with the positions that a seek gets.
    fn read(keys: &[u64], room: usize) -> Vec<(u64, u64)> {
        let (mut at, mut seen) = (2, Vec::new());
        loop {
            let (mut narrow, from) = Narrow::start(at);
            let mut left = keys.iter().filter(|key| **key >= from);
            for key in left.by_ref().take(room) {
                seen.push((*key, narrow.of(*key)));
            }
            at = left.next().map_or(END, |key| narrow.of(*key));
            if at == END {
                return seen;
            }
        }
    }

    #[test]
    fn every_key_comes_once_and_is_found_at_its_position() {
        let most = (1 << KEY_BITS) - 1;
        let crowd = |key: u64| (0..5).map(move |index| key + index * 7);
        let mut keys: Vec<u64> = (1..60).map(|index| most / 60 * index).collect();
        keys.extend([256, 257, 1 << BELOW, 2 << BELOW, 3 << BELOW, 4 << BELOW, most - 1, most]);
        keys.extend([most - (1 << BELOW), most - (2 << BELOW)]);
        keys.extend(crowd(most / 3).chain(crowd(5 << BELOW)).chain(crowd((END - 2) << BELOW)));
        keys.sort_unstable();
        for room in 1..=keys.len() {
            let seen = read(&keys, room);
            let found: Vec<u64> = seen.iter().map(|(key, _)| *key).collect();
            assert_eq!(found, keys, "{room} at a time");
            for (key, at) in &seen {
                let (_, from) = Narrow::start(*at);
                assert_eq!(keys.iter().find(|other| **other >= from), Some(key), "{at:#x}");
                assert!((FIRST..END).contains(&(at & 0xffff_ffff)));
                assert!(Narrow::start(at & 0xffff_ffff).1 <= *key, "a seek loses nothing");
            }
            let wide = seen.iter().filter(|(_, at)| at >> 32 != 0).count();
            assert!(wide < keys.len() / 2, "{wide} positions have more than 32 bits");
        }
        assert!(keys.iter().all(|key| *key < Narrow::start(END).1));
    }
}
