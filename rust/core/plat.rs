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

static TABLE: [u32; 256] = table();

/// Continues a CRC-32C over `bytes`, without inversion before or after, as the kernel's `crc32c()` does.
pub fn crc32c(seed: u32, bytes: &[u8]) -> u32 {
    bytes.iter().fold(seed, |crc, byte| {
        let entry = TABLE.get(((crc ^ u32::from(*byte)) & 0xff) as usize);
        crc >> 8 ^ entry.copied().unwrap_or_default()
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn known_value() {
        assert_eq!(!super::crc32c(!0, b"123456789"), 0xe306_9283);
    }
}
