// SPDX-License-Identifier: GPL-2.0

//! Searching and changing the bits of one group. Pure functions on the DRAM copy; the caller holds the group's lock.
//!
//! A *chunk* is an aligned run of 512 bits: 2 MiB. *Whole* chunks have no bit set and are worth keeping so, as only they can be
//! mapped by one huge entry: small wants fill *broken* chunks first.

use super::machine::{GroupMut, GroupState};
use crate::media::HUGE;

/// Words of a chunk.
const CHUNK_WORDS: usize = (HUGE / 64) as usize;

/// A run of free blocks in a group: first bit and length.
pub(in crate::meta) type Run = (u32, u32);

/// How to choose among free runs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::meta) enum Choice {
    /// From this bit on, and nowhere else.
    At(u32),
    /// The same, but whole chunks only unless all that is wanted can be had.
    WholeAt(u32),
    /// The first run in a broken chunk that is long enough.
    Fit,
    /// The first whole chunk, and whole ones after it.
    Whole,
    /// The longest run of broken chunks, however short.
    Any,
}

/// The state that belongs to these bits.
pub(in crate::meta) fn count(bits: &[u64]) -> GroupState {
    GroupState {
        free: bits.iter().map(|word| word.count_zeros()).sum(),
        whole: bits.chunks_exact(CHUNK_WORDS).filter(|chunk| is_whole(chunk)).count() as u32,
    }
}

fn is_whole(chunk: &[u64]) -> bool {
    chunk.iter().all(|word| *word == 0)
}

/// Bits `from..to` of a word, `from < to <= 64`.
fn mask(from: u32, to: u32) -> u64 {
    let low = |bits: u32| 1u64.checked_shl(bits).map_or(!0, |bit| bit.wrapping_sub(1));
    low(to) & !low(from)
}

/// Sets or clears bits; bits that are so already do not count.
pub(in crate::meta) fn change(group: &mut GroupMut<'_>, first: u32, count: u32, set: bool) {
    let end = first.saturating_add(count);
    let chunks = group.bits.chunks_exact_mut(CHUNK_WORDS).enumerate();
    let touched = (end.div_ceil(HUGE).saturating_sub(first / HUGE)) as usize;
    for (number, chunk) in chunks.skip((first / HUGE) as usize).take(touched) {
        let before = is_whole(chunk);
        for (index, word) in chunk.iter_mut().enumerate() {
            let start = (number.wrapping_mul(CHUNK_WORDS).wrapping_add(index) as u32).wrapping_mul(64);
            let (from, to) = (first.clamp(start, start.wrapping_add(64)), end.clamp(start, start.wrapping_add(64)));
            let bits = mask(from.wrapping_sub(start), to.wrapping_sub(start));
            let changed = (if set { !*word } else { *word } & bits).count_ones();
            *word = if set { *word | bits } else { *word & !bits };
            let free = &mut group.state.free;
            *free = if set { free.saturating_sub(changed) } else { free.saturating_add(changed) };
        }
        let whole = &mut group.state.whole;
        match (before, is_whole(chunk)) {
            (true, false) => *whole = whole.saturating_sub(1),
            (false, true) => *whole = whole.saturating_add(1),
            _ => {}
        }
    }
}

/// Whether all these bits are set.
pub(in crate::meta) fn all_set(bits: &[u64], first: u32, count: u32) -> bool {
    next(bits, first, false).is_none_or(|clear| clear >= first.saturating_add(count))
}

/// The first bit from `from` on that is `set`.
pub(in crate::meta) fn next(bits: &[u64], from: u32, set: bool) -> Option<u32> {
    let mut skip = mask(from % 64, 64);
    for (index, word) in bits.iter().enumerate().skip((from / 64) as usize) {
        let found = (if set { *word } else { !*word }) & skip;
        if found != 0 {
            return Some((index as u32).wrapping_mul(64).wrapping_add(found.trailing_zeros()));
        }
        skip = !0;
    }
    None
}

/// The free run that begins at or after `from`, within `..end`.
fn run(bits: &[u64], from: u32, end: u32) -> Option<Run> {
    let first = next(bits, from, false).filter(|first| *first < end)?;
    let stop = next(bits, first, true).unwrap_or(end).min(end);
    Some((first, stop.wrapping_sub(first)))
}

/// A free run of at most `want` blocks.
pub(in crate::meta) fn find(bits: &[u64], state: &GroupState, choice: Choice, want: u32) -> Option<Run> {
    let broken = state.free.saturating_sub(state.whole.saturating_mul(HUGE));
    let (first, len) = match choice {
        Choice::At(bit) => at(bits, bit, want)?,
        Choice::WholeAt(bit) => whole_part(at(bits, bit, want)?, want)?,
        Choice::Fit if broken >= want => in_broken(bits, want)?,
        Choice::Any if broken > 0 => in_broken(bits, u32::MAX)?,
        Choice::Whole if state.whole > 0 => in_whole(bits, want)?,
        _ => return None,
    };
    Some((first, len.min(want)))
}

/// The free run that begins right here, as far as `want` goes: what lies behind that is not looked at.
fn at(bits: &[u64], bit: u32, want: u32) -> Option<Run> {
    let end = bit.checked_add(want)?;
    let near = bits.get(..end.div_ceil(64) as usize).unwrap_or(bits);
    let end = end.min((near.len() as u32).wrapping_mul(64));
    run(near, bit, end).filter(|(first, _)| *first == bit)
}

/// All of `want`, or as many whole chunks of a run as there are: what follows must be able to begin at one.
fn whole_part((first, len): Run, want: u32) -> Option<Run> {
    let part = if len >= want { want } else { len & !HUGE.wrapping_sub(1) };
    (part > 0).then_some((first, part))
}

/// The first free run of `want` blocks in one broken chunk, or the longest if `want` is out of reach (and is `MAX`).
fn in_broken(bits: &[u64], want: u32) -> Option<Run> {
    let mut best: Option<Run> = None;
    for (number, chunk) in bits.chunks_exact(CHUNK_WORDS).enumerate().filter(|(_, chunk)| !is_whole(chunk)) {
        let base = (number as u32).wrapping_mul(HUGE);
        let mut from = 0;
        while let Some((first, len)) = run(chunk, from, HUGE) {
            let found = (base.wrapping_add(first), len);
            if len >= want {
                return Some(found);
            }
            if best.is_none_or(|(_, longest)| len > longest) {
                best = Some(found);
            }
            from = first.wrapping_add(len);
        }
    }
    best.filter(|_| want == u32::MAX)
}

/// The first whole chunk and those that follow it, as far as `want` goes.
fn in_whole(bits: &[u64], want: u32) -> Option<Run> {
    let mut found: Option<Run> = None;
    for (number, chunk) in bits.chunks_exact(CHUNK_WORDS).enumerate() {
        if is_whole(chunk) {
            let (first, len) = found.unwrap_or(((number as u32).wrapping_mul(HUGE), 0));
            found = Some((first, len.wrapping_add(HUGE)));
        }
        if found.is_some_and(|(_, len)| len >= want || !is_whole(chunk)) {
            break;
        }
    }
    found
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
mod tests {
    use super::*;

    const WORDS: usize = 8 * 8;

    fn group() -> ([u64; WORDS], GroupState) {
        let bits = [0; WORDS];
        (bits, count(&bits))
    }

    fn set(bits: &mut [u64], state: &mut GroupState, first: u32, len: u32, on: bool) {
        change(&mut GroupMut { bits, state }, first, len, on);
        let counted = count(bits);
        assert_eq!((counted.free, counted.whole), (state.free, state.whole));
    }

    #[test]
    fn counts_follow_changes() {
        let (mut bits, mut state) = group();
        set(&mut bits, &mut state, 60, 10, true);
        assert_eq!((state.free, state.whole), (4096 - 10, 7));
        set(&mut bits, &mut state, 500, 600, true);
        assert_eq!((state.free, state.whole), (4096 - 610, 5));
        set(&mut bits, &mut state, 0, 4096, true);
        assert_eq!((state.free, state.whole), (0, 0));
        set(&mut bits, &mut state, 511, 1, false);
        set(&mut bits, &mut state, 512, 512, false);
        assert_eq!((state.free, state.whole), (513, 1));
        assert!(all_set(&bits, 0, 511) && !all_set(&bits, 0, 512) && all_set(&bits, 1024, 3072));
    }

    #[test]
    fn small_wants_fill_broken_chunks() {
        let (mut bits, mut state) = group();
        set(&mut bits, &mut state, 1024, 100, true);
        assert_eq!(find(&bits, &state, Choice::Fit, 3), Some((1124, 3)));
        assert_eq!(find(&bits, &state, Choice::Fit, 412), Some((1124, 412)));
        assert_eq!(find(&bits, &state, Choice::Fit, 413), None);
        assert_eq!(find(&bits, &state, Choice::Any, 1000), Some((1124, 412)));
        assert_eq!(find(&bits, &state, Choice::Whole, 1024), Some((0, 1024)));
        assert_eq!(find(&bits, &state, Choice::Whole, 4096), Some((0, 1024)));
        assert_eq!(find(&bits, &state, Choice::At(1120), 4), None);
        assert_eq!(find(&bits, &state, Choice::At(1124), 4), Some((1124, 4)));
        set(&mut bits, &mut state, 4095, 1, true);
        assert_eq!(find(&bits, &state, Choice::WholeAt(3072), 1024), Some((3072, 512)));
        assert_eq!(find(&bits, &state, Choice::WholeAt(3584), 512), None);
        assert_eq!(find(&bits, &state, Choice::WholeAt(3072), 1000), Some((3072, 1000)));
        set(&mut bits, &mut state, 0, 4096, true);
        for choice in [Choice::Fit, Choice::Any, Choice::Whole, Choice::At(7)] {
            assert_eq!(find(&bits, &state, choice, 1), None);
        }
    }
}
