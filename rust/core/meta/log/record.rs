// SPDX-License-Identifier: GPL-2.0

//! A record being built, in a stage that the caller provides; and what a commit publishes.
//!
//! A record owns the reserved blocks that were moved into it: dropped without a commit, it gives them back. An inode number stays
//! its caller's until a commit has taken it, so that the record can be made again.

mod overlay;

use zerocopy::{Immutable, IntoBytes};

use super::patch::{self, Patch};
use super::{header_crc, Durable, Volume, HEADER, RECORD_MAX};
use crate::media::{format, Error, Result, GROUP_BLOCKS, LINE};
use crate::meta::alloc::Number;
use crate::meta::machine::{Machine, GONE_MAX};
use crate::meta::span::{Blocks, Fresh, Written};

/// Inode numbers that one record can free.
const FREED_MAX: usize = GONE_MAX;
/// Patches that one record can have: the bits of `Stage::limbo`.
const PATCHES_MAX: u32 = 128;
/// As many equal bytes separate two patches: fewer cost less than another head.
const GAP: usize = patch::HEAD;

/// Room for one record, about 1.2 KiB: one per operation, on its stack.
pub struct Stage {
    bytes: [u8; RECORD_MAX],
    len: usize,
    /// Bytes are written at or behind this, and before `high`.
    low: u64,
    high: u64,
    /// Number of patches.
    count: u32,
    /// Which patches free former metadata.
    limbo: u128,
    freed: Numbers<FREED_MAX>,
}

/// A short list of inode numbers.
struct Numbers<const N: usize> {
    list: [u64; N],
    len: usize,
}

impl<const N: usize> Numbers<N> {
    const NONE: Self = Self { list: [0; N], len: 0 };

    fn push(&mut self, number: u64) -> Result {
        *self.list.get_mut(self.len).ok_or(Error::TooBig)? = number;
        self.len = self.len.wrapping_add(1);
        Ok(())
    }

    fn iter(&self) -> impl Iterator<Item = u64> + '_ {
        self.list.iter().take(self.len).copied()
    }
}

impl Default for Stage {
    fn default() -> Self {
        Self::new()
    }
}

impl Stage {
    /// An empty stage.
    pub const fn new() -> Self {
        Self { bytes: [0; RECORD_MAX], len: HEADER, low: u64::MAX, high: 0, count: 0, limbo: 0, freed: Numbers::NONE }
    }

    fn reset(&mut self) {
        self.len = HEADER;
        self.low = u64::MAX;
        self.high = 0;
        self.count = 0;
        self.limbo = 0;
        self.freed.len = 0;
    }

    /// Bytes of the record so far, header included.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The patches so far.
    pub(super) fn patches(&self) -> &[u8] {
        self.bytes.get(HEADER..self.len).unwrap_or_default()
    }

    /// The record, in whole lines.
    pub(super) fn lines(&self) -> &[u8] {
        self.bytes.get(..self.len.next_multiple_of(LINE as usize)).unwrap_or_default()
    }

    /// Writes the header of a record that goes to `at`; `crc` is that of the patches.
    pub(super) fn seal(&mut self, seq: u64, nonce: u64, crc: u32, at: u64) {
        let mut header =
            format::Record { crc: 0.into(), len: (self.len as u32).into(), seq: seq.into(), nonce: nonce.into() };
        header.crc = header_crc(&header, crc, at).into();
        if let Some(at) = self.bytes.get_mut(..HEADER) {
            at.copy_from_slice(header.as_bytes());
        }
        let lines = self.len.next_multiple_of(LINE as usize);
        if let Some(tail) = self.bytes.get_mut(self.len..lines) {
            tail.fill(0);
        }
    }

    fn push(&mut self, at: u64, len: u64, kind: u8, payload: &[u8]) -> Result {
        let body = self.len.wrapping_add(patch::HEAD);
        let end = body.wrapping_add(payload.len());
        if end > RECORD_MAX || self.count >= PATCHES_MAX {
            return Err(Error::TooBig);
        }
        let (Some(head), true) = (self.bytes.get_mut(self.len..body), len <= patch::LEN_MAX) else {
            return Err(Error::TooBig);
        };
        head.copy_from_slice(&patch::head(at, len, kind));
        self.bytes.get_mut(body..end).ok_or(Error::TooBig)?.copy_from_slice(payload);
        self.len = end;
        self.count = self.count.wrapping_add(1);
        if matches!(kind, format::PATCH_WRITE | format::PATCH_ZERO) {
            self.low = self.low.min(at);
            self.high = self.high.max(at.wrapping_add(len));
        }
        Ok(())
    }
}

/// A record being built. After an error from any of its functions it can only be dropped.
#[must_use]
pub struct Record<'v, 's, M: Machine> {
    volume: &'v Volume<M>,
    stage: &'s mut Stage,
    /// The number that the record takes.
    number: Option<&'s Number<'v, M>>,
    committed: bool,
}

impl<'v, 's, M: Machine> Record<'v, 's, M> {
    pub(super) fn new(volume: &'v Volume<M>, stage: &'s mut Stage) -> Self {
        stage.reset();
        Self { volume, stage, number: None, committed: false }
    }

    /// Bytes that still fit, heads of patches included (8 each).
    pub fn room(&self) -> usize {
        RECORD_MAX.wrapping_sub(self.stage.len)
    }

    /// Whether nothing was patched yet.
    pub fn is_empty(&self) -> bool {
        self.stage.count == 0
    }

    fn push(&mut self, patch: Patch<'_>) -> Result {
        patch.check(&self.volume.geometry)?;
        match patch {
            Patch::Write { at, bytes } => self.stage.push(at, bytes.len() as u64, format::PATCH_WRITE, bytes),
            Patch::Zero { at, len } => self.stage.push(at, len, format::PATCH_ZERO, &[]),
            Patch::Set { at, bits } => {
                self.stage.push(at, size_of_val(&bits) as u64, format::PATCH_SET, patch::as_bytes(&bits))
            }
            Patch::Clear { at, bits } => {
                self.stage.push(at, size_of_val(&bits) as u64, format::PATCH_CLEAR, patch::as_bytes(&bits))
            }
        }
    }

    /// Writes all of `bytes` at `at`; a run of zeroes takes no room.
    pub fn write(&mut self, at: u64, mut bytes: &[u8]) -> Result {
        let mut at = at;
        while !bytes.is_empty() {
            let zeroes = zeroes(bytes);
            let len = if zeroes > GAP || zeroes == bytes.len() {
                self.zero(at, zeroes as u64)?;
                zeroes
            } else {
                let len = literal(bytes);
                self.push(Patch::Write { at, bytes: bytes.get(..len).unwrap_or_default() })?;
                len
            };
            at = at.wrapping_add(len as u64);
            bytes = bytes.get(len..).unwrap_or_default();
        }
        Ok(())
    }

    /// Makes `len` bytes at `at` zero.
    pub fn zero(&mut self, at: u64, len: u64) -> Result {
        let (mut at, mut len) = (at, len);
        while len > 0 {
            let piece = len.min(patch::LEN_MAX);
            self.push(Patch::Zero { at, len: piece })?;
            at = at.wrapping_add(piece);
            len = len.wrapping_sub(piece);
        }
        Ok(())
    }

    /// Patches what differs between `old`, which lies at `at`, and `new`, of the same length.
    pub fn diff(&mut self, at: u64, old: &[u8], new: &[u8]) -> Result {
        if old.len() != new.len() {
            return Err(Error::Invalid("lengths of a patch"));
        }
        let mut done = 0usize;
        while let Some((start, end)) = difference(old, new, done) {
            self.write(at.wrapping_add(start as u64), new.get(start..end).unwrap_or_default())?;
            done = end;
        }
        Ok(())
    }

    /// The same for an object.
    pub fn patch<T: IntoBytes + Immutable>(&mut self, at: u64, old: &T, new: &T) -> Result {
        self.diff(at, old.as_bytes(), new.as_bytes())
    }

    /// Sets bits of a chunk header's bitmap at `at`.
    pub fn set_bits(&mut self, at: u64, first: u32, count: u32) -> Result {
        self.push(Patch::Set { at, bits: patch::bits(first, count) })
    }

    /// Clears bits of a chunk header's bitmap at `at`.
    pub fn clear_bits(&mut self, at: u64, first: u32, count: u32) -> Result {
        self.push(Patch::Clear { at, bits: patch::bits(first, count) })
    }

    /// Marks these blocks as in use: something that this record patches refers to them.
    pub fn attach(&mut self, blocks: Blocks<'v, M, Written>) -> Result {
        self.set_blocks(blocks.first(), blocks.count())?;
        blocks.forget();
        Ok(())
    }

    /// The same for blocks that were not written, and that nobody may read.
    pub fn attach_unwritten(&mut self, blocks: Blocks<'v, M, Fresh>) -> Result {
        self.set_blocks(blocks.first(), blocks.count())?;
        blocks.forget();
        Ok(())
    }

    /// A reservation lies in one group.
    fn set_blocks(&mut self, block: u64, count: u32) -> Result {
        let (group, bit) = self.volume.geometry.bit(block);
        let at = self.volume.geometry.bitmap_at(group);
        self.push(Patch::Set { at, bits: patch::bits(bit, count) })
    }

    /// Frees blocks of user data: they can be used again as soon as the record is applied.
    pub fn free_data(&mut self, block: u64, count: u32) -> Result {
        self.free(block, count, false)
    }

    /// Frees blocks that were ever the target of a patch: they can be used again when the cut has passed this record.
    pub fn free_meta(&mut self, block: u64, count: u32) -> Result {
        self.free(block, count, true)
    }

    fn free(&mut self, block: u64, count: u32, limbo: bool) -> Result {
        let (mut block, mut left) = (block, count);
        self.volume.check_used(block, count)?;
        while left > 0 {
            let (group, bit) = self.volume.geometry.bit(block);
            let piece = left.min(GROUP_BLOCKS.wrapping_sub(bit));
            let number = self.stage.count;
            self.push(Patch::Clear { at: self.volume.geometry.bitmap_at(group), bits: patch::bits(bit, piece) })?;
            if limbo {
                self.stage.limbo |= 1u128.checked_shl(number).unwrap_or_default();
            }
            block = block.wrapping_add(u64::from(piece));
            left = left.wrapping_sub(piece);
        }
        Ok(())
    }

    /// Marks a reserved inode number as in use; only one of them.
    pub fn take_number(&mut self, number: &'s Number<'v, M>) -> Result {
        if self.number.replace(number).is_some() {
            return Err(Error::TooBig);
        }
        let at = self.volume.used_at(number.ino())?;
        let bit = (number.ino() % format::CHUNK_INODES) as u32;
        self.set_bits(at, bit, 1)
    }

    /// Frees an inode number.
    pub fn free_number(&mut self, ino: u64) -> Result {
        let at = self.volume.used_at(ino)?;
        self.stage.freed.push(ino)?;
        self.clear_bits(at, (ino % format::CHUNK_INODES) as u32, 1)
    }

    /// Marks an inode as an orphan, or no longer.
    pub fn orphan(&mut self, ino: u64, mark: bool) -> Result {
        let at = self.volume.orphans_at(ino)?;
        let bit = (ino % format::CHUNK_INODES) as u32;
        if mark {
            self.set_bits(at, bit, 1)
        } else {
            self.clear_bits(at, bit, 1)
        }
    }

    /// Makes the record durable and visible: all of it, or nothing if this fails. The caller holds the locks of all objects that
    /// the record patches until this returns.
    pub fn commit<T>(mut self, reply: T) -> Result<Durable<T>> {
        if self.volume.read_only() {
            return Err(Error::ReadOnly);
        }
        if self.stage.count == 0 {
            return Ok(Durable(reply));
        }
        let limbo = self.stage.limbo.count_ones() as usize;
        self.volume.promise_limbo(limbo)?;
        match self.volume.enter(self.stage) {
            Ok((seq, applied)) => {
                self.committed = true;
                self.number.inspect(|number| number.take());
                self.publish(seq);
                applied.map(|()| Durable(reply))
            }
            Err(error) => {
                self.volume.return_limbo(limbo);
                Err(error)
            }
        }
    }

    /// What the record freed can be had again, now or, in limbo, later.
    fn publish(&self, seq: u64) {
        let mut patches = self.stage.patches();
        let mut limbo = self.stage.limbo;
        while let Some((patch, rest)) = patch::split(patches) {
            if let (Patch::Clear { .. }, Some((block, count))) = (patch, patch.blocks(&self.volume.geometry)) {
                if limbo & 1 == 1 {
                    self.volume.bury(block, count, seq);
                } else {
                    self.volume.give_back(block, count);
                }
            }
            limbo >>= 1;
            patches = rest;
        }
        self.stage.freed.iter().for_each(|ino| self.volume.give_back_number(ino));
    }
}

impl<M: Machine> Drop for Record<'_, '_, M> {
    fn drop(&mut self) {
        if self.committed {
            return;
        }
        let mut patches = self.stage.patches();
        while let Some((patch, rest)) = patch::split(patches) {
            if let (Patch::Set { .. }, Some((block, count))) = (patch, patch.blocks(&self.volume.geometry)) {
                self.volume.give_back(block, count);
            }
            patches = rest;
        }
    }
}

/// The first 8 bytes as a number, least significant byte first.
fn word(bytes: &[u8]) -> u64 {
    bytes.first_chunk().map_or(0, |word| u64::from_le_bytes(*word))
}

/// Bytes at the start that are zero; word by word, as all of this file that looks at an object's bytes.
fn zeroes(bytes: &[u8]) -> usize {
    let mut zeroes = 0usize;
    for word in bytes.chunks_exact(8).map(word) {
        if word != 0 {
            return zeroes.wrapping_add((word.trailing_zeros() / 8) as usize);
        }
        zeroes = zeroes.wrapping_add(8);
    }
    zeroes.wrapping_add(bytes.get(zeroes..).unwrap_or_default().iter().take_while(|byte| **byte == 0).count())
}

/// Bytes up to the next run of zeroes that is worth a patch of its own.
fn literal(bytes: &[u8]) -> usize {
    // Bytes looked at, and zeroes at their end.
    let (mut len, mut run) = (0usize, 0usize);
    for word in bytes.chunks_exact(8).map(word) {
        if run.wrapping_add((word.trailing_zeros() / 8) as usize) > 2 * GAP {
            return len.wrapping_sub(run);
        }
        run = if word == 0 { run.wrapping_add(8) } else { (word.leading_zeros() / 8) as usize };
        len = len.wrapping_add(8);
    }
    for byte in bytes.get(len..).unwrap_or_default() {
        run = if *byte == 0 { run.wrapping_add(1) } else { 0 };
        len = len.wrapping_add(1);
    }
    len.wrapping_sub(if run > GAP { run } else { 0 })
}

/// The next run from `from` on in which `old` and `new` differ, gaps of up to [`GAP`] bytes included.
fn difference(old: &[u8], new: &[u8], from: usize) -> Option<(usize, usize)> {
    let equal = |from: usize| equal_bytes(old.get(from..).unwrap_or_default(), new.get(from..).unwrap_or_default());
    let start = from.wrapping_add(equal(from));
    if start >= old.len() {
        return None;
    }
    let mut end = start.wrapping_add(1);
    loop {
        let gap = equal(end);
        let next = end.wrapping_add(gap);
        if gap > GAP || next >= old.len() {
            return Some((start, end));
        }
        end = next.wrapping_add(1);
    }
}

/// Bytes at the start that are equal.
fn equal_bytes(old: &[u8], new: &[u8]) -> usize {
    let mut equal = 0usize;
    for (old, new) in old.chunks_exact(8).zip(new.chunks_exact(8)) {
        let differs = word(old) ^ word(new);
        if differs != 0 {
            return equal.wrapping_add((differs.trailing_zeros() / 8) as usize);
        }
        equal = equal.wrapping_add(8);
    }
    let tails = old.get(equal..).unwrap_or_default().iter().zip(new.get(equal..).unwrap_or_default());
    equal.wrapping_add(tails.take_while(|(old, new)| old == new).count())
}
