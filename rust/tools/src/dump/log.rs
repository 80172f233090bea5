// SPDX-License-Identifier: GPL-2.0

//! dump.pfnfs: the log as it lies on the media: slots, and what a scan of each half finds.

use anyhow::anyhow;
use pfnfs_core::media::format::{self, Bits, Record, Slot};
use pfnfs_core::media::{check, Geometry, Pmem, BLOCK, LINE};
use pfnfs_core::plat::crc32c;
use zerocopy::{FromBytes, IntoBytes};

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
        // As the log seals it: the patches first, the position, then the header behind its own checksum.
        let crc = crc32c(
            crc32c(crc32c(!0, &bytes), &(start + offset).to_le_bytes()),
            header.as_bytes().get(4..).unwrap_or_default(),
        );
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
    while let Ok((head, rest)) = zerocopy::little_endian::U64::read_from_prefix(bytes) {
        let head = head.get();
        let at = head & ((1 << format::PATCH_AT_BITS) - 1);
        let len = (head >> format::PATCH_AT_BITS & ((1 << format::PATCH_LEN_BITS) - 1)) as usize;
        let kind = (head >> (format::PATCH_AT_BITS + format::PATCH_LEN_BITS)) as u8;
        let follow = if kind == format::PATCH_ZERO { 0 } else { len };
        let Some((payload, next)) = rest.split_at_checked(follow) else { break };
        match (kind, Bits::read_from_prefix(payload)) {
            (format::PATCH_WRITE, _) => println!("    {at:#x}: write {len} bytes: {}", hex(payload)),
            (format::PATCH_ZERO, _) => println!("    {at:#x}: zero {len} bytes"),
            (_, Ok((bits, _))) => {
                let verb = if kind == format::PATCH_SET { "set" } else { "clear" };
                println!("    {at:#x}: {verb} {} bits from {}", bits.count.get(), bits.first.get());
            }
            (_, Err(_)) => break,
        }
        bytes = next;
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
