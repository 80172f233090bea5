// SPDX-License-Identifier: GPL-2.0

//! Seeded random numbers: every run can be repeated.

/// splitmix64.
#[derive(Clone, Debug)]
pub struct Random(u64);

/// The finaliser of splitmix64, to derive values from others.
pub fn mix(value: u64) -> u64 {
    let value = (value ^ value >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ value >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ value >> 31
}

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(mix(seed ^ 0x7066_6e66_7300))
    }

    pub fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// Below `end`, which is at least 1.
    pub fn below(&mut self, end: usize) -> usize {
        (self.word() >> 33) as usize % end.max(1)
    }

    /// True so many times of 256.
    pub fn chance(&mut self, of_256: u8) -> bool {
        (self.word() >> 40) as u8 <= of_256.wrapping_sub(1) && of_256 != 0
    }
}
