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
