// SPDX-License-Identifier: GPL-2.0

//! Layer fs: the volume's bytes, as the media core and who reads see them. The core gets [`Pmem`] and [`PmemMut`];
//! user data is read by [`read`], and stored through `gate::Storing`.
//!
//! Errors of the device become the core's: a machine check is `Poison`, a device that is gone likewise (whoever maps
//! it to an errno looks at the device first).

use kernel::iov::IovIterDest;
use kernel::prelude::*;
use kernel::sync::Arc;

use crate::dev::Device;
use crate::linux::pmem::{Region, Writer};
use crate::media;
use crate::media::pmem::{Pmem, PmemMut};

/// The media of a volume: one device.
pub(super) enum Medium {
    /// It can be written by its owner alone.
    Writable(Arc<Writer>),
    /// Nothing is ever stored.
    ReadOnly(Arc<Device>),
}

impl Medium {
    fn region(&self) -> &Region {
        match self {
            Self::Writable(w) => w,
            Self::ReadOnly(d) => d.region(),
        }
    }

    fn writer(&self) -> media::Result<&Writer> {
        match self {
            Self::Writable(w) => Ok(w),
            Self::ReadOnly(_) => Err(media::Error::ReadOnly),
        }
    }

    /// Whether stores are possible.
    pub(super) fn is_writable(&self) -> bool {
        matches!(self, Self::Writable(_))
    }
}

/// What the core calls an error of the device at `at`.
fn error(e: Error, at: u64) -> media::Error {
    match e {
        ERANGE => media::Error::Invalid("access beyond the end of the device"),
        EINVAL => media::Error::Invalid("bits at an odd position"),
        _ => media::Error::Poison { at },
    }
}

impl Pmem for Medium {
    fn size(&self) -> u64 {
        self.region().len()
    }

    fn read_bytes(&self, at: u64, into: &mut [u8]) -> media::Result {
        self.region().read(at, into).map_err(|e| error(e, at))
    }

    fn first_lost(&self, at: u64, len: u64) -> Option<u64> {
        self.region().first_lost(at, len)
    }
}

impl PmemMut for Medium {
    fn store(&self, at: u64, bytes: &[u8]) -> media::Result {
        self.writer()?.store(at, bytes).map_err(|e| error(e, at))
    }

    fn store_nt(&self, at: u64, bytes: &[u8]) -> media::Result {
        self.writer()?.store_nt(at, bytes).map_err(|e| error(e, at))
    }

    fn zero(&self, at: u64, len: u64) -> media::Result {
        static ZEROES: [u8; 256] = [0; 256];
        let writer = self.writer()?;
        let end = at.checked_add(len).ok_or(media::Error::Invalid("position overflows"))?;
        let mut at = at;
        while at < end {
            let n = end.saturating_sub(at).min(ZEROES.len() as u64);
            let zeroes = ZEROES.get(..n as usize).unwrap_or(&ZEROES);
            writer.store(at, zeroes).map_err(|e| error(e, at))?;
            at = at.saturating_add(n);
        }
        Ok(())
    }

    fn zero_nt(&self, at: u64, len: u64) -> media::Result {
        self.writer()?.zero_nt(at, len).map_err(|e| error(e, at))
    }

    fn flush(&self, at: u64, len: u64) {
        self.region().flush(at, len);
    }

    fn fence(&self) {
        self.region().fence();
    }

    fn set_bits(&self, at: u64, first: u32, count: u32) -> media::Result {
        let end = first.checked_add(count).ok_or(media::Error::Invalid("bits overflow"))?;
        self.writer()?.set_bits(at, first..end).map_err(|e| error(e, at))
    }

    fn clear_bits(&self, at: u64, first: u32, count: u32) -> media::Result {
        let end = first.checked_add(count).ok_or(media::Error::Invalid("bits overflow"))?;
        self.writer()?.clear_bits(at, first..end).map_err(|e| error(e, at))
    }
}

/// Copies up to `len` bytes of the media to the reader; fewer if his memory is bad or ours is: `EFAULT`, `EIO` if nothing was
/// copied. Waits for his memory, in no section.
pub(super) fn read(device: &Device, at: u64, len: usize, to: &mut IovIterDest<'_>) -> Result<usize> {
    device.read(at, len, to).map_err(gone)
}

/// What a file system says of a device that has gone.
pub(super) fn gone(e: Error) -> Error {
    match e {
        ENXIO => EIO,
        e => e,
    }
}
