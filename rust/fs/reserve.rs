// SPDX-License-Identifier: GPL-2.0

//! Layer fs: fresh blocks for files, without those whose memory has failed.
//!
//! The core does not know of failed memory. A block of it that comes out of the allocator is kept reserved for as long as
//! the volume is mounted; after the next mount it turns up again and is kept again.

use crate::media;

use super::mount::Mounted;
use super::Fresh;

impl Mounted {
    /// Reserves as the core's `Volume::reserve` does, maybe fewer blocks than would be free.
    pub(super) fn reserve(&self, near: u64, want: u32, align2m: bool) -> media::Result<Fresh<'_>> {
        loop {
            let mut found = Some(self.volume().reserve(near, want, align2m)?);
            while let Some(blocks) = found {
                // A block is a page.
                let pages = blocks.first()..blocks.first().saturating_add(blocks.count().into());
                let Some(bad) = self.device().region().first_poisoned(&pages) else { return Ok(blocks) };
                let good = bad.saturating_sub(pages.start) as u32;
                if good > 0 {
                    return Ok(blocks.split(good).0);
                }
                let (failed, rest) = blocks.split(1);
                core::mem::forget(failed);
                found = rest;
            }
        }
    }
}
