// SPDX-License-Identifier: GPL-2.0
//! Stores that are made durable by the program alone.
//!
//! Layer: a mapping with MAP_SYNC. Once a fault has returned, the file system's own part is durable; the data is after write-back and fence.

use anyhow::{ensure, Result};
use rustix::io::Errno;
use rustix::mm::{mmap, msync, munmap, MapFlags, MsyncFlags, ProtFlags};
use std::arch::x86_64::{_mm_clflush, _mm_sfence};
use std::ffi::c_void;
use std::fs::File;

const LINE: usize = 64;

/// A shared mapping of a file from its start.
///
/// # Invariants
///
/// `base` is a writable mapping of `len` bytes, which nobody else knows.
pub struct Map {
    base: *mut c_void,
    len: usize,
    /// Whether the file system promises MAP_SYNC; msync takes the place of write-back and fence if not.
    synchronous: bool,
}

impl Map {
    pub fn new(file: &File, len: usize) -> Result<Self> {
        let map = |flags| {
            // SAFETY: a new mapping, at an address of the kernel's choice.
            unsafe { mmap(std::ptr::null_mut(), len, ProtFlags::READ | ProtFlags::WRITE, flags, file, 0) }
        };
        let (base, synchronous) = match map(MapFlags::SHARED_VALIDATE | MapFlags::SYNC) {
            Err(Errno::OPNOTSUPP) => (map(MapFlags::SHARED)?, false),
            base => (base?, true),
        };
        // INVARIANT: both are what mmap was asked for.
        Ok(Map { base, len, synchronous })
    }

    /// Stores and makes durable. Within the file, or the process gets SIGBUS.
    pub fn store(&self, at: usize, data: &[u8]) -> Result<()> {
        ensure!(at.checked_add(data.len()).is_some_and(|end| end <= self.len), "the store lies outside the mapping");
        let to = self.base.cast::<u8>().wrapping_add(at);
        // SAFETY: the range is within the mapping, by the invariant nobody's else, and does not overlap `data`.
        unsafe { std::ptr::copy_nonoverlapping(data.as_ptr(), to, data.len()) };
        if !self.synchronous {
            // SAFETY: the mapping's own range.
            unsafe { msync(self.base, self.len, MsyncFlags::SYNC)? };
            return Ok(());
        }
        let first = at / LINE * LINE;
        for line in (first..at + data.len()).step_by(LINE) {
            // SAFETY: a line of the mapping, which starts on a page.
            unsafe { _mm_clflush(self.base.cast::<u8>().wrapping_add(line)) };
        }
        // SAFETY: every x86-64 processor has it.
        unsafe { _mm_sfence() };
        Ok(())
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        // SAFETY: by the invariant; there are no references into it.
        let _ = unsafe { munmap(self.base, self.len) };
    }
}
