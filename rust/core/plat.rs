// SPDX-License-Identifier: GPL-2.0

//! What the platform computes for the core; this is the host's version, the module has one that calls the kernel.

/// The Castagnoli polynomial, bits reversed.
const POLY: u32 = 0x82f6_3b78;

const fn entry(byte: u8) -> u32 {
    let mut crc = byte as u32;
    let mut bit = 0u8;
    while bit < 8 {
        crc = if crc & 1 == 1 { crc >> 1 ^ POLY } else { crc >> 1 };
        bit = bit.wrapping_add(1);
    }
    crc
}

#[allow(clippy::indexing_slicing, reason = "evaluated by the compiler")]
const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut byte = 0usize;
    while byte < 256 {
        table[byte] = entry(byte as u8);
        byte = byte.wrapping_add(1);
    }
    table
}

/// What a byte does to the checksum that so many further bytes follow.
#[allow(clippy::indexing_slicing, reason = "evaluated by the compiler")]
const fn tables() -> [[u32; 256]; 8] {
    let mut tables = [table(); 8];
    let mut further = 1usize;
    while further < 8 {
        let mut byte = 0usize;
        while byte < 256 {
            let crc = tables[further.wrapping_sub(1)][byte];
            tables[further][byte] = crc >> 8 ^ tables[0][(crc & 0xff) as usize];
            byte = byte.wrapping_add(1);
        }
        further = further.wrapping_add(1);
    }
    tables
}

static TABLES: [[u32; 256]; 8] = tables();

/// Continues a CRC-32C over `bytes`, without inversion before or after, as the kernel's `crc32c()` does. Eight bytes at a
/// time: the tests compute little else.
pub fn crc32c(seed: u32, bytes: &[u8]) -> u32 {
    let entry = |further: usize, byte: u64| {
        let table = TABLES.get(further).and_then(|table| table.get((byte & 0xff) as usize));
        table.copied().unwrap_or_default()
    };
    let mut crc = seed;
    let mut words = bytes.chunks_exact(8);
    for word in &mut words {
        let word = u64::from(crc) ^ word.first_chunk().map_or(0, |word| u64::from_le_bytes(*word));
        let bytes = word.to_le_bytes();
        crc = bytes.iter().zip((0..8).rev()).fold(0, |crc, (byte, further)| crc ^ entry(further, u64::from(*byte)));
    }
    words.remainder().iter().fold(crc, |crc, byte| crc >> 8 ^ entry(0, u64::from(crc) ^ u64::from(*byte)))
}

#[cfg(test)]
mod tests {
    #[test]
    fn known_value() {
        assert_eq!(!super::crc32c(!0, b"123456789"), 0xe306_9283);
    }

    #[test]
    fn pieces_are_as_good_as_the_whole() {
        let bytes: [u8; 100] = core::array::from_fn(|index| index as u8 ^ 0x5a);
        let whole = super::crc32c(7, &bytes);
        for split in 0..bytes.len() {
            let (one, two) = bytes.split_at(split);
            assert_eq!(super::crc32c(super::crc32c(7, one), two), whole);
        }
    }
}
