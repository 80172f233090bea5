// SPDX-License-Identifier: GPL-2.0

//! Tools: a volume as a file: an image of an NVDIMM, or the node of a device. Reached by pread and pwrite only, so it needs no
//! mapping and works on both. Data goes from here to the page cache of the host or, on a node, to the media at once.

use std::cell::RefCell;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, FileTypeExt};
use std::path::Path;

use anyhow::{bail, Context};
use pfnfs_core::media::{Error, Pmem, PmemMut, Result};

/// What a read of a failed page ends with.
const EIO: i32 = 5;

/// An open image or device node.
pub struct Image {
    file: File,
    size: u64,
    failure: RefCell<Option<io::Error>>,
}

impl Image {
    /// Opens `path`, for reading and with `write` also for writing.
    ///
    /// # Errors
    ///
    /// It cannot be opened, or is neither a file nor a character device.
    pub fn open(path: &Path, write: bool) -> anyhow::Result<Self> {
        let mut file = OpenOptions::new()
            .read(true)
            .write(write)
            .open(path)
            .with_context(|| format!("cannot open {}", path.display()))?;
        let kind = file.metadata().context("cannot stat it")?.file_type();
        if kind.is_block_device() {
            bail!("{} is a block device: pfnfs lies on a dax device (/dev/pfnfsN) or in an image file", path.display());
        }
        if !kind.is_file() && !kind.is_char_device() {
            bail!("{} is neither a regular file nor a device node", path.display());
        }
        let size =
            file.seek(SeekFrom::End(0)).with_context(|| format!("cannot find the size of {}", path.display()))?;
        Ok(Self { file, size, failure: RefCell::new(None) })
    }

    /// Opens `path` for somebody who wants to be alone with it. The node of a device gives itself to one writer, and to none
    /// while the device is mounted. Opening does not write.
    ///
    /// # Errors
    ///
    /// As of [`Image::open`]; the device is mounted or in use.
    pub fn alone(path: &Path, write: bool) -> anyhow::Result<Self> {
        let node = fs::metadata(path).is_ok_and(|metadata| metadata.file_type().is_char_device());
        match Self::open(path, write || node) {
            Err(error) => match error.downcast_ref::<io::Error>().map(io::Error::kind) {
                Some(io::ErrorKind::ResourceBusy) => bail!("it is mounted, or another program writes to it"),
                // Nobody else can write to it either.
                Some(io::ErrorKind::ReadOnlyFilesystem) if !write => Self::open(path, false),
                _ => Err(error),
            },
            image => image,
        }
    }

    /// Makes everything written durable.
    ///
    /// # Errors
    ///
    /// An earlier read or write failed, or this one.
    pub fn sync(&self) -> anyhow::Result<()> {
        self.check()?;
        self.file.sync_all().context("cannot make it durable")
    }

    /// The first failure of the operating system's, which the core saw as poison.
    ///
    /// # Errors
    ///
    /// That failure.
    pub fn check(&self) -> anyhow::Result<()> {
        match self.failure.borrow_mut().take() {
            Some(error) => Err(error).context("reading or writing failed"),
            None => Ok(()),
        }
    }

    /// The same, but for bytes that the media does not deliver: these are what a check is for.
    ///
    /// # Errors
    ///
    /// The first failure that was something else.
    pub fn check_other_than_poison(&self) -> anyhow::Result<()> {
        self.failure.borrow_mut().take_if(|error| error.raw_os_error() == Some(EIO));
        self.check()
    }

    fn inside(&self, at: u64, len: u64) -> Result {
        match at.checked_add(len) {
            Some(end) if end <= self.size => Ok(()),
            _ => Err(Error::Invalid("past the end of the media")),
        }
    }

    fn note<T>(&self, at: u64, result: io::Result<T>) -> Result<T> {
        result.map_err(|error| {
            self.failure.borrow_mut().get_or_insert(error);
            Error::Poison { at }
        })
    }

    fn change_bits(&self, at: u64, first: u32, count: u32, change: impl Fn(u8, u8) -> u8) -> Result {
        let end = first.checked_add(count).ok_or(Error::Invalid("too many bits"))?;
        let (low, high) = (u64::from(first / 8), u64::from(end.div_ceil(8)));
        let mut bytes = vec![0; (high - low) as usize];
        self.read_bytes(at + low, &mut bytes)?;
        for bit in first..end {
            if let Some(byte) = bytes.get_mut((u64::from(bit / 8) - low) as usize) {
                *byte = change(*byte, 1 << (bit % 8));
            }
        }
        self.store(at + low, &bytes)
    }
}

impl Pmem for Image {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_bytes(&self, at: u64, into: &mut [u8]) -> Result {
        self.inside(at, into.len() as u64)?;
        self.note(at, self.file.read_exact_at(into, at))
    }
}

impl PmemMut for Image {
    fn store(&self, at: u64, bytes: &[u8]) -> Result {
        self.inside(at, bytes.len() as u64)?;
        self.note(at, self.file.write_all_at(bytes, at))
    }

    fn store_nt(&self, at: u64, bytes: &[u8]) -> Result {
        self.store(at, bytes)
    }

    fn zero(&self, at: u64, len: u64) -> Result {
        const PIECE: u64 = 1 << 20;
        self.inside(at, len)?;
        let zeroes = vec![0; len.min(PIECE) as usize];
        let mut done = 0;
        while done < len {
            let piece = zeroes.get(..(len - done).min(PIECE) as usize).unwrap_or_default();
            self.store(at + done, piece)?;
            done += piece.len() as u64;
        }
        Ok(())
    }

    fn zero_nt(&self, at: u64, len: u64) -> Result {
        self.zero(at, len)
    }

    /// A write to a device node is durable at return; a file is made durable as a whole by [`Image::sync`].
    fn flush(&self, _at: u64, _len: u64) {}

    /// As for `flush`: write(2) calls are not reordered.
    fn fence(&self) {}

    fn set_bits(&self, at: u64, first: u32, count: u32) -> Result {
        self.change_bits(at, first, count, |byte, bit| byte | bit)
    }

    fn clear_bits(&self, at: u64, first: u32, count: u32) -> Result {
        self.change_bits(at, first, count, |byte, bit| byte & !bit)
    }
}
