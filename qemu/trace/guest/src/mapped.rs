// SPDX-License-Identifier: GPL-2.0
//! Memory that system calls stumble over: mappings that a file is pulled away from, and buffers that end in the middle.
//!
//! Layer: mappings by address, because their pages may go away under them.

use anyhow::{ensure, Result};
use rustix::mm::{mmap, mmap_anonymous, mprotect, munmap, MapFlags, MprotectFlags, ProtFlags};
use std::ffi::c_void;
use std::fs::File;
use std::os::fd::AsRawFd;

const PAGE: usize = 4096;

/// A shared mapping of a whole file, whose every page has been read.
///
/// # Invariants
///
/// `base` is a writable mapping of `len` bytes.
pub struct Whole {
    base: *mut c_void,
    len: usize,
}

impl Whole {
    pub fn of(file: &File) -> Result<Self> {
        let len = file.metadata()?.len() as usize;
        ensure!(len > 0, "nothing to map");
        // SAFETY: a new mapping, at an address of the kernel's choice.
        let base =
            unsafe { mmap(std::ptr::null_mut(), len, ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED, file, 0)? };
        // INVARIANT: as asked for.
        let whole = Whole { base, len };
        whole.pages(len).for_each(|page| {
            // SAFETY: the page is mapped, and the file is as long.
            unsafe { page.read_volatile() };
        });
        Ok(whole)
    }

    fn pages(&self, upto: usize) -> impl Iterator<Item = *mut u8> + '_ {
        (0..upto.min(self.len)).step_by(PAGE).map(|at| self.base.cast::<u8>().wrapping_add(at))
    }

    /// Stores what is there already to each page of the first `upto` bytes, which the file must have.
    pub fn dirty(&self, upto: usize) {
        self.pages(upto).for_each(|page| {
            // SAFETY: the page is mapped, and the file is as long.
            unsafe { page.write_volatile(page.read_volatile()) };
        });
    }

    /// Stores to each page.
    pub fn scribble(&self) {
        self.pages(self.len).for_each(|page| {
            // SAFETY: the page is mapped; nobody shortens an unlinked file.
            unsafe { page.write_volatile(0xee) };
        });
    }
}

/// A buffer of which only the first `good` bytes can be read.
///
/// # Invariants
///
/// `base` is a mapping of `len` bytes, the last page without access; the bytes before it are the good ones.
pub struct Faulty {
    base: *mut c_void,
    len: usize,
    good: usize,
}

impl Faulty {
    pub fn new(data: &[u8]) -> Result<Self> {
        let front = data.len().next_multiple_of(PAGE);
        let len = front + PAGE;
        // SAFETY: a new mapping, at an address of the kernel's choice.
        let base = unsafe {
            mmap_anonymous(std::ptr::null_mut(), len, ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE)?
        };
        let start = base.cast::<u8>().wrapping_add(front - data.len());
        // SAFETY: within the new mapping, which nobody else knows; its last page is the mapping's own.
        unsafe {
            std::ptr::copy_nonoverlapping(data.as_ptr(), start, data.len());
            mprotect(base.cast::<u8>().wrapping_add(front).cast(), PAGE, MprotectFlags::empty())?;
        }
        // INVARIANT: as just made.
        Ok(Faulty { base, len, good: data.len() })
    }

    /// One write(2) of the good bytes and of a page behind them: the bytes that it wrote.
    pub fn write(&self, file: &File, at: u64) -> Result<usize> {
        let start = self.base.cast::<u8>().wrapping_add(self.len - PAGE - self.good);
        // SAFETY: the kernel checks every byte of the buffer.
        let n = unsafe { libc::pwrite64(file.as_raw_fd(), start.cast(), self.good + PAGE, at as i64) };
        let n = usize::try_from(n).map_err(|_| std::io::Error::last_os_error())?;
        ensure!(0 < n && n <= self.good, "{n} bytes were written of {} that can be read", self.good);
        Ok(n)
    }
}

impl Drop for Faulty {
    fn drop(&mut self) {
        // SAFETY: by the invariant; there are no references into it.
        let _ = unsafe { munmap(self.base, self.len) };
    }
}
