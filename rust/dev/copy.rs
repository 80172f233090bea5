// SPDX-License-Identifier: GPL-2.0

//! Layer: dev. Copies between a device and memory that may be a user's. Removal and memory failure wait for the sections in
//! which the device is accessed, and a user decides when his memory is there (userfaultfd, a file system of his own). So a
//! copy in a section stops at memory that is not present; that is faulted in outside, and the copy goes on in another
//! section. If it still does not get on, the next bytes go through a buffer.

use kernel::{
    iov::{IovIterDest, IovIterSource},
    prelude::*,
};

use super::Device;
use crate::linux::{
    dax::Operations as _,
    nofault::{fault_in_dest, fault_in_source},
    pmem::{Writer, PAGE},
};

/// Most bytes that one section copies, and that are faulted in at once.
const STEP: usize = 1 << 20;

/// What is done about memory that is not present.
#[derive(Clone, Copy, PartialEq, Eq)]
enum How {
    /// Nothing yet.
    Present,
    /// It is faulted in before.
    FaultedIn,
    /// It went again before it was reached: a buffer is between it and the device.
    Buffered,
}

/// Copies `len` bytes step by step; `step` is told how many are done, and how many to do at most. Returns how many were copied,
/// or the error if there are none.
fn copy(len: usize, mut step: impl FnMut(usize, usize, How) -> Result<usize>) -> Result<usize> {
    let (mut done, mut how) = (0usize, How::Present);
    while done < len {
        match step(done, len.wrapping_sub(done).min(STEP), how) {
            Ok(0) if how == How::Present => how = How::FaultedIn,
            Ok(0) if how == How::FaultedIn => how = How::Buffered,
            Ok(0) if done == 0 => return Err(EFAULT),
            Err(e) if done == 0 => return Err(e),
            Ok(0) | Err(_) => break,
            Ok(n) => (done, how) = (done.wrapping_add(n), How::Present),
        }
    }
    Ok(done)
}

impl Device {
    /// Copies `len` bytes from the source past the cache, to be fenced by the caller; returns how many, fewer if the source
    /// faults or the media fail. A failed page is repaired if it is overwritten as a whole and the platform can. Sleeps, for as
    /// long as a user may let it; not to be called in a section.
    ///
    /// # Errors
    ///
    /// If nothing was copied: `EFAULT`, `EIO`, `ENXIO` once removal has begun.
    pub(crate) fn write(&self, writer: &Writer, at: u64, len: usize, src: &mut IovIterSource<'_>) -> Result<usize> {
        copy(len, |done, n, how| self.write_step(writer, at.saturating_add(done as u64), n, src, how))
    }

    fn write_step(&self, writer: &Writer, at: u64, n: usize, src: &mut IovIterSource<'_>, how: How) -> Result<usize> {
        if at % PAGE == 0 && n as u64 >= PAGE && self.region.good(at, n).is_err() {
            return self.recover(writer, at, src);
        }
        if how == How::Buffered {
            let mut bytes = KVec::from_elem(0, n.min(PAGE as usize), GFP_KERNEL)?;
            let n = src.copy_from_iter(&mut bytes);
            writer.enter()?.store(at, bytes.get(..n).unwrap_or_default())?;
            return Ok(n);
        }
        if how == How::FaultedIn && !fault_in_source(src, n) {
            return Err(EFAULT);
        }
        self.copy_from_iter(&writer.enter()?, at, n, src)
    }

    /// Writes a whole failed page anew, and heals it.
    fn recover(&self, writer: &Writer, at: u64, src: &mut IovIterSource<'_>) -> Result<usize> {
        let mut bytes = KVec::from_elem(0, PAGE as usize, GFP_KERNEL)?;
        if src.copy_from_iter(&mut bytes) != bytes.len() {
            return Err(EFAULT);
        }
        let page = at / PAGE;
        let guard = writer.enter()?;
        self.backend.clear_poison(&guard, page..page.saturating_add(1)).map_err(|_| EIO)?;
        guard.refill(page, &bytes)?;
        Ok(bytes.len())
    }

    /// Copies `len` bytes to the destination; returns how many, fewer if it faults or the media fail. Sleeps and fails as
    /// [`Self::write`].
    pub(crate) fn read(&self, at: u64, len: usize, dst: &mut IovIterDest<'_>) -> Result<usize> {
        copy(len, |done, n, how| self.read_step(at.saturating_add(done as u64), n, dst, how))
    }

    fn read_step(&self, at: u64, n: usize, dst: &mut IovIterDest<'_>, how: How) -> Result<usize> {
        if how == How::Buffered {
            let mut bytes = KVec::from_elem(0, n.min(PAGE as usize), GFP_KERNEL)?;
            self.enter()?.read(at, &mut bytes)?;
            return Ok(dst.copy_to_iter(&bytes));
        }
        if how == How::FaultedIn && !fault_in_dest(dst, n) {
            return Err(EFAULT);
        }
        let guard = self.enter()?;
        let n = self.copy_to_iter(&guard, at, n, dst)?;
        if n == 0 {
            // A destination that is not there and media that fail look alike.
            guard.read(at, &mut [0])?;
        }
        Ok(n)
    }
}
