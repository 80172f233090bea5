// SPDX-License-Identifier: GPL-2.0

//! Layer linux: `struct address_space` of a DAX file, and the table behind its `a_ops`.
//!
//! The kernel's table of operations cannot grow, so ours has it as its first member and our own operations behind it:
//! [`Operations`]. From `mapping->a_ops` the DAX layer gets its part back ([`Mapping::operations`]) and calls the file system
//! through it, without knowing which one it is.
//!
//! C headers: [`include/linux/fs.h`](srctree/include/linux/fs.h), [`include/linux/dax.h`](srctree/include/linux/dax.h)
//!
//! Not wrapped: everything about folios that the page cache owns.

use core::any::TypeId;
use core::marker::PhantomData;
use core::ops::Range;

use kernel::error::from_result;
use kernel::prelude::*;
use kernel::types::{NotThreadSafe, Opaque};

use super::entry::{Cursor, Entry, Frame, Mark, Order};
use super::front::{self, Front};
use super::lock::{Locks, Tagged};
use super::{folio, PAGE_SHIFT};
use crate::linux::bindings;
use crate::linux::vfs::{inode, Inode, Ops, Type};

/// The mapping of a file: `struct address_space`.
///
/// # Invariants
///
/// Live, and its inode with it, which is in a [`Head`](crate::linux::vfs::slab::Head).
#[repr(transparent)]
pub(crate) struct Mapping(Opaque<bindings::address_space>);

// SAFETY: Only used by reference; methods take the locks that C demands.
unsafe impl Sync for Mapping {}
// SAFETY: As above.
unsafe impl Send for Mapping {}

impl Mapping {
    /// # Safety
    ///
    /// `raw` is the mapping of an inode in a [`Head`](crate::linux::vfs::slab::Head), and both are
    /// live for `'a`.
    pub(in crate::linux) unsafe fn from_raw<'a>(raw: *mut bindings::address_space) -> &'a Self {
        // SAFETY: By the function's contract; the type is transparent.
        unsafe { &*raw.cast() }
    }

    /// The C mapping.
    pub(in crate::linux) fn as_raw(&self) -> *mut bindings::address_space {
        self.0.get()
    }

    /// The XArray of entries.
    pub(super) fn i_pages(&self) -> *mut bindings::xarray {
        // SAFETY: Live by the type invariant.
        unsafe { &raw mut (*self.as_raw()).i_pages }
    }

    /// The C inode.
    pub(super) fn inode(&self) -> *mut bindings::inode {
        // SAFETY: Live by the type invariant; the host never changes.
        unsafe { (*self.as_raw()).host }
    }

    /// The mapping of `inode`.
    pub(crate) fn of<T: Type>(inode: &Inode<T>) -> &Self {
        // SAFETY: The inode is live, and its mapping is a part of it.
        unsafe { Self::from_raw(&raw mut (*inode.as_raw()).i_data) }
    }

    /// The mapping of an open file: not `f_mapping`, which is its [`Front`].
    ///
    /// # Safety
    ///
    /// `file` is a regular file of ours, open for `'a`.
    pub(super) unsafe fn of_file<'a>(file: *mut bindings::file) -> &'a Self {
        // SAFETY: By the function's contract; inodes of ours are in heads, and the mapping is a
        // part of the inode.
        unsafe { Self::from_raw(&raw mut (*(*file).f_inode).i_data) }
    }

    /// What the kernel sees of it by open files and VMAs.
    pub(super) fn front(&self) -> &Front {
        Front::of(self)
    }

    /// The number of the inode.
    pub(crate) fn ino(&self) -> u64 {
        // SAFETY: Live by the type invariant.
        unsafe { (*self.inode()).i_ino }
    }

    /// The number of the super block's device, for messages.
    pub(crate) fn device(&self) -> u32 {
        // SAFETY: Live by the type invariant.
        unsafe { (*(*self.inode()).i_sb).s_dev }
    }

    /// The pages that the file has: its size, rounded up.
    pub(crate) fn pages(&self) -> u64 {
        // SAFETY: Live by the type invariant.
        let size = unsafe { bindings::pfnfs_i_size_read(self.inode()) } as u64;
        size.div_ceil(1 << PAGE_SHIFT)
    }

    /// Whether there is no entry.
    pub(crate) fn is_empty(&self) -> bool {
        // SAFETY: Live by the type invariant; one word.
        unsafe { (&raw const (*self.as_raw()).nrpages).read_volatile() == 0 }
    }

    /// Whether there may be dirty entries.
    pub(crate) fn is_dirty(&self) -> bool {
        // SAFETY: Live by the type invariant.
        unsafe { bindings::pfnfs_mapping_dirty(self.as_raw()) }
    }

    /// Waits until nobody holds `invalidate_lock` for writing: the file's blocks stay where they are.
    pub(crate) fn shared(&self) -> Shared<'_> {
        // SAFETY: Live by the type invariant.
        unsafe { bindings::pfnfs_invalidate_lock_shared(self.as_raw()) };
        Shared(self, NotThreadSafe)
    }

    /// Waits until nobody holds `invalidate_lock`: no fault is in progress and none begins.
    pub(crate) fn exclusive(&self) -> Exclusive<'_> {
        // SAFETY: Live by the type invariant.
        unsafe { bindings::pfnfs_invalidate_lock(self.as_raw()) };
        Exclusive { mapping: self, locked: true, _task: NotThreadSafe }
    }

    /// As [`Self::exclusive`], of an inode that nobody else can reach: no lock is needed, and none may be taken, as this
    /// can be part of freeing memory.
    pub(crate) fn evicting<'a, T: Type>(e: &inode::Evicting<'a, T>) -> Exclusive<'a> {
        Exclusive { mapping: Self::of(e.inode()), locked: false, _task: NotThreadSafe }
    }

    /// What is at `index` at this moment.
    pub(super) fn load(&self, index: u64) -> Entry {
        // SAFETY: Live by the type invariant; it takes the RCU lock. A value entry is no pointer and needs no protection.
        Entry::decode(unsafe { bindings::xa_load(self.i_pages(), index as c_ulong) })
    }

    /// Whether a page of it is in use, or there are so many that nobody should look at all under a spinlock. Does not sleep. Of an
    /// inode that nobody can reach: `false` stays so.
    pub(crate) fn may_be_pinned(&self) -> bool {
        const FEW: usize = 8192;
        !self.is_empty() && self.are_unreferenced(&mut 0, u64::MAX, FEW) != Some(true)
    }

    /// Whether no page of the entries in `pages` has a reference.
    fn is_unreferenced(&self, pages: &Range<u64>) -> bool {
        /// Entries to look at before interrupts get their turn.
        const BATCH: usize = 1024;
        let mut from = pages.start;
        loop {
            match self.are_unreferenced(&mut from, pages.end, BATCH) {
                Some(false) => {}
                all => return all.is_some(),
            }
        }
    }

    /// Looks at up to `most` entries from `*from` on, and moves it behind them. Says whether these were all; `None`: a page of them
    /// has a reference.
    fn are_unreferenced(&self, from: &mut u64, end: u64, most: usize) -> Option<bool> {
        let looked = Cursor::with(self, *from, Order::Page, |c| {
            for _ in 0..most {
                let Some(entry) = c.find(end) else { return Some(true) };
                *from = c.index(entry).saturating_add(entry.pages());
                if matches!(entry, Entry::Pfn(frame) if !folio::is_unreferenced(frame)) {
                    return None;
                }
            }
            Some(false)
        });
        looked.unwrap_or(None)
    }

    /// Marks the dirty entries in `pages` as to be cleaned.
    pub(crate) fn tag_for_cleaning(&self, pages: Range<u64>) {
        let Some(last) = pages.end.checked_sub(1) else {
            return;
        };
        // SAFETY: Live by the type invariant.
        unsafe { bindings::tag_pages_for_writeback(self.as_raw(), pages.start as c_ulong, last as c_ulong) };
    }

    /// Says of each entry that its frames are durable, unless they were written since it was taken, or may be without a fault.
    pub(crate) fn clear_dirty(&self, batch: &[Option<Tagged>]) -> Result {
        for t in batch.iter().flatten().filter(|t| !t.pinned) {
            Cursor::with(self, t.index, Order::Page, |c| {
                if c.load() == Entry::Pfn(t.frame) && !c.marked(Mark::ToWrite) {
                    c.unmark(Mark::Dirty);
                }
            })?;
        }
        Ok(())
    }

    /// `pages`, and what huge entries hold beyond its ends. (The kernel's teardown unmaps just the range it is given, and
    /// would then split a huge folio of which a part is still mapped.)
    pub(crate) fn whole(&self, pages: &Range<u64>) -> Range<u64> {
        let at = |index: u64| match self.next_entry(index) {
            Some(s) if s.index <= index => s.index..s.end(),
            _ => index..index.saturating_add(1),
        };
        let end = pages.end.checked_sub(1).map_or(0, |last| at(last).end);
        at(pages.start).start..pages.end.max(end)
    }

    /// Tells the front if no entry is dirty. To be called where none is made so: faults are kept
    /// out.
    pub(super) fn show_clean(&self) {
        if !self.is_dirty() {
            self.front().unmark();
        }
    }

    /// There is data to write: `sync_file_range(2)` will call us, and `sync(2)` will come by.
    pub(super) fn mark_dirty(&self) {
        self.front().mark();
        // SAFETY: Live by the type invariant.
        unsafe { bindings::__mark_inode_dirty(self.inode(), bindings::I_DIRTY_PAGES as c_int) };
    }

    /// Data of this mapping is lost: the next `fsync` of each open file says so.
    pub(crate) fn set_error(&self, error: Error) {
        self.front().set_error(error);
    }

    /// The first entry at or after `from`.
    pub(crate) fn next_entry(&self, from: u64) -> Option<Seen> {
        Cursor::with(self, from, Order::Page, |c| {
            let entry = c.find(u64::MAX)?;
            Some(Seen { index: c.index(entry), entry, dirty: c.marked(Mark::Dirty), to_write: c.marked(Mark::ToWrite) })
        })
        .ok()
        .flatten()
    }

    /// The part of the table behind `a_ops` that the DAX layer has put there, if it is of type `X`.
    pub(crate) fn operations<X: 'static>(&self) -> Option<&'static X> {
        let header = self.header()?;
        if (header.extension)() != TypeId::of::<X>() {
            return None;
        }
        // SAFETY: The header says that it begins an `Operations<_, X>`, and `PhantomData` changes no layout.
        Some(unsafe { &(*core::ptr::from_ref(header).cast::<Operations<Never, X>>()).extension })
    }

    /// The inode, if it is one of `T`.
    pub(crate) fn host<T: Type>(&self) -> Option<&Inode<T>> {
        if (self.header()?.fs)() != TypeId::of::<T>() {
            return None;
        }
        // SAFETY: A table for `T` is only given to inodes of `T` (`Operations::table`).
        Some(unsafe { Inode::from_raw(self.inode()) })
    }

    /// Whether its table is one of [`Operations`].
    pub(super) fn is_ours(&self) -> bool {
        self.header().is_some()
    }

    fn header(&self) -> Option<&'static Header> {
        // SAFETY: Live by the type invariant. A table is never changed.
        let ops = unsafe { &*(*self.as_raw()).a_ops };
        // The address tells our tables from others': the function has one instance, and no other has its body.
        let ours: WritePages = writepages;
        if !ops.writepages.is_some_and(|f| core::ptr::fn_addr_eq(f, ours)) {
            return None;
        }
        // SAFETY: `writepages` is in no table but those that `Operations::new` makes: they begin with a header.
        Some(unsafe { &*core::ptr::from_ref(ops).cast() })
    }
}

/// What [`Mapping::next_entry`] sees.
pub(crate) struct Seen {
    /// The entry's first index.
    pub(crate) index: u64,
    /// The entry.
    pub(crate) entry: Entry,
    /// May hold data that is only in the CPU's caches.
    pub(crate) dirty: bool,
    /// Written since it was last cleaned, or about to be cleaned.
    pub(crate) to_write: bool,
}

impl Seen {
    /// The index behind the entry.
    pub(crate) fn end(&self) -> u64 {
        self.index.saturating_add(self.entry.pages())
    }

    /// The frames, if it has some.
    pub(crate) fn frame(&self) -> Option<Frame> {
        match self.entry {
            Entry::Pfn(frame) => Some(frame),
            _ => None,
        }
    }
}

/// `invalidate_lock` held for reading.
#[must_use]
pub(crate) struct Shared<'a>(&'a Mapping, NotThreadSafe);

impl Drop for Shared<'_> {
    fn drop(&mut self) {
        // SAFETY: Taken in `Mapping::shared` by this task.
        unsafe { bindings::pfnfs_invalidate_unlock_shared(self.0.as_raw()) };
    }
}

/// `invalidate_lock` held for writing, or an inode that nobody else can reach: no fault is in progress.
#[must_use]
pub(crate) struct Exclusive<'a> {
    mapping: &'a Mapping,
    locked: bool,
    _task: NotThreadSafe,
}

impl<'a> Exclusive<'a> {
    /// The mapping.
    pub(crate) fn mapping(&self) -> &'a Mapping {
        self.mapping
    }

    /// Whether this is an eviction: waiting must go on until the end.
    pub(crate) fn is_final(&self) -> bool {
        !self.locked
    }

    /// Unmaps `pages`, and what huge entries hold beyond them. Says whether nobody has pinned any of it. `locks` are those of the
    /// mapping.
    pub(crate) fn release(&self, locks: &Locks, pages: &Range<u64>) -> bool {
        if self.mapping.is_empty() || pages.is_empty() {
            return true;
        }
        let whole = self.mapping.whole(pages);
        locks.zeroes().settle();
        self.mapping.front().unmap(whole.clone());
        // The kernel's own look (`dax_layout_busy_page_range`) takes a page with as many references as mappings for idle: right
        // for one that is mapped, wrong for one that another CPU has just unmapped and is about to let go of.
        self.mapping.is_unreferenced(&whole)
    }

    /// Unmaps `pages`, which the file has not any more, and private copies of them, as a truncation
    /// has to. Those of written pages are all there: who is about to put one into a page table has
    /// the page referenced, which [`Self::empty`] has waited for.
    pub(crate) fn cut(&self, pages: Range<u64>) {
        self.mapping.front().unmap_all(pages);
    }

    /// Unmaps `pages` and takes out the entries that hold any of them, unless one is pinned: then `false`, and the
    /// entries are still there. Huge entries that reach over an end go as a whole, with what was in them.
    pub(crate) fn empty(&self, locks: &Locks, pages: Range<u64>) -> bool {
        if !self.release(locks, &pages) {
            return false;
        }
        if self.mapping.is_empty() || pages.is_empty() {
            return true;
        }
        for piece in self.mapping.pieces(pages) {
            let raw = self.mapping.as_raw();
            // SAFETY: Live by the type invariant. No page of these entries is mapped or pinned, and
            // as faults are kept out, none can be.
            unsafe { bindings::dax_delete_mapping_range(raw, first(&piece), last(&piece)) };
        }
        self.mapping.show_clean();
        true
    }
}

impl Drop for Exclusive<'_> {
    fn drop(&mut self) {
        if self.locked {
            // SAFETY: Taken in `Mapping::exclusive` by this task.
            unsafe { bindings::pfnfs_invalidate_unlock(self.mapping.as_raw()) };
        }
    }
}

/// The first byte of `pages`.
fn first(pages: &Range<u64>) -> i64 {
    i64::try_from(pages.start).ok().and_then(|p| p.checked_mul(1 << PAGE_SHIFT)).unwrap_or(i64::MAX)
}

/// The last byte of `pages`; the largest value stands for all there is.
fn last(pages: &Range<u64>) -> i64 {
    first(&(pages.end..pages.end)).checked_sub(1).filter(|&at| at < i64::MAX - 1).unwrap_or(i64::MAX)
}

/// What a caller of `writepages` wants.
pub(crate) struct Writeback {
    /// The pages.
    pub(crate) pages: Range<u64>,
    /// All of them must be durable at return. If not set, the flusher has come by in its own time.
    pub(crate) wait: bool,
}

/// The type of `->writepages`.
type WritePages = unsafe extern "C" fn(*mut bindings::address_space, *mut kernel::bindings::writeback_control) -> c_int;

/// How an [`Operations`] begins.
#[repr(C)]
struct Header {
    base: bindings::address_space_operations,
    fs: fn() -> TypeId,
    extension: fn() -> TypeId,
    writepages: fn(&Mapping, &Writeback) -> Result,
}

/// The table behind `a_ops` of a DAX file of the file system type `T`: the kernel's operations, then the operations `X` of
/// the DAX layer.
///
/// # Invariants
///
/// `fs` and `extension` give the ids of `T` and `X`.
#[repr(C)]
pub(crate) struct Operations<T, X: 'static> {
    header: Header,
    extension: X,
    _fs: PhantomData<fn() -> T>,
}

impl<T: Type, X: 'static> Operations<T, X> {
    /// A table. `writepages` makes a mapping's dirty entries durable.
    pub(crate) const fn new(writepages: fn(&Mapping, &Writeback) -> Result, extension: X) -> Self {
        let base = bindings::address_space_operations {
            writepages: Some(self::writepages),
            // Unmapping a dirty page would mark its folio otherwise; our marks are set in the fault.
            dirty_folio: Some(bindings::noop_dirty_folio),
            direct_IO: Some(bindings::noop_direct_IO),
            // No read_folio: it would make swapon(2) take the file.
            ..pin_init::zeroed()
        };
        // INVARIANT: The two ids are those of the parameters.
        Self {
            header: Header { base, fs: TypeId::of::<T>, extension: TypeId::of::<X>, writepages },
            extension,
            _fs: PhantomData,
        }
    }

    /// The table for regular files of `T`.
    pub(crate) const fn table(&'static self) -> Ops<bindings::address_space_operations, T> {
        // SAFETY: Its functions may be called for any inode, and `host` finds the one type that the id names.
        unsafe { Ops::new(&*core::ptr::from_ref(self).cast()) }
    }
}

/// Stands for a file system type where only the layout matters.
enum Never {}

/// `->writepages` of all our tables, and what they are known by.
///
/// # Safety
///
/// Called by the VFS for the mapping of a live inode, or its front.
unsafe extern "C" fn writepages(
    mapping: *mut bindings::address_space,
    wbc: *mut kernel::bindings::writeback_control,
) -> c_int {
    // SAFETY: By the function's contract.
    let (mapping, wbc) = unsafe { (Mapping::from_raw(front::behind(mapping)), &*wbc) };
    let cyclic = wbc.range_cyclic() != 0;
    let page = |byte: i64| u64::try_from(byte).unwrap_or(0) >> PAGE_SHIFT;
    let want = Writeback {
        pages: if cyclic { 0..u64::MAX } else { page(wbc.range_start)..page(wbc.range_end).saturating_add(1) },
        wait: wbc.sync_mode == bindings::writeback_sync_modes_WB_SYNC_ALL,
    };
    from_result(|| match mapping.header() {
        Some(header) => (header.writepages)(mapping, &want).map(|()| 0),
        None => Err(EINVAL),
    })
}
