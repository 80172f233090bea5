// SPDX-License-Identifier: GPL-2.0

//! Layer fs: the one gate to the media. The volume, and the device's right to be written, are kept here; anybody may
//! read ([`Gate`]), but who wants to store has to show a [`Storing`].
//!
//! Having a [`Storing`] tells that the volume may be stored to now: it is mounted for writing, it is not frozen and will not be
//! as long as the witness exists, metadata has not been found wrong, the device is alive and not flagged read-only.
//! Operations of the core are called with [`Storing::volume`], user data goes through [`Storing::data`]; the types of
//! this file have no other way out, and `linux::pmem` stores nothing without its writer.
//!
//! What was said of a device and of metadata can change at any time: who has his witness then ends what he has begun.

use kernel::iov::IovIterSource;
use kernel::prelude::*;
use kernel::sync::atomic::{Atomic, Relaxed};
use kernel::sync::Arc;

use super::carrier::Reader;
use super::machine::Machine;
use super::medium::{gone, Medium};
use super::mount::{refuse, Options, Pfnfs};
use crate::dev::{self, Device};
use crate::linux::dax::Operations as _;
use crate::linux::pmem::Writer;
use crate::linux::vfs::context::Log;
use crate::linux::vfs::sb::{Super, Unfrozen, Writing};
use crate::media::format::Time;
use crate::media::{self, Geometry};
use crate::meta::alloc::Space;
use crate::meta::file::{self, Failure, Fault, Piece, Seen};
use crate::meta::inode::{self, Live};
use crate::meta::log::Backlog;
use crate::meta::{dir, Open, Volume};

/// A volume on its device, for reading.
pub(super) struct Gate {
    volume: Volume<Machine>,
    device: Arc<Device>,
    /// `None`: nothing is ever stored by this mount.
    writer: Option<Arc<Writer>>,
    /// Metadata was found wrong or lost: nothing is changed any more.
    stopped: Atomic<u32>,
}

/// The witness that the volume may be stored to now.
#[must_use]
pub(super) struct Storing<'a> {
    gate: &'a Gate,
    writer: &'a Writer,
    _writing: Option<Writing<'a, Pfnfs>>,
}

impl Gate {
    /// Opens the volume on a claimed device. `device` is the same.
    pub(super) fn open(
        claim: &dev::Claimed,
        device: &Arc<Device>,
        read_only: bool,
        options: &Options,
        log: &Log<'_>,
    ) -> Result<Self> {
        let lookout = Medium::ReadOnly(device.clone());
        let geometry = Geometry::read(&lookout).map_err(|e| refuse(log, claim, e))?;
        if let Some(at) = geometry.damaged() {
            log.warn(fmt!("superblock at byte {at:#x} is damaged, its copy is used"));
        }
        let how = match (read_only, options.norecovery) {
            (false, true) => {
                log.error(fmt!("norecovery needs a read-only mount (-o ro)"));
                return Err(EINVAL);
            }
            (true, true) => Open::NoRecovery,
            (true, false) => Open::ReadOnly,
            (false, false) => Open::ReadWrite,
        };
        let writer = match how {
            Open::NoRecovery => None,
            _ if claim.is_read_only() => None,
            _ => Some(Arc::new(claim.writer()?, GFP_KERNEL)?),
        };
        if how == Open::ReadWrite && geometry.read_only() {
            log.error(fmt!("uses features that only allow reading to this module (-o ro)"));
            return Err(EROFS);
        }
        if how == Open::ReadWrite && writer.is_none() {
            log.error(fmt!("the device is read-only (-o ro)"));
            return Err(EROFS);
        }
        let medium = writer.clone().map_or(lookout, Medium::Writable);
        let volume = Volume::open(Machine::new(medium, &geometry)?, geometry, how);
        let volume = volume.map_err(|e| refuse(log, claim, e))?;
        if let Some(at) = volume.damaged() {
            log.warn(fmt!("slot of the log at byte {at:#x} is damaged, its copy is used"));
        }
        Ok(Self { volume, device: device.clone(), writer, stopped: Atomic::new(0) })
    }

    /// The device, which stores nothing for who has no writer.
    pub(super) fn device(&self) -> &Device {
        &self.device
    }

    /// Whether metadata was found wrong or lost.
    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.load(Relaxed) != 0
    }

    /// Nothing is stored from now on.
    pub(super) fn stop(&self) {
        self.stopped.store(1, Relaxed);
    }

    /// The right to store, but for the freezing. `EIO` once the removal of the device has begun, `EROFS` if the volume, the
    /// device or what was found in it says no.
    fn writer(&self) -> Result<&Writer> {
        if self.device.is_dead() {
            return Err(EIO);
        }
        if self.is_stopped() || self.device.is_read_only() || self.volume.read_only() {
            return Err(EROFS);
        }
        self.writer.as_deref().ok_or(EROFS)
    }

    /// Whether all but a freeze allows to store: the error of [`Self::storing`] if not.
    pub(super) fn changeable(&self) -> Result {
        self.writer().map(drop)
    }

    /// The witness, for who knows that the file system is not frozen.
    pub(super) fn storing<'a>(&'a self, _unfrozen: Unfrozen<'a>) -> Result<Storing<'a>> {
        Ok(Storing { gate: self, writer: self.writer()?, _writing: None })
    }

    /// The witness, for whom nobody has kept the file system from being frozen. `EAGAIN` if it is frozen: nobody waits
    /// here.
    pub(super) fn try_storing<'a>(sb: &'a Super<Pfnfs>) -> Result<Storing<'a>> {
        let gate = sb.data().gate();
        let writer = gate.writer()?;
        Ok(Storing { gate, writer, _writing: Some(sb.try_writing().ok_or(EAGAIN)?) })
    }

    /// Makes a volume that was open for reading one for writing: `Volume::make_writable`.
    pub(super) fn make_writable(&self) -> media::Result {
        if self.device.is_read_only() || self.is_stopped() {
            return Err(media::Error::ReadOnly);
        }
        self.volume.make_writable()
    }

    /// An operation met this error: `Volume::failed`.
    pub(super) fn failed(&self, e: media::Error) -> bool {
        self.volume.failed(e)
    }
}

/// Reading.
impl Gate {
    /// What a byte of a file is made of.
    pub(super) fn piece(&self, file: &Live, pos: u64) -> media::Result<Piece> {
        file::piece(&self.volume, file, pos)
    }

    /// What a mapping gets to see next: `Fault::next`. `EROFS` if the fault writes and has no witness.
    pub(super) fn fault(
        &self,
        fault: &mut Fault,
        file: &mut Live,
        carrier: &mut Reader<'_>,
        now: Time,
    ) -> Result<Option<Seen>, Failure<Error>> {
        if fault.writes() && !carrier.has_witness() {
            return Err(Failure::Carrier(EROFS));
        }
        fault.next(&self.volume, file, carrier, now)
    }

    /// Finds a name.
    pub(super) fn lookup(&self, dir: &Live, name: &[u8]) -> media::Result<Option<dir::Found>> {
        dir::lookup(&self.volume, dir, name)
    }

    /// Gives the entries of a directory from position `from` on to `each`, until it says `false`.
    pub(super) fn entries(
        &self,
        dir: &Live,
        from: u64,
        scratch: &mut dir::Scratch,
        each: &mut dyn FnMut(dir::Entry<'_>) -> bool,
    ) -> media::Result {
        dir::read(&self.volume, dir, from, scratch, each)
    }

    /// The target of a symbolic link.
    pub(super) fn target(&self, link: &Live, into: &mut [u8]) -> media::Result<usize> {
        inode::read_link(&self.volume, link, 0, into)
    }

    /// The inode of this number and generation, for who uses it: `inode::find`.
    pub(super) fn find(&self, ino: u64, generation: Option<u32>) -> media::Result<Live> {
        inode::find(&self.volume, ino, generation)
    }

    /// What is free.
    pub(super) fn space(&self) -> Space {
        self.volume.space()
    }

    /// Where things lie.
    pub(super) fn geometry(&self) -> &Geometry {
        self.volume.geometry()
    }

    /// Whether every change is refused.
    pub(super) fn read_only(&self) -> bool {
        self.volume.read_only()
    }

    /// How far the log is ahead of the checkpoint.
    pub(super) fn backlog(&self) -> Backlog {
        self.volume.backlog()
    }
}

impl<'a> Storing<'a> {
    /// The volume, to be changed.
    pub(super) fn volume(&self) -> &'a Volume<Machine> {
        &self.gate.volume
    }

    /// Stores bytes into blocks of a file, past the cache, to be fenced by the caller also after an error. `EIO` once the removal
    /// of the device has begun, or if the memory fails.
    pub(super) fn store(&self, at: u64, bytes: &[u8]) -> Result {
        self.writer.enter().map_err(gone)?.store(at, bytes).map_err(|_| EIO)
    }

    /// Stores zeroes; else as [`Self::store`].
    pub(super) fn zero(&self, at: u64, len: u64) -> Result {
        self.writer.enter().map_err(gone)?.zero(at, len).map_err(|_| EIO)
    }

    /// Begins the write-back of what mappings have stored.
    pub(super) fn flush(&self, at: u64, len: u64) {
        self.gate.device.flush(at, len);
    }

    /// Copies up to `len` bytes from the writer to the media, past the cache, to be fenced by the caller also after an error;
    /// repairs a failed page that is overwritten as a whole, if the platform can. Fewer if his memory is bad or ours is:
    /// `EFAULT`, `EIO` if nothing was copied. Waits for his memory, in no section.
    pub(super) fn copy(&self, at: u64, len: usize, from: &mut IovIterSource<'_>) -> Result<usize> {
        self.gate.device.write(self.writer, at, len, from).map_err(gone)
    }

    /// All that this task has stored is durable.
    pub(super) fn fence(&self) {
        self.gate.device.region().fence();
    }
}
