// SPDX-License-Identifier: GPL-2.0

//! Layer: dev. The backend for NVDIMMs of a kernel without libnvdimm, for instance one without a block layer: ranges of
//! persistent memory as the firmware's table (NFIT) lists them.
//!
//! Without the methods of the DIMMs there are no labels, no list of bad blocks and no repair: a range is one device.
//!
//! Source: ACPI 6.5, 5.2.25; [`include/acpi/actbl2.h`](srctree/include/acpi/actbl2.h),
//! [`drivers/acpi/nfit/core.c`](srctree/drivers/acpi/nfit/core.c).

use core::{iter, ops::Range};

use kernel::{faux, prelude::*};

use super::{attach, phys::Plain, Binding, Found, Persistence};
use crate::linux::acpi::{node_of, Table};

/// Bytes of the table before its first structure.
const HEADER: usize = 40;
/// Types of structures.
const RANGE: u16 = 0;
const MAPPING: u16 = 1;
const CAPABILITIES: u16 = 7;
/// The kind of a range that is persistent memory: 66f0d379-b4f3-4074-ac43-0d3318b78cdb.
const PERSISTENT: [u8; 16] =
    [0x79, 0xd3, 0xf0, 0x66, 0xf3, 0xb4, 0x74, 0x40, 0xac, 0x43, 0x0d, 0x33, 0x18, 0xb7, 0x8c, 0xdb];
/// Flag of a range: its proximity domain is known.
const DOMAIN_VALID: u16 = 1 << 1;
/// Flag of a mapping: its DIMM will not keep what is stored.
const NOT_ARMED: u16 = 1 << 3;
/// Capabilities of the platform: what it flushes when the power goes.
const FLUSHES_CACHES: u32 = 1 << 0;
const FLUSHES_CONTROLLER: u32 = 1 << 1;

/// The devices of all ranges. Fields are dropped in their order.
pub(crate) struct Nfit {
    _bindings: KVec<KBox<Binding>>,
    _parent: Option<faux::Registration>,
}

impl Nfit {
    /// Makes a device of each range. One that is refused, which the log says, keeps no other from its device.
    pub(crate) fn new() -> Result<Self> {
        let mut bindings = KVec::new();
        let Ok(table) = Table::find(c"NFIT") else { return Ok(Self { _bindings: bindings, _parent: None }) };
        let parent = faux::Registration::new(c"pfnfs_nfit", None)?;
        let bytes = table.bytes();
        let persistence = persistence(bytes);
        for (_, this) in structures(bytes).filter(|&(kind, _)| kind == RANGE) {
            let Some(found) = Span::read(this) else { continue };
            let attached = attach(Found {
                parent: parent.as_ref(),
                range: found.range,
                node: found.node,
                persistence,
                synchronous: true,
                read_only: is_unarmed(bytes, found.index),
                note_bad: &|_, _| Ok(()),
                backend: KBox::new(Plain, GFP_KERNEL)?,
            });
            if let Ok(binding) = attached {
                bindings.push(binding, GFP_KERNEL)?;
            }
        }
        Ok(Self { _bindings: bindings, _parent: Some(parent) })
    }
}

/// A range of persistent memory.
struct Span {
    index: u16,
    range: Range<u64>,
    node: i32,
}

impl Span {
    /// `None` if the structure is too short, or the range of another kind or impossible.
    fn read(this: &[u8]) -> Option<Self> {
        if bytes_at(this, 16)? != PERSISTENT {
            return None;
        }
        let (start, len) = (u64::from_le_bytes(bytes_at(this, 32)?), u64::from_le_bytes(bytes_at(this, 40)?));
        let known = u16_at(this, 6)? & DOMAIN_VALID != 0;
        Some(Self {
            index: u16_at(this, 4)?,
            range: start..start.checked_add(len)?,
            node: if known { node_of(u32_at(this, 12)?) } else { -1 },
        })
    }
}

/// What the platform says that survives a power failure.
fn persistence(table: &[u8]) -> Persistence {
    let found = structures(table).find(|&(kind, _)| kind == CAPABILITIES);
    let capabilities = found.and_then(|(_, this)| {
        // Bits above the highest one that the platform knows mean nothing.
        let highest = *this.get(4)?;
        Some(u32_at(this, 8)? & (u32::MAX >> 31u32.saturating_sub(highest.into())))
    });
    match capabilities {
        Some(bits) if bits & FLUSHES_CACHES != 0 => Persistence::CpuCache,
        Some(bits) if bits & FLUSHES_CONTROLLER != 0 => Persistence::MemoryController,
        _ => Persistence::Unknown,
    }
}

/// Does a DIMM of this range not keep what is stored?
fn is_unarmed(table: &[u8], range: u16) -> bool {
    structures(table)
        .filter(|&(kind, this)| kind == MAPPING && u16_at(this, 12) == Some(range))
        .any(|(_, this)| u16_at(this, 44).is_some_and(|flags| flags & NOT_ARMED != 0))
}

/// The structures of the table, each with its type; up to the first one that is cut off.
fn structures(table: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    let mut rest = table.get(HEADER..).unwrap_or_default();
    iter::from_fn(move || {
        let kind = u16_at(rest, 0)?;
        // At least as long as what says so, hence an end is reached.
        let len = usize::from(u16_at(rest, 2)?).max(4);
        let (this, next) = rest.split_at_checked(len)?;
        rest = next;
        Some((kind, this))
    })
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes_at(bytes, at).map(u16::from_le_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes_at(bytes, at).map(u32::from_le_bytes)
}

fn bytes_at<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}
