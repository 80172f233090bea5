// SPDX-License-Identifier: GPL-2.0

//! Layer: dax. Makes what was stored through mappings durable: `fsync(2)`, `msync(2)`, `sync(2)`, eviction, removal.
//!
//! A batch at a time: collect the entries that are marked, take the second mark from them and write-protect them, so
//! that the next store faults and marks again; write their lines back; then take the first mark from those that were
//! not written meanwhile. The first mark stays until the frames are durable, so that another `fsync` waits.
//!
//! A frame that somebody has pinned may be written without a fault, at any time: what he has stored so far is written back, and the
//! first mark stays, for the next who cleans. Who takes entries out does so once more when pins have gone ([`super::remove`]).

use core::ops::Range;

use kernel::prelude::*;

use super::Site;
use crate::linux::mm::lock::Tagged;
use crate::linux::mm::mapping::Writeback;
use crate::linux::mm::Mapping;
use crate::linux::trace;

/// Entries cleaned at a time: faults wait while they are write-protected.
const BATCH: usize = 32;

/// Makes `pages` durable. `EIO` if the device is being removed or the write-back fails. Must not be called with `populate_pfns`
/// on the way.
pub(crate) fn clean(mapping: &Mapping, pages: Range<u64>) -> Result {
    let site = Site::of(mapping)?;
    site.clean(pages)?;
    if site.media.is_alive() {
        Ok(())
    } else {
        Err(EIO)
    }
}

/// `->writepages`. The flusher, which only comes by, is given nothing: write-back costs the next store a fault,
/// and nobody has asked for it. The marks stay for who waits.
pub(super) fn writepages(mapping: &Mapping, want: &Writeback) -> Result {
    if want.wait {
        clean(mapping, want.pages.clone())
    } else {
        Ok(())
    }
}

impl Site<'_> {
    /// As [`clean`], also of a device that is going away.
    pub(super) fn clean(&self, pages: Range<u64>) -> Result {
        if !self.mapping.is_dirty() {
            return Ok(());
        }
        let _clean = self.locks.clean();
        self.mapping.tag_for_cleaning(pages.clone());
        let mut from = pages.start;
        loop {
            let mut batch: [Option<Tagged>; BATCH] = [None; BATCH];
            let taken = self.protect(&mut from, pages.end, &mut batch)?;
            if taken == 0 {
                return Ok(());
            }
            self.write_back(&batch).inspect_err(|&e| self.mapping.set_error(e))?;
            self.mapping.clear_dirty(&batch)?;
            self.media.counters().cleaned.many(taken as u64);
        }
    }

    fn protect(&self, from: &mut u64, end: u64, batch: &mut [Option<Tagged>]) -> Result<usize> {
        let write = self.locks.write(self.mapping);
        let taken = write.take_tagged(from, end, batch)?;
        if taken == 0 {
            write.show_clean();
        }
        for t in batch.iter_mut().flatten() {
            write.write_protect(t);
        }
        Ok(taken)
    }

    fn write_back(&self, batch: &[Option<Tagged>]) -> Result {
        for t in batch.iter().flatten() {
            self.media.flush(t.frame)?;
            trace::clean(self.mapping, t);
        }
        self.media.fence();
        Ok(())
    }
}
