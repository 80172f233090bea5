// SPDX-License-Identifier: GPL-2.0

//! Images for a program in a guest, in one file. All numbers are little-endian, 32 bits:
//!
//! ```text
//! bytes of each image
//! images, each: number of the image, or !0 for one that is only the start of those that follow; then pieces: position, length,
//!               bytes; a piece of length 0 ends the image
//! ```
//!
//! An image differs by its pieces from the last start; a start from zeroes.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use pfnfs_sim::fuzz::arena::Arena;
use pfnfs_sim::fuzz::base::{Base, SIZE};
use pfnfs_sim::fuzz::case::Case;
use pfnfs_sim::fuzz::mutation;

/// Writes the cases, sorted by base.
pub fn write(file: &Path, bases: &[Base], cases: &[Case]) -> Result<()> {
    let mut out = (SIZE as u32).to_le_bytes().to_vec();
    for base in bases {
        let start = Arena::new(Arc::new(vec![0; SIZE]));
        start.poke(0, &base.image);
        image(&mut out, u32::MAX, &start);
        let arena = Arena::new(base.image.clone());
        for (number, case) in cases.iter().enumerate().filter(|(_, case)| case.base == base.name) {
            arena.restore();
            mutation::apply(&arena, base, &case.mutations);
            image(&mut out, number as u32, &arena);
        }
    }
    std::fs::write(file, out).with_context(|| file.display().to_string())
}

fn image(out: &mut Vec<u8>, number: u32, arena: &Arena) {
    out.extend(number.to_le_bytes());
    for (at, bytes) in arena.differences() {
        out.extend((at as u32).to_le_bytes());
        out.extend((bytes.len() as u32).to_le_bytes());
        out.extend(bytes);
    }
    out.extend([0; 8]);
}
