// SPDX-License-Identifier: GPL-2.0

//! Layer: dev. `/dev/pfnfsN`: raw bytes for tools. A write is durable when it returns. One file may be open for writing,
//! and only while the device is not mounted; reading is always allowed.

use core::fmt;

use kernel::{
    iov::{IovIterDest, IovIterSource},
    prelude::*,
    sync::Arc,
};

use super::{
    registry::{self, Claimed, Source},
    slot::Use,
    Device,
};
use crate::linux::{
    cdev::{self, Open},
    dax::{Devt, Operations},
    pmem,
};

/// An open node.
pub(crate) enum File {
    Reader(Arc<Device>),
    Writer(pmem::Writer, Claimed),
}

impl File {
    fn device(&self) -> &Device {
        match self {
            Self::Reader(device) => device,
            Self::Writer(_, claimed) => claimed,
        }
    }
}

/// How much one iteration copies: bounds how long a removal waits for a reader or a writer.
const STEP: u64 = 1 << 20;

impl cdev::Operations for Device {
    type File = File;

    const ATTRIBUTES: &'static [&'static CStr] =
        &[c"size", c"numa_node", c"persistence_domain", c"read_only", c"holder"];

    fn show(&self, attribute: &CStr, out: &mut dyn fmt::Write) -> fmt::Result {
        match attribute {
            a if a == c"size" => write!(out, "{}", Device::size(self)),
            a if a == c"numa_node" => write!(out, "{}", self.node),
            a if a == c"persistence_domain" => out.write_str(self.persistence.name()),
            a if a == c"read_only" => write!(out, "{}", u32::from(self.is_read_only())),
            a if a == c"holder" => out.write_str(self.slot.user()),
            _ => Err(fmt::Error),
        }
    }

    fn open(devt: Devt, how: Open) -> Result<File> {
        let device = registry::find(Source::Node(devt))?;
        if !how.write {
            return Ok(File::Reader(device));
        }
        if device.is_read_only() {
            return Err(EROFS);
        }
        let claimed = Claimed::new(device, Use::Write)?;
        let writer = claimed.writer()?;
        Ok(File::Writer(writer, claimed))
    }

    fn size(file: &File) -> u64 {
        file.device().size()
    }

    fn read(file: &File, at: u64, dst: &mut IovIterDest<'_>) -> Result<usize> {
        let device = file.device();
        let mut at = at;
        let mut done: usize = 0;
        while let Some(n) = step(device, at, dst.len()) {
            let copied = match device.enter().and_then(|guard| device.copy_to_iter(&guard, at, n, dst)) {
                // A destination that faults and media that fails look alike; the former is the caller's mistake.
                Ok(0) if done == 0 => return Err(if reads(device, at) { EFAULT } else { EIO }),
                Err(e) if done == 0 => return Err(e),
                Ok(0) | Err(_) => break,
                Ok(copied) => copied,
            };
            (at, done) = (at.wrapping_add(copied as u64), done.wrapping_add(copied));
        }
        Ok(done)
    }

    fn write(file: &File, at: u64, src: &mut IovIterSource<'_>) -> Result<usize> {
        let File::Writer(writer, device) = file else { return Err(EBADF) };
        if src.is_empty() {
            return Ok(0);
        }
        if at >= device.size() {
            return Err(ENOSPC);
        }
        if device.is_read_only() {
            return Err(EROFS);
        }
        let mut at = at;
        let mut done: usize = 0;
        while let Some(n) = step(device, at, src.len()) {
            let copied = match store(device, writer, at, n, src) {
                Ok(0) if done == 0 => return Err(EFAULT),
                Err(e) if done == 0 => return Err(e),
                Ok(0) | Err(_) => break,
                Ok(copied) => copied,
            };
            (at, done) = (at.wrapping_add(copied as u64), done.wrapping_add(copied));
        }
        Ok(done)
    }

    fn fsync(file: &File) -> Result {
        file.device().region().fence();
        file.device().deep_flush()
    }
}

/// How many bytes to copy next, `None` at the end of the device or of the request.
fn step(device: &Device, at: u64, left: usize) -> Option<usize> {
    let rest = device.size().checked_sub(at)?;
    let n = rest.min(left as u64).min(STEP);
    (n != 0).then_some(n as usize)
}

/// Stores up to `n` bytes durably; returns how many, 0 if the source faults at once.
fn store(device: &Device, writer: &pmem::Writer, at: u64, n: usize, src: &mut IovIterSource<'_>) -> Result<usize> {
    let guard = writer.enter()?;
    let copied = device.write(&guard, at, n, src)?;
    guard.fence();
    Ok(copied)
}

/// Does the media deliver this byte?
fn reads(device: &Device, at: u64) -> bool {
    let mut byte = [0];
    device.region().read(at, &mut byte).is_ok()
}
