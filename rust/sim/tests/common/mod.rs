// SPDX-License-Identifier: GPL-2.0

//! What the tests share, beside the driver and the model of `pfnfs_sim::fs`.

#![allow(dead_code, unused_imports, reason = "each test uses a part")]

pub mod fragile;
pub mod lossy;

pub use pfnfs_sim::fs::{driver, model, options, time, Rng};

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
