// SPDX-License-Identifier: GPL-2.0

//! Layer linux: what a slot of `mapping->i_pages` says, in the private format of the kernel's `fs/dax.c`, and a cursor
//! over slots. The format is written and read here and nowhere else; [`super::selftest`] proves at load time that the
//! kernel's teardown still understands it.
//!
//! An entry is an XArray value: the page frame number shifted left by four, and below it four flags. The kernel uses
//! one of them as a lock on the entry; we never set it, because nobody could wake those who wait for it: changes are
//! single critical sections under the lock of `i_pages`.
//!
//! C source: [`fs/dax.c`](srctree/fs/dax.c), [`include/linux/xarray.h`](srctree/include/linux/xarray.h)

use core::ops::Range;
use core::ptr;

use kernel::prelude::*;

use super::{Mapping, HUGE};
use crate::linux::bindings;

const SHIFT: u32 = 4;
const LOCKED: u64 = 1 << 0;
// For the test of the self-test: `PFNFS_MUTANT=dax_format` is a module made for a kernel with two flags exchanged.
const PMD: u64 = if cfg!(pfnfs_mutant = "dax_format") { 1 << 2 } else { 1 << 1 };
const ZERO_PAGE: u64 = if cfg!(pfnfs_mutant = "dax_format") { 1 << 1 } else { 1 << 2 };
const EMPTY: u64 = 1 << 3;

/// How much one entry covers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Order {
    /// 4 KiB.
    Page,
    /// 2 MiB, aligned in the file and in memory.
    Huge,
}

impl Order {
    /// In pages.
    pub(crate) const fn pages(self) -> u64 {
        match self {
            Self::Page => 1,
            Self::Huge => HUGE,
        }
    }

    /// The bits of an index inside an entry.
    const fn mask(self) -> u64 {
        match self {
            Self::Page => 0,
            Self::Huge => HUGE - 1,
        }
    }

    /// Base-2 logarithm of [`Self::pages`].
    pub(crate) const fn shift(self) -> u32 {
        match self {
            Self::Page => 0,
            Self::Huge => 9,
        }
    }

    /// The indices that an entry of this order at `index` covers.
    pub(crate) const fn range(self, index: u64) -> Range<u64> {
        let start = self.align(index);
        start..start.saturating_add(self.pages())
    }

    /// The first index that an entry of this order at `index` covers.
    pub(crate) const fn align(self, index: u64) -> u64 {
        index & !self.mask()
    }
}

/// Page frames that one entry holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Frame {
    /// The first page frame number.
    pub(crate) pfn: u64,
    /// How many.
    pub(crate) order: Order,
}

impl Frame {
    /// The page frame numbers.
    pub(crate) fn pfns(self) -> Range<u64> {
        self.pfn..self.pfn.saturating_add(self.order.pages())
    }

    /// The page frame for `index`, which the entry covers.
    pub(crate) fn at(self, index: u64) -> u64 {
        self.pfn.saturating_add(index & self.order.mask())
    }
}

/// What is at an index.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Entry {
    /// Nothing.
    Empty,
    /// The zero page: the file has a hole here.
    Hole,
    /// A copy of a page of the file, in ordinary memory: see [`super::copy`]. What the kernel calls empty: there is no frame.
    Copy,
    /// Page frames of the device.
    Pfn(Frame),
    /// Something that we never store.
    Foreign,
}

impl Entry {
    /// Reads what a slot holds.
    pub(super) fn decode(slot: *mut c_void) -> Self {
        let raw = slot as u64;
        if raw == 0 {
            return Self::Empty;
        }
        let value = raw >> 1;
        let order = if value & PMD == 0 { Order::Page } else { Order::Huge };
        match (raw & 1, value & (LOCKED | ZERO_PAGE | EMPTY), order) {
            (1, 0, order) => Self::Pfn(Frame { pfn: value >> SHIFT, order }),
            (1, ZERO_PAGE, Order::Page) => Self::Hole,
            (1, EMPTY, Order::Page) => Self::Copy,
            _ => Self::Foreign,
        }
    }

    /// What to put into a slot. [`Self::Empty`] and [`Self::Foreign`] clear it.
    pub(super) fn encode(self) -> *mut c_void {
        let value = match self {
            Self::Pfn(Frame { pfn, order: Order::Page }) => pfn << SHIFT,
            Self::Pfn(Frame { pfn, order: Order::Huge }) => pfn << SHIFT | PMD,
            // SAFETY: No precondition. The address matters on machines with coloured zero pages only.
            Self::Hole => (unsafe { bindings::pfnfs_zero_pfn() } as u64) << SHIFT | ZERO_PAGE,
            Self::Copy => EMPTY,
            Self::Empty | Self::Foreign => return ptr::null_mut(),
        };
        (value << 1 | 1) as *mut c_void
    }

    /// Whether it gives way to page frames: there are none, and who maps what it stands for can be unmapped.
    pub(super) fn gives_way(self) -> bool {
        matches!(self, Self::Hole | Self::Copy)
    }

    /// Pages that it covers.
    pub(super) fn pages(self) -> u64 {
        match self {
            Self::Pfn(frame) => frame.order.pages(),
            _ => 1,
        }
    }
}

/// Marks of entries: `PAGECACHE_TAG_*`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Mark {
    /// May hold data that is only in the CPU's caches.
    Dirty,
    /// To be cleaned; on a dirty entry outside a cleaner: written again since the cleaner looked.
    ToWrite,
}

impl Mark {
    const fn raw(self) -> bindings::xa_mark_t {
        match self {
            Self::Dirty => 0,
            Self::ToWrite => 2,
        }
    }
}

/// A position in `i_pages` with the lock held and interrupts off: nothing in here sleeps.
pub(super) struct Cursor<'a> {
    xas: &'a mut bindings::xa_state,
    mapping: &'a Mapping,
}

impl Cursor<'_> {
    /// Calls `f` at `index` with the lock of `mapping`'s `i_pages` held. [`Cursor::store`] may need memory that
    /// cannot be had under the lock: then it is allocated and `f` runs again, until `f`'s second value is `true`.
    pub(super) fn with<R>(
        mapping: &Mapping,
        index: u64,
        order: Order,
        mut f: impl FnMut(&mut Cursor<'_>) -> R,
    ) -> Result<R> {
        let mut xas = state(mapping, index, order);
        loop {
            // SAFETY: The state is of a live mapping. The lock is not held: we are in process context and the
            // cursor does not leave the closure.
            unsafe { bindings::pfnfs_xas_lock_irq(&mut xas) };
            let out = f(&mut Cursor { xas: &mut xas, mapping });
            // SAFETY: Locked above.
            unsafe { bindings::pfnfs_xas_unlock_irq(&mut xas) };
            // SAFETY: The state is ours; not under the lock. It frees or allocates what `xas_store` wants.
            if unsafe { bindings::xas_nomem(&mut xas, bindings::GFP_KERNEL) } {
                continue;
            }
            // SAFETY: The state is ours.
            match unsafe { bindings::pfnfs_xas_error(&xas) } {
                0 => return Ok(out),
                error => return Err(Error::from_errno(error)),
            }
        }
    }

    /// The index it is at: the first one of the entry that was found.
    pub(super) fn index(&self, entry: Entry) -> u64 {
        match entry {
            Entry::Pfn(frame) => frame.order.align(self.xas.xa_index as u64),
            _ => self.xas.xa_index as u64,
        }
    }

    /// What is here.
    pub(super) fn load(&mut self) -> Entry {
        // SAFETY: The lock is held, as for all below.
        Entry::decode(unsafe { bindings::xas_load(self.xas) })
    }

    /// Goes to the first entry from here on that begins before `end`, or covers here.
    pub(super) fn find(&mut self, end: u64) -> Option<Entry> {
        let last = end.checked_sub(1)?;
        // SAFETY: As in `load`.
        let slot = unsafe { bindings::xas_find(self.xas, last as c_ulong) };
        (!slot.is_null()).then(|| Entry::decode(slot))
    }

    /// As [`Self::find`], of entries that have `mark`.
    pub(super) fn find_marked(&mut self, end: u64, mark: Mark) -> Option<Entry> {
        let last = end.checked_sub(1)?;
        // SAFETY: As in `load`.
        let slot = unsafe { bindings::xas_find_marked(self.xas, last as c_ulong, mark.raw()) };
        (!slot.is_null()).then(|| Entry::decode(slot))
    }

    /// Replaces what is here and counts it in `nrpages`. Without effect if memory is short: see [`Self::with`].
    pub(super) fn store(&mut self, old: Entry, new: Entry) {
        // SAFETY: As in `load`.
        unsafe { bindings::xas_store(self.xas, new.encode()) };
        // SAFETY: As above; no side effect.
        if unsafe { bindings::pfnfs_xas_error(self.xas) } != 0 {
            return;
        }
        let count = |e: Entry| if e == Entry::Empty { 0 } else { e.pages() };
        // SAFETY: `nrpages` is protected by the lock of `i_pages`.
        let nr = unsafe { &mut (*self.mapping.as_raw()).nrpages };
        *nr = nr.wrapping_add(count(new) as c_ulong).wrapping_sub(count(old) as c_ulong);
    }

    /// Whether the entry here has `mark`.
    pub(super) fn marked(&self, mark: Mark) -> bool {
        // SAFETY: As in `load`.
        unsafe { bindings::xas_get_mark(self.xas, mark.raw()) }
    }

    /// Gives the entry here `mark`.
    pub(super) fn mark(&mut self, mark: Mark) {
        // SAFETY: As in `load`.
        unsafe { bindings::xas_set_mark(self.xas, mark.raw()) };
    }

    /// Takes `mark` from the entry here.
    pub(super) fn unmark(&mut self, mark: Mark) {
        // SAFETY: As in `load`.
        unsafe { bindings::xas_clear_mark(self.xas, mark.raw()) };
    }
}

impl Mapping {
    /// Cuts `pages` into pieces of few entries: what is done to one with interrupts off must not take
    /// as long as a user likes, who may have an entry for each page of a large hole.
    pub(super) fn pieces(&self, pages: Range<u64>) -> impl Iterator<Item = Range<u64>> + use<'_> {
        const ENTRIES: usize = 1024;
        let mut from = pages.start;
        core::iter::from_fn(move || {
            let start = from;
            from = self.behind(start, pages.end, ENTRIES);
            (start < pages.end).then_some(start..from)
        })
    }

    /// The index behind the next `most` entries from `from` on; `end` if there are no more before it.
    fn behind(&self, from: u64, end: u64, most: usize) -> u64 {
        let seen = Cursor::with(self, from, Order::Page, |c| {
            let mut at = from;
            for _ in 0..most {
                let Some(entry) = c.find(end) else { return end };
                at = c.index(entry).saturating_add(entry.pages());
            }
            at.min(end)
        });
        seen.unwrap_or(end)
    }
}

/// `XA_STATE_ORDER`.
fn state(mapping: &Mapping, index: u64, order: Order) -> bindings::xa_state {
    const CHUNK: u32 = bindings::XA_CHUNK_SHIFT;
    let shift = order.shift();
    bindings::xa_state {
        xa: mapping.i_pages(),
        xa_index: order.align(index) as c_ulong,
        xa_shift: (shift - shift % CHUNK) as u8,
        xa_sibs: ((1u32 << (shift % CHUNK)) - 1) as u8,
        xa_node: XAS_RESTART as *mut bindings::xa_node,
        ..pin_init::zeroed()
    }
}

/// Where a walk begins: `XAS_RESTART`.
const XAS_RESTART: usize = 3;
