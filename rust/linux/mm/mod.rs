// SPDX-License-Identifier: GPL-2.0

//! Layer linux: memory management, as far as a DAX file needs it. `struct address_space` with PFN
//! entries ([`mapping`], their format in [`entry`]), what open files have in place of it
//! ([`front`]), the ZONE_DEVICE folios behind the entries ([`folio`]), what stands in for them
//! ([`copy`]), page faults ([`fault`]) and `mmap` ([`vma`]).
//!
//! Locks, outermost first (the first two are the kernel's, the others [`lock::Locks`]): `i_rwsem` >
//! `mmap_lock` > `invalidate_lock` ([`mapping::Shared`], [`mapping::Exclusive`]) > populate
//! ([`lock::Populate`]) or clean > map ([`lock::MapRead`], [`lock::MapWrite`]) > `i_mmap_rwsem`,
//! the front's first > `i_pages` or a page table's.
//!
//! An index is a file offset in pages of 4 KiB, a range of pages is half open.

#![allow(dead_code, reason = "complete for the layers that are built on it")]

pub(crate) mod copy;
pub(crate) mod entry;
pub(crate) mod fault;
pub(crate) mod folio;
pub(in crate::linux) mod front;
pub(crate) mod link;
pub(crate) mod lock;
pub(crate) mod mapping;
pub(crate) mod selftest;
pub(crate) mod vma;
mod zeroes;

pub(crate) use self::entry::{Entry, Frame, Order};
pub(crate) use self::mapping::Mapping;

/// Base-2 logarithm of the size of a page in bytes.
pub(crate) const PAGE_SHIFT: u32 = kernel::page::PAGE_SHIFT as u32;

/// Pages in what one entry of a page middle directory maps: 2 MiB.
pub(crate) const HUGE: u64 = 512;
