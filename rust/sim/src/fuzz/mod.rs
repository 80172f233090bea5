// SPDX-License-Identifier: GPL-2.0

//! Hostile images: what a fuzzer makes of sound ones, and what the core says to them.
//!
//! `base` has the sound images and knows what lies where in them; `mutation` changes one, also so that checksums stay right,
//! and has a text form, which is what the corpus consists of; `generate` makes mutations by seed. `arena` is the memory under
//! a mutated image: it undoes everything afterwards, and fails who leaves it or does not come to an end. `exercise` opens,
//! walks and uses an image through `files`, a small file system. `case` is all that with a text form; `tally` adds up what came of
//! many.

pub mod arena;
pub mod base;
pub mod case;
pub mod exercise;
pub mod files;
pub mod generate;
pub mod lossy;
pub mod mutation;
pub mod tally;

/// Factor of word `index` of a tree node, as the format's description has it.
fn weight(index: u64) -> u64 {
    crate::random::mix((index + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)) | 1
}

/// Makes the sum of a tree node right.
pub fn fix_sum(node: &mut [u8]) {
    node[56..64].fill(0);
    let words = node.chunks_exact(4).map(|word| u64::from(u32::from_le_bytes(word.try_into().expect("four bytes"))));
    let sum = words.zip(0..).fold(0u64, |sum, (word, index)| sum.wrapping_add(word.wrapping_mul(weight(index))));
    node[56..64].copy_from_slice(&sum.to_le_bytes());
}
