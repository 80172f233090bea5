// SPDX-License-Identifier: GPL-2.0

//! Layer: dax. Memory failure: nobody keeps a page table entry for a failed page.

use core::ops::Range;

use kernel::prelude::*;

use super::Site;
use crate::linux::mm::Mapping;

/// Page frames `pfns` have failed: signals and unmaps those who map them through `mapping`. `flags` are the kernel's
/// `MF_*`. The record behind [`super::Media::is_poisoned`] must have them already: it is what keeps them from being mapped again.
///
/// The kernel's function signals, but unmaps only if it has found somebody to signal, so we unmap as well. Of a huge entry it marks
/// the first page as failed, whichever it was, so the marks are put right. May sleep.
///
/// Says whether what was stored there through a mapping may not have been durable yet. Then each file that is open says so by
/// `EIO`, once, when it is synchronised: so does the super block.
pub(crate) fn fail(mapping: &Mapping, pfns: &Range<u64>, flags: i32) -> Result<bool> {
    if mapping.is_empty() {
        return Ok(false);
    }
    let site = Site::of(mapping)?;
    let _exclusive = mapping.exclusive();
    let write = site.locks.write(mapping);
    let mut outcome = Ok(());
    let mut lost = false;
    let mut from = 0;
    while let Some(seen) = mapping.next_entry(from) {
        from = seen.end();
        let Some(frame) = seen.frame() else { continue };
        let held = frame.pfns();
        let start = pfns.start.max(held.start);
        let end = pfns.end.min(held.end);
        if start >= end {
            continue;
        }
        lost |= seen.dirty;
        let at = |pfn: u64| seen.index.saturating_add(pfn.saturating_sub(held.start));
        let pages = at(start)..at(end);
        outcome = outcome.and(write.kill_procs(pages.clone(), flags));
        write.unmap(pages);
        write.mark_failed(frame, |pfn| pfns.contains(&pfn) || site.media.is_poisoned(pfn..pfn.saturating_add(1)));
    }
    if lost {
        mapping.set_error(EIO);
    }
    outcome.map(|()| lost)
}
