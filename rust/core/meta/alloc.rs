// SPDX-License-Identifier: GPL-2.0

//! Allocation: free blocks and inode numbers, as DRAM knows them.
//!
//! The DRAM bits are those of the media plus what is reserved or in limbo; they are loaded at mount and never again. Takes one
//! group, limbo or inodes lock at a time, each for a moment. Media bits are changed by records only (`log`).

use core::cell::Cell;

use super::bitmap::{self, Choice};
use super::log::Volume;
use super::machine::{GroupMut, LimboEntry, Machine};
use super::span::{Blocks, Fresh};
use super::walk::{Fix, Problem};
use crate::media::{format, Error, Pmem, Result, BLOCK, GROUP_BLOCKS, HUGE};

/// Free and total, as statfs shows them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// Blocks that can hold files and their metadata.
    pub blocks: u64,
    /// Those of them that are free; blocks in limbo and those of orphans that wait to be freed count as free.
    pub free: u64,
    /// Those there are, and those that can still be made.
    pub inodes: u64,
    /// Inodes that can still be made: numbers that are free, and those of chunks that there is
    /// space for, if it is in one piece.
    pub free_inodes: u64,
}

/// A reserved inode number. Given back when dropped, unless a record has taken it.
#[must_use]
pub struct Number<'v, M: Machine> {
    volume: &'v Volume<M>,
    ino: u64,
    taken: Cell<bool>,
}

impl<M: Machine> Number<'_, M> {
    /// The number.
    pub fn ino(&self) -> u64 {
        self.ino
    }

    /// A record has it now.
    pub(in crate::meta) fn take(&self) {
        self.taken.set(true);
    }
}

impl<M: Machine> Drop for Number<'_, M> {
    fn drop(&mut self) {
        if !self.taken.get() {
            self.volume.give_back_number(self.ino);
        }
    }
}

impl<M: Machine> Volume<M> {
    /// Reserves up to `want` contiguous blocks, at least one: at `near` if that is free (0: anywhere), in 2 MiB-aligned runs if so
    /// asked or if `want` is that large.
    ///
    /// # Errors
    ///
    /// `NoSpace` if nothing is free even after orphans that wait to be freed were, and a checkpoint.
    pub fn reserve(&self, near: u64, want: u32, align2m: bool) -> Result<Blocks<'_, M, Fresh>> {
        if self.read_only() {
            return Err(Error::ReadOnly);
        }
        let want = want.clamp(1, GROUP_BLOCKS);
        if let Some(blocks) = self.sound(near, want, align2m) {
            return Ok(blocks);
        }
        // Whatever keeps an orphan from being freed, it is not the caller's error.
        let _ = self.reclaim();
        self.checkpoint()?;
        self.sound(near, want, align2m).ok_or(Error::NoSpace)
    }

    /// What `search` finds, without blocks whose memory is lost. Such a block is kept reserved as long as the volume is mounted;
    /// after the next mount it turns up again and is kept again.
    fn sound(&self, near: u64, want: u32, align2m: bool) -> Option<Blocks<'_, M, Fresh>> {
        loop {
            let mut found = self.search(near, want, align2m)?;
            loop {
                let at = found.first().wrapping_mul(BLOCK);
                let Some(lost) = self.media().first_lost(at, u64::from(found.count()).wrapping_mul(BLOCK)) else {
                    return Some(found);
                };
                let good = (lost.wrapping_sub(at) / BLOCK) as u32;
                if good > 0 {
                    return Some(found.split(good).0);
                }
                let (lost, rest) = found.split(1);
                lost.forget();
                let Some(rest) = rest else { break };
                found = rest;
            }
        }
    }

    fn search(&self, near: u64, want: u32, align2m: bool) -> Option<Blocks<'_, M, Fresh>> {
        let groups = self.geometry().groups();
        let (group, bit) = if near == 0 { (self.cpu().checked_rem(groups)?, 0) } else { self.geometry().bit(near) };
        if near != 0 && (!align2m || bit % HUGE == 0) {
            let here = if align2m && want >= HUGE { Choice::WholeAt(bit) } else { Choice::At(bit) };
            if let Some(blocks) = self.take(group, here, want) {
                return Some(blocks);
            }
        }
        let order = if align2m || want >= HUGE {
            [Choice::Whole, Choice::Fit, Choice::Any]
        } else {
            [Choice::Fit, Choice::Whole, Choice::Any]
        };
        order.into_iter().find_map(|choice| {
            (0..groups).find_map(|next| self.take(group.wrapping_add(next).checked_rem(groups)?, choice, want))
        })
    }

    /// Reserves in one group.
    fn take(&self, group: u32, choice: Choice, want: u32) -> Option<Blocks<'_, M, Fresh>> {
        if group >= self.geometry().groups() {
            return None;
        }
        let (first, count) = self.group(group, |mut state| {
            let (first, count) = bitmap::find(state.bits, state.state, choice, want)?;
            bitmap::change(&mut state, first, count, true);
            Some((first, count))
        })?;
        let block = u64::from(group).wrapping_mul(u64::from(GROUP_BLOCKS)).wrapping_add(u64::from(first));
        Some(Blocks::new(self, block, count))
    }

    /// Calls `f` for each group that the blocks touch, with first bit and count, under the group's lock.
    fn each_group(&self, block: u64, count: u32, mut f: impl FnMut(GroupMut<'_>, u32, u32)) {
        let (mut block, mut left) = (block, count);
        while left > 0 {
            let (group, bit) = self.geometry().bit(block);
            if group >= self.geometry().groups() {
                return;
            }
            let piece = left.min(GROUP_BLOCKS.wrapping_sub(bit));
            self.group(group, |state| f(state, bit, piece));
            block = block.wrapping_add(u64::from(piece));
            left = left.wrapping_sub(piece);
        }
    }

    /// These blocks are free from now on.
    pub(in crate::meta) fn give_back(&self, block: u64, count: u32) {
        self.each_group(block, count, |mut group, first, count| bitmap::change(&mut group, first, count, false));
    }

    /// Whether blocks that are to be freed are in use at all.
    pub(in crate::meta) fn check_used(&self, block: u64, count: u32) -> Result {
        let mut used = self.geometry().holds(block, u64::from(count));
        if used {
            self.each_group(block, count, |group, first, count| used &= bitmap::all_set(group.bits, first, count));
        }
        let at = block.saturating_mul(BLOCK);
        if used {
            Ok(())
        } else {
            Err(Error::Corrupt { at, why: "freed block that is not in use" })
        }
    }

    /// Promises entries of the limbo list to a record that will free former metadata.
    pub(in crate::meta) fn promise_limbo(&self, count: usize) -> Result {
        loop {
            let promised = self.limbo(|limbo| {
                let used = limbo.state.len.saturating_add(limbo.state.promised);
                let fits = used.saturating_add(count) <= limbo.list.len();
                if fits {
                    limbo.state.promised = limbo.state.promised.saturating_add(count);
                }
                if count > limbo.list.len() {
                    Err(Error::TooBig)
                } else {
                    Ok(fits)
                }
            })?;
            if promised {
                return Ok(());
            }
            self.checkpoint()?;
        }
    }

    /// The record failed.
    pub(in crate::meta) fn return_limbo(&self, count: usize) {
        self.limbo(|limbo| limbo.state.promised = limbo.state.promised.saturating_sub(count));
    }

    /// Former metadata blocks, freed by record `seq`, fulfil a promise.
    pub(in crate::meta) fn bury(&self, block: u64, count: u32, seq: u64) {
        self.limbo(|limbo| {
            limbo.state.promised = limbo.state.promised.saturating_sub(1);
            if let Some(entry) = limbo.list.get_mut(limbo.state.len) {
                *entry = LimboEntry { block, seq, count };
                limbo.state.len = limbo.state.len.saturating_add(1);
            }
        });
    }

    /// The cut on the media has passed these records: nothing can replay into what they freed.
    pub(in crate::meta) fn release_limbo(&self, cut: u64) {
        while let Some(entry) = self.limbo(|limbo| {
            let used = limbo.list.get_mut(..limbo.state.len)?;
            let last = used.len().checked_sub(1)?;
            let index = used.iter().position(|entry| entry.seq <= cut)?;
            let entry = used.get(index).copied();
            used.swap(index, last);
            limbo.state.len = last;
            entry
        }) {
            self.give_back(entry.block, entry.count);
        }
    }

    /// Reads the bitmaps of all groups, at mount. One that cannot be read has no free block, if `tell` lets it pass.
    pub(in crate::meta) fn load_groups(&self, tell: &mut dyn FnMut(&Problem) -> Result) -> Result {
        for group in 0..self.geometry().groups() {
            if let Err(error) = self.load_group(group) {
                tell(&Problem { error, ino: None, fix: Fix::None })?;
                self.group(group, |mut state| bitmap::change(&mut state, 0, GROUP_BLOCKS, true));
            }
        }
        Ok(())
    }

    fn load_group(&self, group: u32) -> Result {
        const WORDS: usize = 32;
        let mut at = self.geometry().bitmap_at(group);
        for piece in 0..self.geometry().group_words() / WORDS {
            let words: [zerocopy::little_endian::U64; WORDS] = self.media().read(at)?;
            self.group(group, |state| {
                let place = state.bits.iter_mut().skip(piece.wrapping_mul(WORDS));
                place.zip(&words).for_each(|(bits, word)| *bits = word.get());
            });
            at = at.wrapping_add(size_of_val(&words) as u64);
        }
        let start = u64::from(group).wrapping_mul(u64::from(GROUP_BLOCKS));
        let data = self.geometry().data();
        let bit = |block: u64| block.saturating_sub(start).min(u64::from(GROUP_BLOCKS)) as u32;
        self.group(group, |mut state| {
            // Whatever a bad image says, these are not ours to give.
            bitmap::change(&mut state, 0, bit(data.start), true);
            bitmap::change(&mut state, bit(data.end), GROUP_BLOCKS.saturating_sub(bit(data.end)), true);
            *state.state = bitmap::count(state.bits);
        });
        Ok(())
    }

    /// Free and total numbers. Not a snapshot while others work.
    pub fn space(&self) -> Space {
        let data = self.geometry().data();
        let blocks = data.end.saturating_sub(data.start);
        let groups = (0..self.geometry().groups()).map(|group| self.group(group, |state| u64::from(state.state.free)));
        let limbo = self
            .limbo(|limbo| limbo.list.iter().take(limbo.state.len).map(|entry| u64::from(entry.count)).sum::<u64>());
        let (waiting, theirs) = self.waiting();
        let free = groups.sum::<u64>().saturating_add(limbo).saturating_add(theirs).min(blocks);
        let (chunks, used_free) = self.inodes(|inodes| (inodes.state.chunks, inodes.state.free));
        let usable = format::CHUNK_INODES - format::CHUNK_HEADER_INODES;
        let max_chunks = self.geometry().max_chunks();
        let more = max_chunks.saturating_sub(chunks).min(free / format::CHUNK_BLOCKS);
        let growth = more.saturating_mul(usable);
        let inodes = chunks.saturating_mul(usable).saturating_add(growth);
        let free_inodes = used_free.saturating_add(growth).saturating_add(waiting).min(inodes);
        Space { blocks, free, inodes, free_inodes }
    }
}

/// Inode numbers.
impl<M: Machine> Volume<M> {
    /// A chunk of the inode table exists: its first device block, and its in-use bits.
    pub(in crate::meta) fn adopt_chunk(&self, index: u64, block: u64, used: &[u64; 4]) -> Result {
        let at = block.saturating_mul(BLOCK);
        self.inodes(|inodes| {
            let corrupt = Error::Corrupt { at, why: "number of an inode chunk" };
            let place = inodes.chunks.get_mut(index as usize).ok_or(corrupt)?;
            let words = (index as usize).wrapping_mul(used.len());
            let bits = inodes.bits.get_mut(words..words.wrapping_add(used.len())).ok_or(corrupt)?;
            *place = block;
            bits.copy_from_slice(used);
            let free: u64 = used.iter().map(|word| u64::from(word.count_zeros())).sum();
            inodes.state.free = inodes.state.free.saturating_add(free);
            inodes.state.chunks = inodes.state.chunks.max(index.saturating_add(1));
            Ok(())
        })
    }

    /// Chunks of the inode table.
    pub(in crate::meta) fn chunks(&self) -> u64 {
        self.inodes(|inodes| inodes.state.chunks)
    }

    /// Reserves an inode number of an existing chunk, close after `near`; `NoInodes` if they are all in use.
    pub(in crate::meta) fn reserve_number(&self, near: u64) -> Result<Number<'_, M>> {
        let ino = self.inodes(|inodes| {
            let end = (inodes.state.chunks.wrapping_mul(format::CHUNK_INODES) / 64) as usize;
            let bits = inodes.bits.get_mut(..end).unwrap_or_default();
            let near = u32::try_from(near).unwrap_or(0);
            let found = bitmap::next(bits, near, false).or_else(|| bitmap::next(bits, 0, false))?;
            *bits.get_mut((found / 64) as usize)? |= 1u64.wrapping_shl(found);
            inodes.state.free = inodes.state.free.saturating_sub(1);
            Some(u64::from(found))
        });
        Ok(Number { volume: self, ino: ino.ok_or(Error::NoInodes)?, taken: Cell::new(false) })
    }

    /// This number is free from now on.
    pub(in crate::meta) fn give_back_number(&self, ino: u64) {
        self.inodes(|inodes| {
            if let Some(word) = inodes.bits.get_mut((ino / 64) as usize) {
                *word &= !1u64.wrapping_shl((ino % 64) as u32);
                inodes.state.free = inodes.state.free.saturating_add(1);
            }
        });
    }

    /// Position of the header of a chunk; `NotFound` if it does not exist.
    pub(in crate::meta) fn chunk_at(&self, index: u64) -> Result<u64> {
        let block = self.inodes(|inodes| inodes.chunks.get(index as usize).copied());
        block.filter(|block| *block != 0).map(|block| block.wrapping_mul(BLOCK)).ok_or(Error::NotFound)
    }

    /// Position of an inode; `NotFound` if there can be none of this number.
    pub(in crate::meta) fn inode_at(&self, ino: u64) -> Result<u64> {
        let slot = ino % format::CHUNK_INODES;
        if slot < format::CHUNK_HEADER_INODES {
            return Err(Error::NotFound);
        }
        Ok(self.chunk_at(ino / format::CHUNK_INODES)?.wrapping_add(slot.wrapping_mul(format::INODE_SIZE)))
    }

    /// Position of the in-use bits of the chunk of an inode.
    pub(in crate::meta) fn used_at(&self, ino: u64) -> Result<u64> {
        self.chunk_at(ino / format::CHUNK_INODES)
    }

    /// Position of the orphan bits of the chunk of an inode.
    pub(in crate::meta) fn orphans_at(&self, ino: u64) -> Result<u64> {
        let offset = core::mem::offset_of!(format::Chunk, orphans) as u64;
        Ok(self.chunk_at(ino / format::CHUNK_INODES)?.wrapping_add(offset))
    }
}
