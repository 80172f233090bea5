// SPDX-License-Identifier: GPL-2.0

//! dump.pfnfs: the log as it lies on the media: slots, and what a scan of each half finds.

use anyhow::anyhow;
use pfnfs_core::media::format::{self, Bits, Record, Slot};
use pfnfs_core::media::{check, Geometry, Pmem, BLOCK, LINE};
use pfnfs_core::meta::log::header_crc;
use pfnfs_core::meta::log::patch::{self, Patch};
use pfnfs_core::plat::crc32c;

use crate::image::Image;

/// Prints both slots.
pub fn slots(image: &Image, geometry: &Geometry) {
    for (name, offset) in ["A", "B"].iter().zip(format::SLOT_OFFSETS) {
        let at = format::SLOT_BLOCK * BLOCK + offset;
        let slot = image.read::<Slot>(at).and_then(|slot| check::slot(geometry.uuid(), &slot, at).map(|()| slot));
        match slot {
            Ok(slot) => println!(
                "slot {name}         {}, cut {}, {} mounts",
                if slot.state.get() == format::SLOT_CLEAN { "clean" } else { "dirty" },
                slot.cut.get(),
                slot.mounts.get()
            ),
            Err(error) => println!("slot {name}         DAMAGED: {error:?}"),
        }
    }
}

/// Prints the records of every half, with `patches` each patch.
///
/// # Errors
///
/// The log cannot be read.
pub fn show(image: &Image, geometry: &Geometry, patches: bool) -> anyhow::Result<()> {
    slots(image, geometry);
    for lane in 0..geometry.lanes() {
        for half in 0..2u8 {
            records(image, geometry, lane, half, patches)?;
        }
    }
    Ok(())
}

/// Follows a half from its start while headers make sense: sound checksum, ascending sequence.
fn records(image: &Image, geometry: &Geometry, lane: u32, half: u8, patches: bool) -> anyhow::Result<()> {
    let size = u64::from(geometry.half_size());
    let start = geometry.half_at(lane, half);
    let (mut offset, mut last) = (0u64, 0u64);
    while offset + size_of::<Record>() as u64 <= size {
        let header = image.read::<Record>(start + offset).map_err(|error| anyhow!("{error:?}"))?;
        let len = u64::from(header.len.get());
        if len < size_of::<Record>() as u64 || offset + len > size || header.seq.get() <= last {
            break;
        }
        let mut bytes = vec![0; len as usize - size_of::<Record>()];
        image
            .read_bytes(start + offset + size_of::<Record>() as u64, &mut bytes)
            .map_err(|error| anyhow!("{error:?}"))?;
        let crc = header_crc(&header, crc32c(!0, &bytes), start + offset);
        let sound = if crc == header.crc.get() { "" } else { "  BAD CHECKSUM" };
        println!(
            "lane {lane} half {half} +{offset:<6} seq {} nonce {:016x} {len} bytes{sound}",
            header.seq.get(),
            header.nonce.get()
        );
        if !sound.is_empty() {
            break;
        }
        if patches {
            show_patches(&bytes);
        }
        last = header.seq.get();
        offset = (offset + len).next_multiple_of(LINE);
    }
    Ok(())
}

fn show_patches(mut bytes: &[u8]) {
    while let Some((patch, rest)) = patch::split(bytes) {
        match patch {
            Patch::Write { at, bytes } => println!("    {at:#x}: write {} bytes: {}", bytes.len(), hex(bytes)),
            Patch::Zero { at, len } => println!("    {at:#x}: zero {len} bytes"),
            Patch::Set { at, bits } => show_bits(at, "set", bits),
            Patch::Clear { at, bits } => show_bits(at, "clear", bits),
        }
        bytes = rest;
    }
}

fn show_bits(at: u64, verb: &str, bits: Bits) {
    println!("    {at:#x}: {verb} {} bits from {}", bits.count.get(), bits.first.get());
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
