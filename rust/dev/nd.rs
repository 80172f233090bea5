// SPDX-License-Identifier: GPL-2.0

//! Layer: dev. The backend for NVDIMMs: binds raw namespaces of libnvdimm, at load all that are free, later those that
//! are written to /sys/bus/nd/drivers/pfnfs/bind.

use core::ops::Range;

use kernel::prelude::*;

use super::{attach, Backend, Binding, Found, Persistence};
use crate::linux::{
    nd::{self, Driver, Namespace, Platform},
    pmem::{Poison, ReadGuard, PAGE},
};

/// The driver, registered.
pub(crate) type Registration = nd::Registration<Nvdimm>;

pub(crate) struct Nvdimm;

/// What a bound namespace owns.
pub(crate) struct Bound {
    binding: KBox<Binding>,
    start: u64,
}

impl Driver for Nvdimm {
    const NAME: &'static CStr = c"pfnfs";
    type Data = Bound;

    fn probe(namespace: &Namespace<'_>) -> Result<KBox<Bound>> {
        let persistence = match (namespace.is_known(), namespace.has_cache()) {
            (_, false) => Persistence::CpuCache,
            (true, true) => Persistence::MemoryController,
            (false, true) => Persistence::Unknown,
        };
        let range = namespace.range();
        let start = range.start;
        let binding = attach(Found {
            parent: namespace.device(),
            range,
            node: namespace.node(),
            persistence,
            synchronous: namespace.is_sync(),
            read_only: namespace.is_read_only()?,
            note_bad: &|range, poison| note_bad(namespace, range, poison),
            backend: KBox::new(Dimm { platform: namespace.platform(), start }, GFP_KERNEL)?,
        })?;
        Ok(KBox::new(Bound { binding, start }, GFP_KERNEL)?)
    }

    fn notify(bound: &Bound, namespace: &Namespace<'_>) {
        let noted = namespace.is_read_only().map(|ro| bound.binding.set_read_only(ro)).and_then(|()| {
            let range = bound.start..namespace.range().end;
            note_bad(namespace, &range, bound.binding.poison())
        });
        if let Err(e) = noted {
            dev_err!(namespace.device(), "pfnfs: state of the region not read: {:?}\n", e);
        }
    }
}

/// Adds libnvdimm's record of bad blocks to ours. Our units are larger: a page with one bad block is bad.
fn note_bad(namespace: &Namespace<'_>, range: &Range<u64>, poison: &Poison) -> Result {
    namespace.bad_ranges(range, |bad| poison.add(bad.start / PAGE..bad.end.div_ceil(PAGE)))
}

/// The platform of a namespace whose first usable byte is at a physical address.
struct Dimm {
    platform: Platform,
    start: u64,
}

impl Backend for Dimm {
    fn deep_flush(&self, guard: &ReadGuard<'_>) -> Result {
        self.platform.flush(guard)
    }

    fn clear_poison(&self, guard: &ReadGuard<'_>, pages: Range<u64>) -> Result {
        for page in pages {
            let phys = self.start.saturating_add(page.saturating_mul(PAGE));
            self.platform.clear_poison(guard, phys, PAGE as u32)?;
        }
        Ok(())
    }
}
