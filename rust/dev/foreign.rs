// SPDX-License-Identifier: GPL-2.0

//! Layer: dev. Refuses memory that belongs to another driver of libnvdimm: nothing but the info block tells that a
//! namespace is a BTT, a PFN or a DAX device when that driver is not loaded, and binding it raw would destroy it.
//!
//! Unlike those drivers, the signature alone is enough to refuse: a block whose checksum or UUID is wrong may be the last
//! trace of somebody's data. Who wants the memory clears the block, as `ndctl` does.
//!
//! Source: [`drivers/nvdimm/btt_devs.c`](srctree/drivers/nvdimm/btt_devs.c) (`nd_btt_version`),
//! [`drivers/nvdimm/pfn_devs.c`](srctree/drivers/nvdimm/pfn_devs.c) (`nd_pfn_validate`).

use kernel::{device, prelude::*};

use crate::linux::pmem::Region;

/// Where info blocks are: BTT version 2 at the start, all others after 4 KiB.
const PLACES: [u64; 2] = [0, 4096];

const SIGNATURES: [(&[u8; 16], &str); 3] =
    [(b"BTT_ARENA_INFO\0\0", "BTT"), (b"NVDIMM_PFN_INFO\0", "PFN (fsdax)"), (b"NVDIMM_DAX_INFO\0", "DAX (devdax)")];

/// `ENODEV` if an info block is found, so that its driver may try.
pub(super) fn check(region: &Region, parent: &device::Device) -> Result {
    for at in PLACES {
        let mut signature = [0; 16];
        match region.read(at, &mut signature) {
            Ok(()) => {}
            Err(e) if e == EIO => {
                dev_warn!(parent, "pfnfs: cannot read at byte {}: no info block found there\n", at);
                continue;
            }
            Err(e) => return Err(e),
        }
        if let Some((_, kind)) = SIGNATURES.iter().find(|(s, _)| **s == signature) {
            dev_err!(
                parent,
                "pfnfs: refused: a {} info block at byte {} says that another driver owns the data; clear it to use the memory here\n",
                kind,
                at
            );
            return Err(ENODEV);
        }
    }
    Ok(())
}
