// SPDX-License-Identifier: GPL-2.0

//! Layer: dev. The backend for memory that no firmware table describes: `phys=` and `size=` of the module, for instance
//! with `memmap=128M$512M` on the kernel's command line. It works without libnvdimm.
//!
//! The range must be one that the kernel keeps its hands off: reserved or persistent in the resource map, nowhere RAM,
//! claimed by nobody.

use core::ops::Range;

use kernel::{faux, prelude::*};

use super::{attach, Backend, Binding, Found, Persistence};
use crate::linux::{pagemap::ALIGN, pmem::ReadGuard, resource};

/// A device at given addresses. Fields are dropped in their order.
pub(crate) struct Phys {
    _binding: KBox<Binding>,
    _parent: faux::Registration,
}

impl Phys {
    /// `None` if no address is given. Says in the log why it refuses one.
    pub(crate) fn new(phys: u64, size: u64) -> Result<Option<Self>> {
        if phys == 0 && size == 0 {
            return Ok(None);
        }
        if phys == 0 || size == 0 || phys % ALIGN != 0 || size % ALIGN != 0 {
            pr_err!("phys={:#x} size={:#x} refused: both must be multiples of 2 MiB and not 0\n", phys, size);
            return Err(EINVAL);
        }
        let range = match phys.checked_add(size) {
            Some(end) if end <= resource::limit() => phys..end,
            _ => {
                pr_err!("phys={:#x} size={:#x} refused: beyond the physical address space\n", phys, size);
                return Err(EINVAL);
            }
        };
        if resource::is_ram(&range) {
            pr_err!("phys={:#x} size={:#x} refused: ordinary memory, reserve it with memmap= first\n", phys, size);
            return Err(ENXIO);
        }
        if !resource::is_set_aside(&range) {
            pr_err!("phys={:#x} size={:#x} refused: neither reserved nor persistent memory\n", phys, size);
            return Err(ENXIO);
        }
        let parent = faux::Registration::new(c"pfnfs_phys", None)?;
        let binding = attach(Found {
            parent: parent.as_ref(),
            range,
            node: -1,
            persistence: Persistence::Unknown,
            synchronous: true,
            read_only: false,
            note_bad: &|_, _| Ok(()),
            backend: KBox::new(Plain, GFP_KERNEL)?,
        })?;
        Ok(Some(Self { _binding: binding, _parent: parent }))
    }
}

/// No queues that we know of.
pub(super) struct Plain;

impl Backend for Plain {
    fn deep_flush(&self, _: &ReadGuard<'_>) -> Result {
        Ok(())
    }

    fn clear_poison(&self, _: &ReadGuard<'_>, _: Range<u64>) -> Result {
        Err(EIO)
    }
}
