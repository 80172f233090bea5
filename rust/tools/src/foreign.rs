// SPDX-License-Identifier: GPL-2.0

//! Tools: recognises what else may lie on a medium, so that mkfs does not overwrite it. The signatures are those that the
//! systems themselves look for at mount.

use pfnfs_core::media::{Pmem, Result};

/// A signature: position, bytes, and whose they are.
struct Signature {
    at: u64,
    bytes: &'static [u8],
    name: &'static str,
}

const fn signature(at: u64, bytes: &'static [u8], name: &'static str) -> Signature {
    Signature { at, bytes, name }
}

/// In the order of their certainty: the boot sector's mark is the weakest.
const SIGNATURES: &[Signature] = &[
    signature(4096, b"NVDIMM_PFN_INFO\0", "a libnvdimm PFN info block (mode fsdax)"),
    signature(4096, b"NVDIMM_DAX_INFO\0", "a libnvdimm DAX info block (mode devdax)"),
    signature(4096, b"BTT_ARENA_INFO\0", "a libnvdimm BTT info block (mode sector)"),
    signature(0, b"BTT_ARENA_INFO\0", "a libnvdimm BTT info block (mode sector)"),
    signature(0x438, &[0x53, 0xef], "an ext2, ext3 or ext4 file system"),
    signature(0, b"XFSB", "an xfs file system"),
    signature(0x1_0040, b"_BHRfS_M", "a btrfs file system"),
    signature(0x400, &[0x10, 0x20, 0xf5, 0xf2], "an f2fs file system"),
    signature(0x400, &[0xe2, 0xe1, 0xf5, 0xe0], "an erofs file system"),
    signature(0, b"hsqs", "a squashfs file system"),
    signature(0, b"LUKS", "an encrypted volume (LUKS)"),
    signature(0x218, b"LVM2 001", "an LVM physical volume"),
    signature(4086, b"SWAPSPACE2", "swap space"),
    signature(3, b"NTFS    ", "an NTFS file system"),
    signature(512, b"EFI PART", "a GPT partition table"),
    signature(510, &[0x55, 0xaa], "a partition table or a FAT file system"),
];

/// What lies on `media`, if it is something we know.
///
/// # Errors
///
/// The media cannot be read where a signature would be.
pub fn find(media: &impl Pmem) -> Result<Option<&'static str>> {
    for signature in SIGNATURES {
        let mut bytes = vec![0; signature.bytes.len()];
        if signature.at + bytes.len() as u64 > media.size() {
            continue;
        }
        media.read_bytes(signature.at, &mut bytes)?;
        if bytes == signature.bytes {
            return Ok(Some(signature.name));
        }
    }
    Ok(None)
}
