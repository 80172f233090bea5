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
    dax::Devt,
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
        device.read(at, rest(device, at, dst.len()), dst)
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
        let written = device.write(writer, at, rest(device, at, src.len()), src);
        device.region().fence();
        written
    }

    fn fsync(file: &File) -> Result {
        file.device().region().fence();
        file.device().deep_flush()
    }
}

/// How many of `len` bytes there are from `at` on.
fn rest(device: &Device, at: u64, len: usize) -> usize {
    device.size().saturating_sub(at).min(len as u64) as usize
}
