// SPDX-License-Identifier: GPL-2.0

//! Layer: linux. Tracepoints of the DAX layer (`trace.h`), as safe functions. A tracepoint that is off costs a call
//! and a patched jump.

use core::ops::Range;

use kernel::prelude::*;

use super::bindings;
use super::mm::fault::{Fault, Outcome};
use super::mm::lock::Tagged;
use super::mm::Mapping;

/// A fault was answered with `outcome`.
pub(crate) fn fault(mapping: &Mapping, f: &Fault<'_>, outcome: Outcome) {
    let order = f.order().map_or(u32::MAX, |o| o.shift());
    // SAFETY: Numbers, copied.
    unsafe {
        bindings::pfnfs_trace_fault(mapping.device(), mapping.ino(), f.index(), order, f.is_write(), outcome.bits())
    };
}

/// The file system was asked for `window` and inserted that many pages.
pub(crate) fn populate(mapping: &Mapping, window: &Range<u64>, write: bool, inserted: u64, error: Option<Error>) {
    // SAFETY: Numbers, copied.
    unsafe {
        bindings::pfnfs_trace_populate(
            mapping.device(),
            mapping.ino(),
            window.start,
            window.end,
            write,
            inserted,
            error.map_or(0, Error::to_errno),
        )
    };
}

/// An entry was write-protected and written back.
pub(crate) fn clean(mapping: &Mapping, t: &Tagged) {
    // SAFETY: Numbers, copied.
    unsafe { bindings::pfnfs_trace_clean(mapping.device(), mapping.ino(), t.index, t.frame.order.range(t.index).end) };
}

/// The entries of `pages` were taken out.
pub(crate) fn remove(mapping: &Mapping, pages: &Range<u64>) {
    // SAFETY: Numbers, copied.
    unsafe { bindings::pfnfs_trace_remove(mapping.device(), mapping.ino(), pages.start, pages.end) };
}
