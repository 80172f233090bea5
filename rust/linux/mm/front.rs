// SPDX-License-Identifier: GPL-2.0

//! Layer linux: the mapping that the kernel is shown by open files and VMAs (`file->f_mapping`), in
//! front of the one that has the entries (`inode->i_mapping`, [`Mapping`]).
//!
//! `cachestat(2)` takes the values in the mapping of a file for shadows of evicted pages, DAX or
//! not, and looks up a node of memory by some bits of a page frame number: an oops, by any user who
//! may write the file. So open files go by a mapping that never has an entry. It has what the
//! kernel looks for in `f_mapping`: the VMAs (`i_mmap`), the errors of writing back (`wb_err`), and
//! the mark of dirty entries, without which `sync_file_range(2)` would not call us. What the kernel
//! goes to by the inode (writing back, the inode shrinker, eviction, `invalidate_lock`) is in the
//! mapping behind.
//!
//! Which of the two who looks at is in Documentation/dax-entries.rst.
//!
//! C header: [`include/linux/fs.h`](srctree/include/linux/fs.h)

use core::ops::Range;

use kernel::prelude::*;
use kernel::types::Opaque;

use super::entry::Frame;
use super::Mapping;
use crate::linux::bindings;
use crate::linux::vfs::slab::Head;

/// The front of one inode.
///
/// # Invariants
///
/// Its `host` is the inode of the [`Head`] that it is a part of. It has no entries. `i_mmap` has
/// the VMAs of all files of the inode that are open: [`show`] comes before anybody can map one.
#[repr(transparent)]
pub(in crate::linux) struct Front(Opaque<bindings::address_space>);

// SAFETY: Only used by reference; methods take the locks that C demands.
unsafe impl Sync for Front {}
// SAFETY: As above.
unsafe impl Send for Front {}

impl Front {
    /// Runs once for each slot of a slab, as does `inode_init_once`: what it sets is so again
    /// whenever an inode is freed.
    ///
    /// # Safety
    ///
    /// `front` is the part of a [`Head`] whose inode is `inode`, and nobody uses it.
    pub(in crate::linux) unsafe fn once(front: *mut Self, inode: *mut bindings::inode) {
        // SAFETY: By the function's contract; the type is transparent.
        // INVARIANT: The host is set, and stays; there is nothing in it.
        unsafe { bindings::pfnfs_front_init(front.cast(), inode) };
    }

    /// Forgets the slot's last inode.
    ///
    /// # Safety
    ///
    /// [`Front::once`] has run, and nobody uses it.
    pub(in crate::linux) unsafe fn renew(front: *mut Self) {
        let raw: *mut bindings::address_space = front.cast();
        // SAFETY: By the function's contract; the type is transparent.
        unsafe {
            (*raw).flags = 0;
            (*raw).wb_err = 0;
            bindings::pfnfs_front_mark(raw, false);
        }
    }

    /// The inode is a regular file, whose own mapping is all set: what is the same in both is taken
    /// from there.
    ///
    /// # Safety
    ///
    /// Nobody uses the inode yet.
    pub(in crate::linux) unsafe fn set_up(&self) {
        let front = self.0.get();
        // SAFETY: By the function's contract, and the type invariant.
        unsafe {
            let own = behind(front);
            (*front).a_ops = (*own).a_ops;
            (*front).gfp_mask = (*own).gfp_mask;
        }
    }

    /// The front of `mapping`.
    pub(super) fn of(mapping: &Mapping) -> &Self {
        // SAFETY: By the invariant of `Mapping` its inode is in a head.
        unsafe { &(*mapping.inode().cast::<Head>()).front }
    }

    /// Removes all page table entries for `pages`, of everybody. Private copies stay.
    pub(super) fn unmap(&self, pages: Range<u64>) {
        let nr = pages.end.saturating_sub(pages.start) as c_ulong;
        // SAFETY: Live by the type invariant.
        unsafe { bindings::unmap_mapping_pages(self.0.get(), pages.start as c_ulong, nr, false) };
    }

    /// As [`Self::unmap`], and private copies with them.
    pub(super) fn unmap_all(&self, pages: Range<u64>) {
        let nr = pages.end.saturating_sub(pages.start) as c_ulong;
        // SAFETY: Live by the type invariant.
        unsafe { bindings::unmap_mapping_pages(self.0.get(), pages.start as c_ulong, nr, true) };
    }

    /// Makes all page table entries for `frame`, which is at `index`, read-only and clean.
    pub(super) fn write_protect(&self, index: u64, frame: Frame) {
        let (index, pfn) = (index as c_ulong, frame.pfn as c_ulong);
        let nr = frame.order.pages() as c_ulong;
        // SAFETY: Live by the type invariant. The frame may be of no folio that C knows: it is
        // found by index alone.
        unsafe { bindings::mapping_wrprotect_range(self.0.get(), index, pfn, nr) };
    }

    /// There is a dirty entry behind.
    pub(super) fn mark(&self) {
        self.set_mark(true);
    }

    /// There is none, and none is made meanwhile.
    pub(super) fn unmark(&self) {
        self.set_mark(false);
    }

    fn set_mark(&self, dirty: bool) {
        // SAFETY: Live by the type invariant. It takes the lock of `i_pages` if the mark is
        // another.
        unsafe {
            if bindings::pfnfs_mapping_dirty(self.0.get()) != dirty {
                bindings::pfnfs_front_mark(self.0.get(), dirty);
            }
        }
    }

    /// Data is lost: each file that is open says so once, and so does the super block.
    pub(super) fn set_error(&self, error: Error) {
        // SAFETY: Live by the type invariant.
        unsafe { bindings::pfnfs_mapping_set_error(self.0.get(), error.to_errno()) };
    }

    /// Calls `f` while the mapping behind has the VMAs as well, for a function of the kernel that
    /// looks for both in one mapping. VMAs neither come nor go meanwhile.
    ///
    /// # Safety
    ///
    /// `mapping` is what is behind, and nobody else does this, or looks at its VMAs, meanwhile.
    pub(super) unsafe fn lend<R>(&self, mapping: &Mapping, f: impl FnOnce() -> R) -> R {
        let (front, behind) = (self.0.get(), mapping.as_raw());
        // SAFETY: Both are live. Their tree is as it was until the lock is let go of: to change it
        // is to hold the lock for writing. By the function's contract nobody else is at the copy of
        // its root.
        unsafe {
            bindings::down_read(&raw mut (*front).i_mmap_rwsem);
            (*behind).i_mmap = (*front).i_mmap;
        }
        let out = f();
        // SAFETY: As above; the lock was taken there.
        unsafe {
            (*behind).i_mmap = bindings::rb_root_cached::default();
            bindings::up_read(&raw mut (*front).i_mmap_rwsem);
        }
        out
    }
}

/// Gives `file` the front of its inode. Its errors are those from now on, and the last one if
/// nobody has heard of it.
///
/// # Safety
///
/// A regular file of ours that is being opened: nobody uses it yet.
pub(in crate::linux) unsafe fn show(file: *mut bindings::file) {
    // SAFETY: By the function's contract; inodes of ours are in heads.
    unsafe {
        let front = (*(*file).f_inode.cast::<Head>()).front.0.get();
        (*file).f_mapping = front;
        (*file).f_wb_err = bindings::errseq_sample(&raw mut (*front).wb_err);
    }
}

/// The mapping of the inode that `either` belongs to, whichever of the two it is.
///
/// # Safety
///
/// `either` and its inode are live.
pub(super) unsafe fn behind(either: *mut bindings::address_space) -> *mut bindings::address_space {
    // SAFETY: By the function's contract.
    unsafe { &raw mut (*(*either).host).i_data }
}
