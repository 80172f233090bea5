// SPDX-License-Identifier: GPL-2.0

//! Layer: linux. What the media core needs computed, by the kernel. The core's own build has another file in this place
//! (`core/plat.rs`).
//!
//! C header: [`include/linux/crc32.h`](srctree/include/linux/crc32.h)

#![allow(unsafe_code)]

use crate::linux::bindings;

/// Continues a CRC-32C over `bytes`, without inversion before or after.
pub(crate) fn crc32c(seed: u32, bytes: &[u8]) -> u32 {
    // SAFETY: Reads that many bytes.
    unsafe { bindings::crc32c(seed, bytes.as_ptr().cast(), bytes.len()) }
}
