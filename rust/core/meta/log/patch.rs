// SPDX-License-Identifier: GPL-2.0

//! Patches: how a record says what to change. One parser, for the tools as well, and one `apply` for commit and replay.

use zerocopy::{FromBytes, IntoBytes};

use crate::media::format::{self, Bits};
use crate::media::{Error, Geometry, PmemMut, Result, BLOCK, GROUP_BLOCKS};

/// Bytes of a patch's head.
pub(super) const HEAD: usize = 8;
/// Largest length of a `Zero` patch.
pub(super) const LEN_MAX: u64 = (1 << format::PATCH_LEN_BITS) - 1;

/// One patch.
#[derive(Clone, Copy, Debug)]
pub enum Patch<'a> {
    /// Bytes are put in place.
    Write {
        /// Where on the media, in bytes.
        at: u64,
        /// What is to be there.
        bytes: &'a [u8],
    },
    /// Bytes become zero.
    Zero {
        /// Where on the media, in bytes.
        at: u64,
        /// Bytes.
        len: u64,
    },
    /// Bits are set.
    Set {
        /// What they are counted from: bytes, a multiple of 8.
        at: u64,
        /// Which.
        bits: Bits,
    },
    /// Bits are cleared.
    Clear {
        /// What they are counted from: bytes, a multiple of 8.
        at: u64,
        /// Which.
        bits: Bits,
    },
}

/// Packs the head of a patch.
pub(super) fn head(at: u64, len: u64, kind: u8) -> [u8; HEAD] {
    let at = at & ((1 << format::PATCH_AT_BITS) - 1);
    let kind = u64::from(kind) << (format::PATCH_AT_BITS + format::PATCH_LEN_BITS);
    (at | (len & LEN_MAX) << format::PATCH_AT_BITS | kind).to_le_bytes()
}

/// Takes the first patch off `bytes`: the patch and the rest. `None` if there is no whole one.
pub fn split(bytes: &[u8]) -> Option<(Patch<'_>, &[u8])> {
    let (head, rest) = bytes.split_at_checked(HEAD)?;
    let head = u64::from_le_bytes(head.try_into().ok()?);
    let at = head & ((1 << format::PATCH_AT_BITS) - 1);
    let len = head >> format::PATCH_AT_BITS & LEN_MAX;
    let kind = (head >> (format::PATCH_AT_BITS + format::PATCH_LEN_BITS)) as u8;
    match kind {
        format::PATCH_WRITE => {
            let (bytes, rest) = rest.split_at_checked(len as usize)?;
            Some((Patch::Write { at, bytes }, rest))
        }
        format::PATCH_ZERO => Some((Patch::Zero { at, len }, rest)),
        _ => {
            let (bits, rest) = Bits::read_from_prefix(rest).ok()?;
            let patch = if kind == format::PATCH_SET { Patch::Set { at, bits } } else { Patch::Clear { at, bits } };
            (len == size_of::<Bits>() as u64).then_some((patch, rest))
        }
    }
}

impl Patch<'_> {
    /// Whether a record may do this: bytes change only in the table inode and in the data area, bits only in a group's bitmap or
    /// in the header of a chunk of inodes. So no record reaches a superblock, a slot or the log.
    pub(super) fn check(&self, geometry: &Geometry) -> Result {
        let allowed = match *self {
            Patch::Write { at, bytes } => bytes_allowed(geometry, at, bytes.len() as u64),
            Patch::Zero { at, len } => bytes_allowed(geometry, at, len),
            Patch::Set { at, bits } | Patch::Clear { at, bits } => bits_allowed(geometry, at, &bits),
        };
        if allowed {
            Ok(())
        } else {
            Err(Error::Corrupt { at: self.at(), why: "patch of a record outside its area" })
        }
    }

    /// Where it begins.
    fn at(&self) -> u64 {
        match *self {
            Patch::Write { at, .. } | Patch::Zero { at, .. } | Patch::Set { at, .. } | Patch::Clear { at, .. } => at,
        }
    }

    /// The bytes it changes: position and length.
    pub(super) fn range(&self) -> (u64, u64) {
        match *self {
            Patch::Write { at, bytes } => (at, bytes.len() as u64),
            Patch::Zero { at, len } => (at, len),
            Patch::Set { at, bits } | Patch::Clear { at, bits } => {
                let first = u64::from(bits.first.get());
                let end = first.wrapping_add(u64::from(bits.count.get()));
                (at.wrapping_add(first / 8), end.div_ceil(8).wrapping_sub(first / 8))
            }
        }
    }

    /// The blocks, if it changes the bitmap of a group: first block and count.
    pub(super) fn blocks(&self, geometry: &Geometry) -> Option<(u64, u32)> {
        let (Patch::Set { at, bits } | Patch::Clear { at, bits }) = *self else { return None };
        let group =
            (at / BLOCK).checked_sub(geometry.bitmap_start()).filter(|group| *group < u64::from(geometry.groups()))?;
        let first = group.wrapping_mul(u64::from(GROUP_BLOCKS)).wrapping_add(u64::from(bits.first.get()));
        Some((first, bits.count.get()))
    }
}

fn bytes_allowed(geometry: &Geometry, at: u64, len: u64) -> bool {
    let Some(end) = at.checked_add(len) else { return false };
    let table = format::TABLE_BLOCK * BLOCK;
    let data = geometry.data();
    len > 0
        && (at >= table && end <= table + format::INODE_SIZE
            || at >= data.start.wrapping_mul(BLOCK) && end <= data.end.wrapping_mul(BLOCK))
}

fn bits_allowed(geometry: &Geometry, at: u64, bits: &Bits) -> bool {
    let (first, count) = (bits.first.get(), bits.count.get());
    let Some(end) = first.checked_add(count).filter(|_| count > 0) else { return false };
    let block = at / BLOCK;
    if let Some(group) =
        block.checked_sub(geometry.bitmap_start()).filter(|group| *group < u64::from(geometry.groups()))
    {
        let block = group.wrapping_mul(u64::from(GROUP_BLOCKS)).wrapping_add(u64::from(first));
        return at % BLOCK == 0 && end <= GROUP_BLOCKS && geometry.holds(block, u64::from(count));
    }
    let field = u64::from(format::CHUNK_INODES as u32 / 8);
    geometry.holds(block, 1) && (at % BLOCK == 0 || at % BLOCK == field) && end <= format::CHUNK_INODES as u32
}

/// Applies checked patches with ordinary stores. Nothing is flushed. If memory is lost under one of them, the others are
/// applied all the same.
pub(super) fn apply(media: &impl PmemMut, mut patches: &[u8]) -> Result {
    let mut outcome = Ok(());
    while let Some((patch, rest)) = split(patches) {
        outcome = outcome.and(match patch {
            Patch::Write { at, bytes } => media.store(at, bytes),
            Patch::Zero { at, len } => media.zero(at, len),
            Patch::Set { at, bits } => media.set_bits(at, bits.first.get(), bits.count.get()),
            Patch::Clear { at, bits } => media.clear_bits(at, bits.first.get(), bits.count.get()),
        });
        patches = rest;
    }
    outcome
}

/// Starts the write-back of every line that these patches changed.
pub(super) fn write_back(media: &impl PmemMut, mut patches: &[u8]) {
    while let Some((patch, rest)) = split(patches) {
        let (at, len) = patch.range();
        media.flush(at, len);
        patches = rest;
    }
}

/// Whether all of `patches` parses and is allowed.
pub(super) fn check(geometry: &Geometry, mut patches: &[u8], at: u64) -> Result {
    while !patches.is_empty() {
        let (patch, rest) = split(patches).ok_or(Error::Corrupt { at, why: "patches of a record" })?;
        patch.check(geometry)?;
        patches = rest;
    }
    Ok(())
}

/// A patch of bits, packed.
pub(super) fn bits(first: u32, count: u32) -> Bits {
    Bits { first: first.into(), count: count.into() }
}

const _: () = assert!(size_of::<Bits>() == HEAD);

/// Bytes of packed bits.
pub(super) fn as_bytes(bits: &Bits) -> &[u8] {
    bits.as_bytes()
}
