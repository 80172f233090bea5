// SPDX-License-Identifier: GPL-2.0

//! Layer linux: a page fault on a DAX file, `struct vm_fault`, and what puts pages into page tables.
//!
//! The kernel calls one [`Handler`] for all its ways in: a missing page, a missing 2 MiB, a store to a page that is mapped
//! read-only. The handler looks an entry up under [`MapRead`] and maps it under the same guard.
//!
//! C source: [`include/linux/mm.h`](srctree/include/linux/mm.h), [`mm/memory.c`](srctree/mm/memory.c),
//! [`mm/huge_memory.c`](srctree/mm/huge_memory.c)
//!
//! Not wrapped: `map_pages` (fault-around: neighbours are inserted as entries, not into page tables), 1 GiB pages
//! (`fs/dax.c` has no entry for them and cleaning would take such a page for a table).

use core::marker::PhantomData;

use kernel::prelude::*;

use super::copy::Copy;
use super::entry::{Frame, Order};
use super::lock::MapRead;
use super::{folio, Mapping};
use crate::linux::bindings;
use crate::linux::vfs::sb::Unfrozen;

/// How often a page is put into a table that goes away before the fault is left to come again.
const RETRIES: usize = 3;

/// What a handler answers: `vm_fault_t`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Outcome(bindings::vm_fault_t);

impl Outcome {
    /// Mapped, or to be tried again.
    pub(crate) const DONE: Self = Self(bindings::vm_fault_reason_VM_FAULT_NOPAGE);
    /// The page that was left for the kernel, to copy or to map.
    pub(crate) const LEFT: Self = Self(0);
    /// The same, and it is locked.
    const LOCKED: Self = Self(bindings::vm_fault_reason_VM_FAULT_LOCKED);
    /// Not with 2 MiB: the kernel asks for 4 KiB next.
    pub(crate) const FALLBACK: Self = Self(bindings::vm_fault_reason_VM_FAULT_FALLBACK);
    /// No such page: SIGBUS.
    pub(crate) const SIGBUS: Self = Self(bindings::vm_fault_reason_VM_FAULT_SIGBUS);
    /// The page's memory has failed: SIGBUS with the address.
    pub(crate) const POISON: Self = Self(bindings::vm_fault_reason_VM_FAULT_HWPOISON);

    /// Memory is short.
    const OOM: Self = Self(bindings::vm_fault_reason_VM_FAULT_OOM);

    /// For an error of the file system.
    pub(crate) fn from_error(error: Error) -> Self {
        if error == ENOMEM {
            return Self::OOM;
        }
        match error.to_errno().unsigned_abs() {
            bindings::EHWPOISON => Self::POISON,
            _ => Self::SIGBUS,
        }
    }

    /// The same, counted as a fault that had to ask the file system.
    pub(crate) fn major(self) -> Self {
        Self(self.0 | bindings::vm_fault_reason_VM_FAULT_MAJOR)
    }

    /// `vm_fault_t`, for traces.
    pub(crate) fn bits(self) -> u32 {
        self.0
    }
}

/// A fault being handled.
///
/// # Invariants
///
/// `vmf` is valid for the call, and its VMA maps a file whose mapping lives as long.
pub(crate) struct Fault<'a> {
    vmf: *mut bindings::vm_fault,
    order: Option<Order>,
    _call: PhantomData<&'a ()>,
}

impl<'a> Fault<'a> {
    /// The mapping of the file.
    pub(crate) fn mapping(&self) -> &'a Mapping {
        // SAFETY: By the type invariant.
        unsafe { Mapping::of_file((*(*self.vmf).__bindgen_anon_1.vma).vm_file) }
    }

    /// The index of the page that was touched.
    pub(crate) fn index(&self) -> u64 {
        // SAFETY: By the type invariant.
        unsafe { (*self.vmf).__bindgen_anon_1.pgoff as u64 }
    }

    /// How much the kernel asks to be mapped. `None`: more than there are entries for.
    pub(crate) fn order(&self) -> Option<Order> {
        self.order
    }

    /// Whether the file is about to be written. A store to a private mapping is none: it goes to a copy.
    pub(crate) fn is_write(&self) -> bool {
        self.is_store() && self.is_shared()
    }

    /// Whether the VMA is shared.
    fn is_shared(&self) -> bool {
        // SAFETY: By the type invariant.
        unsafe { bindings::pfnfs_fault_shared(self.vmf) }
    }

    /// Whether the access is a store.
    fn is_store(&self) -> bool {
        // SAFETY: By the type invariant.
        unsafe { (*self.vmf).flags & bindings::fault_flag_FAULT_FLAG_WRITE != 0 }
    }

    /// Whether the kernel wants a page to copy from: the first store to a private mapping.
    pub(crate) fn wants_copy(&self) -> bool {
        // SAFETY: By the type invariant.
        unsafe { !(*self.vmf).cow_page.is_null() }
    }

    /// Whether the VMA was mapped with MAP_SYNC.
    pub(crate) fn is_sync(&self) -> bool {
        // SAFETY: By the type invariant.
        unsafe { bindings::pfnfs_fault_sync(self.vmf) }
    }

    /// Whether 2 MiB around the address can be one page: file and addresses are aligned alike, the VMA covers it, and
    /// nothing is to be copied, nor noted page by page. `pages`: the pages that the file has.
    pub(crate) fn fits_huge(&self, pages: u64) -> bool {
        let small_store = self.is_store() && (!self.is_shared() || self.is_watched());
        let end = Order::Huge.range(self.index()).end;
        // SAFETY: By the type invariant.
        !small_store && end <= pages && unsafe { bindings::pfnfs_fault_fits_pmd(self.vmf) }
    }

    /// A store to the file begins: waits while the file system is frozen, and sets the file's times.
    pub(crate) fn begin_write(&self) -> Writing<'a> {
        let mapping = self.mapping();
        // SAFETY: By the type invariant the super block is live, and so is the file. That the times cannot be set
        // does not keep the store from happening, as everywhere in the kernel.
        unsafe {
            bindings::pfnfs_start_pagefault((*mapping.as_raw()).host);
            bindings::file_update_time((*(*self.vmf).__bindgen_anon_1.vma).vm_file);
        }
        Writing(mapping)
    }

    /// Whether userfaultfd write-protects this VMA. It notes so in page tables, at any time, where a page is missing; the
    /// functions that modules have for inserting take the note for another page: a load faults for ever, and a store
    /// gets a warning and SIGBUS.
    fn is_watched(&self) -> bool {
        // SAFETY: By the type invariant.
        unsafe { bindings::pfnfs_fault_watched(self.vmf) }
    }

    /// Whether the page is mapped, and cannot be written yet.
    fn is_protected(&self) -> bool {
        // SAFETY: By the type invariant.
        unsafe { (*self.vmf).flags & bindings::fault_flag_FAULT_FLAG_MKWRITE != 0 }
    }

    /// Whether the page must be left for the kernel to map ([`Self::leave`]), which keeps such a note.
    pub(crate) fn must_leave(&self) -> bool {
        // SAFETY: By the type invariant.
        let noted = unsafe { bindings::pfnfs_fault_marker(self.vmf) };
        let missing = self.order == Some(Order::Page) && !self.is_protected();
        missing && self.is_watched() && (noted || self.is_store())
    }

    /// Leaves the page for the kernel to map, which drops the reference if it does not. It is mapped for reading: a store
    /// comes back as one to a write-protected page, so that nothing is written yet.
    pub(crate) fn leave(&mut self, g: &MapRead<'_>, frame: Frame) -> Outcome {
        // SAFETY: By the type invariant. The kernel goes by the flags when it has the page.
        unsafe { (*self.vmf).flags &= !bindings::fault_flag_FAULT_FLAG_WRITE };
        self.copy_from(g, frame)
    }

    /// Puts `frame`, which the entry at [`Self::index`] holds, into the page table: all of it if the kernel has asked for 2 MiB,
    /// else the one page. For who shows that the file system is not frozen, and will be told of the store: to be written.
    pub(crate) fn map(&self, g: &MapRead<'_>, frame: Frame, write: Option<Unfrozen<'_>>) -> Outcome {
        match (self.order, frame.order) {
            (Some(Order::Page), _) if write.is_some() && self.is_watched() => self.make_writable(g, frame),
            (Some(Order::Huge), Order::Huge) => self.map_huge(g, frame, write.is_some()),
            (Some(Order::Page), _) => {
                // SAFETY: The guard keeps the entry, so its frames have pages.
                self.map_page(g, unsafe { folio::page(frame.at(self.index())) }, write.is_some())
            }
            _ => Outcome::FALLBACK,
        }
    }

    /// Puts the zero page into the page table, for reading. Where the kernel has to do that itself, a page of zeroes that
    /// is the mapping's own: the kernel would count references to the zero page.
    pub(crate) fn map_zero(&mut self, g: &MapRead<'_>) -> Outcome {
        if self.must_leave() {
            return self.borrow(g.locks.zeroes().lend());
        }
        // SAFETY: No precondition.
        self.map_page(g, unsafe { bindings::pfnfs_zero_page() }, false)
    }

    /// Puts a copy into the page table, for reading. Its entry is at [`Self::index`].
    pub(crate) fn map_copy(&mut self, g: &MapRead<'_>, copy: &Copy) -> Outcome {
        if self.must_leave() {
            return self.borrow(g.locks.zeroes().lend_other(copy.as_raw()));
        }
        self.map_page(g, copy.as_raw(), false)
    }

    /// Leaves a page that was lent for the kernel to map.
    fn borrow(&mut self, lent: Result<*mut bindings::page>) -> Outcome {
        match lent {
            Ok(page) => {
                // SAFETY: By the type invariant. The kernel unlocks the page, and has its reference.
                unsafe { (*self.vmf).page = page };
                Outcome::LOCKED
            }
            Err(e) => Outcome::from_error(e),
        }
    }

    fn map_page(&self, g: &MapRead<'_>, page: *mut bindings::page, write: bool) -> Outcome {
        let _tables = g.locks.tables().read();
        if self.pmd() == Pmd::Huge {
            return Outcome::DONE;
        }
        let mut out = Outcome::OOM;
        // The kernel also says that memory is short if MADV_DONTNEED frees the page table while it
        // goes there.
        for _ in 0..RETRIES {
            if out != Outcome::OOM {
                break;
            }
            // To be read, whatever it is for. Something else may be in the place by now: a guard
            // (MADV_GUARD_INSTALL needs no lock that a fault does not share). Who inserts to write
            // takes that for another page: a warning, and SIGBUS.
            // SAFETY: A page that stays while `g` lives, one that the caller has, or the zero page.
            // Insertion takes a reference of its own, but refuses pages that have none, and an
            // idle page has none.
            out = unsafe {
                bindings::pfnfs_folio_ref_inc(page);
                let out = bindings::vmf_insert_page_mkwrite(self.vmf, page, false);
                bindings::pfnfs_folio_put(page);
                Outcome(out)
            };
        }
        if write && out == Outcome::DONE {
            // SAFETY: By the type invariant. Under the lock that was taken no huge page comes in.
            // That the table has gone again is no error: the store comes again, as a fault.
            let _ = unsafe { bindings::pfnfs_fault_make_inserted_writable(self.vmf, page) };
        }
        if out == Outcome::OOM {
            // Who is told that makes a noise. If memory was really short, the OOM killer has been
            // at work, and whom it has not chosen tries again.
            return Outcome::DONE;
        }
        out
    }

    /// A store to a page that is mapped read-only, if it still is.
    fn make_writable(&self, g: &MapRead<'_>, frame: Frame) -> Outcome {
        let _tables = g.locks.tables().read();
        if self.pmd() == Pmd::Table {
            let pfn = frame.at(self.index()) as c_ulong;
            // SAFETY: By the type invariant. Under the lock that was taken no huge page comes in
            // here. As in `map_page`, the store comes again if the table has gone.
            let _ = unsafe { bindings::pfnfs_fault_make_writable(self.vmf, pfn) };
        }
        Outcome::DONE
    }

    fn map_huge(&self, g: &MapRead<'_>, frame: Frame, write: bool) -> Outcome {
        let _tables = g.locks.tables().write();
        if self.pmd() == Pmd::Table {
            return Outcome::FALLBACK;
        }
        // SAFETY: As in `map_page`, also why it is inserted to be read first; a huge entry's frames
        // are one folio of that order.
        unsafe {
            let page = folio::page(frame.pfn);
            bindings::pfnfs_folio_ref_inc(page);
            let out = bindings::vmf_insert_folio_pmd(self.vmf, page.cast(), false);
            bindings::pfnfs_folio_put(page);
            if write && out == Outcome::DONE.0 {
                bindings::pfnfs_fault_make_huge_writable(self.vmf, frame.pfn as c_ulong);
            }
            Outcome(out)
        }
    }

    /// Leaves a page for the kernel to copy. It drops the reference.
    pub(crate) fn copy_from(&mut self, _g: &MapRead<'_>, frame: Frame) -> Outcome {
        // SAFETY: The guard keeps the entry until there is a reference.
        unsafe {
            let page = folio::page(frame.at(self.index()));
            bindings::pfnfs_folio_ref_inc(page);
            (*self.vmf).page = page;
        }
        Outcome::LEFT
    }

    /// Leaves a copy for the kernel to copy.
    pub(crate) fn copy_copy(&mut self, copy: &Copy) -> Outcome {
        // SAFETY: The page is the caller's until there is a reference, which the kernel drops.
        unsafe {
            bindings::pfnfs_folio_ref_inc(copy.as_raw());
            (*self.vmf).page = copy.as_raw();
        }
        Outcome::LEFT
    }

    /// Leaves the zero page for the kernel to copy.
    pub(crate) fn copy_zero(&mut self) -> Outcome {
        // SAFETY: The zero page stays.
        unsafe {
            let page = bindings::pfnfs_zero_page();
            bindings::pfnfs_folio_ref_inc(page);
            (*self.vmf).page = page;
        }
        Outcome::LEFT
    }

    fn pmd(&self) -> Pmd {
        // SAFETY: By the type invariant. The kernel sets it before it calls a handler.
        unsafe {
            let pmd = (*self.vmf).pmd;
            match (bindings::pfnfs_pmd_none(pmd), bindings::pfnfs_pmd_trans_huge(pmd)) {
                (true, _) => Pmd::None,
                (_, true) => Pmd::Huge,
                _ => Pmd::Table,
            }
        }
    }
}

/// What is in the page middle directory where a fault happened.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pmd {
    None,
    Huge,
    Table,
}

/// A store to a file through a mapping is under way: the file system cannot be frozen.
#[must_use]
pub(crate) struct Writing<'a>(&'a Mapping);

impl Writing<'_> {
    /// The same, for who stores meanwhile.
    pub(crate) fn unfrozen(&self) -> Unfrozen<'_> {
        // SAFETY: By the type's purpose: it cannot be frozen before this is dropped.
        unsafe { Unfrozen::new() }
    }
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        // SAFETY: Begun in `Fault::begin_write`; the mapping is live.
        unsafe { bindings::pfnfs_end_pagefault((*self.0.as_raw()).host) };
    }
}

/// Who handles the faults of a mapping.
pub(crate) trait Handler: 'static {
    /// Handles one. `mmap_lock` or the VMA's own lock is held.
    fn fault(f: &mut Fault<'_>) -> Outcome;
}

/// `struct vm_operations_struct` of a handler.
pub(super) struct Table<H>(PhantomData<H>);

impl<H: Handler> Table<H> {
    pub(super) const OPS: bindings::vm_operations_struct = bindings::vm_operations_struct {
        fault: Some(Self::fault),
        huge_fault: Some(Self::huge_fault),
        page_mkwrite: Some(Self::page_mkwrite),
        pfn_mkwrite: Some(Self::fault),
        ..pin_init::zeroed()
    };

    /// # Safety
    ///
    /// Called by the kernel for a fault on a VMA of a file.
    unsafe extern "C" fn fault(vmf: *mut bindings::vm_fault) -> bindings::vm_fault_t {
        // INVARIANT: By the function's contract.
        H::fault(&mut Fault { vmf, order: Some(Order::Page), _call: PhantomData }).0
    }

    /// A store to a page that has a folio in the kernel's eyes: one that [`Fault::leave`] has left a moment ago, or a
    /// mapping's own page of zeroes.
    ///
    /// # Safety
    ///
    /// As [`Self::fault`].
    unsafe extern "C" fn page_mkwrite(vmf: *mut bindings::vm_fault) -> bindings::vm_fault_t {
        // SAFETY: By the function's contract; the kernel holds a reference to the page.
        if unsafe { bindings::pfnfs_page_is_device((*vmf).page) } {
            // It is going to be mapped for reading.
            return Outcome::LEFT.0;
        }
        // SAFETY: As this function.
        unsafe { Self::fault(vmf) }
    }

    /// # Safety
    ///
    /// As [`Self::fault`].
    unsafe extern "C" fn huge_fault(vmf: *mut bindings::vm_fault, order: c_uint) -> bindings::vm_fault_t {
        let order = [Order::Page, Order::Huge].into_iter().find(|o| o.shift() == order);
        // INVARIANT: By the function's contract.
        H::fault(&mut Fault { vmf, order, _call: PhantomData }).0
    }
}
