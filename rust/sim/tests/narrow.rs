// SPDX-License-Identifier: GPL-2.0

//! Positions in a directory for programs of 32 bits: each entry comes once, and is found at its position.

use pfnfs_core::meta::dir::{Narrow, KEY_BITS};

/// Bits of a key below those of its position.
const BELOW: u32 = KEY_BITS - 31;
/// The first position of an entry.
const FIRST: u64 = 3;

/// Reads keys, `room` at a time, as getdents(2) does; with the positions that a seek gets.
fn read(keys: &[u64], room: usize) -> Vec<(u64, u64)> {
    let (mut at, mut seen) = (2, Vec::new());
    loop {
        let (mut narrow, from) = Narrow::start(at);
        let mut left = keys.iter().filter(|key| **key >= from);
        for key in left.by_ref().take(room) {
            seen.push((*key, narrow.of(*key)));
        }
        at = left.next().map_or(Narrow::END, |key| narrow.of(*key));
        if at == Narrow::END {
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
    keys.extend(crowd(most / 3).chain(crowd(5 << BELOW)).chain(crowd((Narrow::END - 2) << BELOW)));
    keys.sort_unstable();
    for room in 1..=keys.len() {
        let seen = read(&keys, room);
        let found: Vec<u64> = seen.iter().map(|(key, _)| *key).collect();
        assert_eq!(found, keys, "{room} at a time");
        for (key, at) in &seen {
            let (_, from) = Narrow::start(*at);
            assert_eq!(keys.iter().find(|other| **other >= from), Some(key), "{at:#x}");
            assert!((FIRST..Narrow::END).contains(&(at & 0xffff_ffff)));
            assert!(Narrow::start(at & 0xffff_ffff).1 <= *key, "a seek loses nothing");
        }
        let wide = seen.iter().filter(|(_, at)| at >> 32 != 0).count();
        assert!(wide < keys.len() / 2, "{wide} positions have more than 32 bits");
    }
    assert!(keys.iter().all(|key| *key < Narrow::start(Narrow::END).1));
}
