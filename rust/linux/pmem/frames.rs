// SPDX-License-Identifier: GPL-2.0

//! Layer: linux. Where persistent memory is mapped: page frames for the memory management side of this layer,
//! addresses for `dax`. Nobody above can take the numbers out.

use core::{marker::PhantomData, ops::Range};

use kernel::prelude::*;

use super::{Region, PAGE};

impl Region {
    /// The page frames of a range of device pages: the only source of page frame numbers. `ENXIO` once removal has
    /// begun, `ERANGE` beyond the end. Mappings made of them must be gone when `Holder::dead` returns.
    pub(crate) fn frames(&self, pages: Range<u64>) -> Result<Frames<'_>> {
        if pages.start > pages.end || pages.end > self.len / PAGE {
            return Err(ERANGE);
        }
        if self.is_dead() {
            return Err(ENXIO);
        }
        // INVARIANT: checked above.
        Ok(Frames { pages, region: self })
    }

    /// Where device pages are mapped. `ENXIO` once removal has begun, `ERANGE` beyond the end.
    pub(crate) fn run(&self, pages: Range<u64>) -> Result<Run<'_>> {
        let frames = self.frames(pages)?;
        let kaddr = self.base.as_ptr().wrapping_add(frames.pages.start.wrapping_mul(PAGE) as usize);
        Ok(Run { kaddr, pfn: frames.pfn(), nr: frames.len(), _region: PhantomData })
    }

    /// The page of the device that this frame is. `None`: it is none of them.
    pub(crate) fn page_of(&self, pfn: u64) -> Option<u64> {
        pfn.checked_sub(self.first_pfn).filter(|&page| page < self.len / PAGE)
    }
}

/// Page frames of a live device, in pages. Made by [`Region::frames`], opened by the memory management side of this
/// layer alone.
///
/// # Invariants
///
/// `pages` lies inside the region.
pub(crate) struct Frames<'r> {
    pages: Range<u64>,
    region: &'r Region,
}

impl<'r> Frames<'r> {
    /// How many frames there are.
    pub(crate) fn len(&self) -> u64 {
        self.pages.end.wrapping_sub(self.pages.start)
    }

    /// The device pages.
    pub(crate) fn pages(&self) -> Range<u64> {
        self.pages.clone()
    }

    /// The first `n` frames and the rest.
    pub(crate) fn split_at(self, n: u64) -> (Self, Self) {
        let mid = self.pages.start.wrapping_add(n.min(self.len()));
        let Self { pages, region } = self;
        // INVARIANT: both halves lie inside `pages`.
        (Self { pages: pages.start..mid, region }, Self { pages: mid..pages.end, region })
    }

    /// The numbers of the frames, to compare with: nothing can be mapped by number.
    pub(crate) fn pfns(&self) -> Range<u64> {
        self.pfn()..self.pfn().wrapping_add(self.len())
    }

    /// The number of the first frame.
    pub(in crate::linux) fn pfn(&self) -> u64 {
        self.region.first_pfn.wrapping_add(self.pages.start)
    }

    /// The region of the frames.
    pub(crate) fn region(&self) -> &'r Region {
        self.region
    }
}

/// A contiguous piece of the mapping, the answer of `direct_access`. Only `dax` opens it.
pub(crate) struct Run<'r> {
    pub(in crate::linux) kaddr: *mut u8,
    pub(in crate::linux) pfn: u64,
    pub(in crate::linux) nr: u64,
    _region: PhantomData<&'r Region>,
}
