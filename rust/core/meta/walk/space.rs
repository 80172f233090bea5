// SPDX-License-Identifier: GPL-2.0

//! Extents, each block against all others, and the bitmaps against what was found.

use super::{at, Fix, Walk};
use crate::media::format::{self, Inode};
use crate::media::{Error, Pmem, Result, BLOCK, GROUP_BLOCKS};
use crate::meta::extent::{self, Run};
use crate::meta::tree::{Damage, Entry, Head, Link, Look};
use crate::meta::{inode, Machine};

/// Who looks at the extents of a tree. Its nodes were looked at before.
struct Extents<'x, 'a, 's, M: Machine> {
    walk: &'x mut Walk<'a, 's, M>,
    ino: u64,
    /// The blocks are metadata: the inode table's.
    meta: bool,
    nodes: u64,
    blocks: u64,
    /// End of the extents so far.
    end: u64,
    /// Something could not be read.
    broken: bool,
}

impl<M: Machine> Look for Extents<'_, '_, '_, M> {
    fn node(&mut self, _link: &Link) -> Result<bool> {
        self.nodes = self.nodes.saturating_add(1);
        Ok(!self.broken)
    }

    fn sound(&mut self, leaf: &Head, entry: &Entry) -> Result {
        super::objects::contents(self.walk.volume.media(), self.walk.volume.geometry(), leaf, entry)
    }

    fn entry(&mut self, leaf: &Head, entry: &Entry) -> Result {
        let run = extent::run_at(self.walk.volume.media(), leaf, entry)?;
        self.run(&run)
    }

    fn whole(&mut self, _leaf: &Head, _link: &Link) -> Result {
        Ok(())
    }

    /// Told in the first pass. Whether the rest is a tree at all cannot be said, so it is left out.
    fn problem(&mut self, _error: Error, damage: Damage, _link: &Link) -> Result {
        self.broken |= damage != Damage::Sum;
        Ok(())
    }
}

impl<M: Machine> Extents<'_, '_, '_, M> {
    fn fix(&self, fix: Fix) -> Fix {
        if self.meta {
            Fix::Table
        } else {
            fix
        }
    }

    /// An extent: behind the one before, its blocks nobody else's.
    fn run(&mut self, run: &Run) -> Result {
        let ino = self.ino;
        if run.file_block < self.end {
            let fix = self.fix(Fix::Extent(ino, run.file_block));
            return self.walk.corrupt(at(run.block), "extents that overlap", ino, fix);
        }
        self.end = run.end();
        self.blocks = self.blocks.saturating_add(u64::from(run.len));
        self.walk.summary.extents = self.walk.summary.extents.saturating_add(1);
        self.walk.visitor.extent(ino, run.file_block, run.block, run.len, run.unwritten());
        self.claim(run)
    }

    /// Takes the blocks of an extent; tells runs that others have.
    fn claim(&mut self, run: &Run) -> Result {
        let mut twice: Option<(u64, u32, bool)> = None;
        for index in 0..run.len {
            let block = run.block.saturating_add(u64::from(index));
            let (used, meta) = (self.walk.bit(block, false)?, self.walk.bit(block, true)?);
            if !used {
                self.walk.set(block, false)?;
                if self.meta {
                    self.walk.set(block, true)?;
                }
                self.walk.summary.blocks = self.walk.summary.blocks.saturating_add(1);
            }
            twice = match twice {
                Some((first, count, other)) if used && other == meta => Some((first, count.saturating_add(1), meta)),
                before => {
                    self.twice(run, before)?;
                    used.then_some((block, 1, meta))
                }
            };
        }
        self.twice(run, twice)
    }

    fn twice(&mut self, run: &Run, blocks: Option<(u64, u32, bool)>) -> Result {
        let Some((block, count, meta)) = blocks else { return Ok(()) };
        let file_block = run.file_block.saturating_add(block.saturating_sub(run.block));
        let fix = if meta { Fix::Hole(self.ino, file_block, count) } else { Fix::Copy(self.ino, file_block, count) };
        let fix = self.fix(fix);
        self.walk.corrupt(at(block), "block that is used twice", self.ino, fix)
    }
}

impl<M: Machine> Walk<'_, '_, M> {
    /// The extents of a file, or of the inode table, which has `nodes` beside.
    pub(super) fn extents(&mut self, raw: &Inode, place: u64, nodes: u64, meta: bool) -> Result {
        let volume = self.volume;
        let (media, geometry) = (volume.media(), volume.geometry());
        let ino = raw.ino.get();
        let mut look = Extents { walk: self, ino, meta, nodes: 0, blocks: 0, end: 0, broken: false };
        if extent::in_tree(raw) {
            inode::tree(raw).walk(media, geometry, &mut look)?;
        } else {
            for index in 0..extent::inline_len(raw) {
                match extent::inline(geometry, raw, index) {
                    Ok(run) => look.run(&run)?,
                    Err(error) => {
                        let fix = look.fix(Fix::Inline(ino));
                        look.broken = true;
                        look.walk.report(error, Some(ino), fix)?;
                    }
                }
            }
        }
        let blocks = look.blocks.saturating_add(look.nodes.max(nodes));
        let fix = look.fix(Fix::Blocks(ino, blocks));
        let short = meta && look.blocks.saturating_mul(BLOCK) != raw.size.get();
        if !look.broken && raw.orphan == format::ORPHAN_NONE && (blocks != raw.blocks.get() || short) {
            self.corrupt(place, "number of blocks", ino, fix)?;
        }
        Ok(())
    }

    /// The bitmaps say what was found.
    pub(super) fn bitmaps(&mut self) -> Result {
        const WORDS: usize = 32;
        let volume = self.volume;
        let geometry = volume.geometry();
        let mut run = None;
        for group in 0..geometry.groups() {
            self.step()?;
            let start = u64::from(group).saturating_mul(u64::from(GROUP_BLOCKS));
            for piece in 0..geometry.group_words() / WORDS {
                let skip = piece.saturating_mul(WORDS);
                let place = geometry.bitmap_at(group).saturating_add(skip.saturating_mul(8) as u64);
                let words = match volume.media().read::<[zerocopy::little_endian::U64; WORDS]>(place) {
                    Ok(words) => words,
                    Err(error) => {
                        self.report(error, None, Fix::None)?;
                        continue;
                    }
                };
                for (index, word) in words.iter().enumerate() {
                    let first = start.saturating_add((skip.saturating_add(index) as u64).saturating_mul(64));
                    self.word(first, word.get(), &mut run)?;
                }
            }
        }
        self.differs(run)
    }

    /// Compares 64 blocks from `first` on. Neighbours with the same difference are told as one.
    fn word(&mut self, first: u64, media: u64, run: &mut Option<Bits>) -> Result {
        let data = self.volume.geometry().data();
        let found = self.scratch.blocks.get((first / 64) as usize).copied().unwrap_or_default();
        // Bits below the first block of the data area, and from its end on.
        let below = |block: u64| {
            1u64.checked_shl(block.saturating_sub(first).min(64) as u32).map_or(!0, |bit| bit.wrapping_sub(1))
        };
        let expected = found | below(data.start) | !below(data.end);
        if media == expected && run.is_none() {
            return Ok(());
        }
        for bit in 0..64u32 {
            let block = first.saturating_add(u64::from(bit));
            let used = expected >> bit & 1 != 0;
            let differs = (media ^ expected) >> bit & 1 != 0;
            match run {
                Some(now) if differs && now.used == used => now.count = now.count.saturating_add(1),
                _ => {
                    self.differs(run.take())?;
                    *run = differs.then_some(Bits { block, count: 1, used });
                }
            }
        }
        Ok(())
    }

    /// Tells a run of bits that are wrong. As long as something could not be read, nothing is lost for certain.
    fn differs(&mut self, run: Option<Bits>) -> Result {
        let Some(Bits { block, count, used }) = run else { return Ok(()) };
        let error = |why| Error::Corrupt { at: at(block), why };
        if used {
            self.report(error("block that is in use and free"), None, Fix::Bits(block, count, true))
        } else if self.complete {
            self.report(error("block that is lost"), None, Fix::Bits(block, count, false))
        } else {
            Ok(())
        }
    }
}

/// Blocks whose bits are wrong.
pub(super) struct Bits {
    block: u64,
    count: u64,
    /// What they are.
    used: bool,
}
