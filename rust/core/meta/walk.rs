// SPDX-License-Identifier: GPL-2.0

//! Visits everything that is reachable in a volume, and checks that it fits together: no block used twice, none lost, none used
//! and free; links, parents and entries agree; every checksum and sum is right; orphans are marked.
//!
//! For tests and tools. Nothing may change meanwhile. The caller provides the memory. The work is bounded on any image: a
//! block that is met a second time ends the walk.

use super::dir::{self, Scratch as Keys};
use super::extent;
use super::inode::{self, Live, Orphan};
use super::table;
use super::{Machine, Volume};
use crate::media::format::{self, Inode};
use crate::media::{check as valid, Error, Geometry, Pmem, Result, BLOCK, GROUP_BLOCKS};

/// Mark of a directory from which the root is reached.
const ROOTED: u32 = 1 << 31;

/// What a walk shows to its caller.
pub trait Visitor {
    /// An inode in use.
    fn inode(&mut self, _live: &Live) {}

    /// An extent of a file; `ino` 0 is the inode table.
    fn extent(&mut self, _ino: u64, _file_block: u64, _block: u64, _len: u32, _unwritten: bool) {}

    /// A node of an inode's tree.
    fn node(&mut self, _ino: u64, _block: u64) {}

    /// An entry of directory `dir`.
    fn entry(&mut self, _dir: u64, _entry: &dir::Entry<'_>) {}
}

/// A visitor that only wants the check.
impl Visitor for () {}

/// Memory for a walk.
pub struct Scratch<'a> {
    /// One bit per block: [`Scratch::block_words`] words.
    pub blocks: &'a mut [u64],
    /// One word per inode number: [`Scratch::link_words`] words.
    pub links: &'a mut [u32],
    /// Keys of a directory leaf.
    pub keys: &'a mut Keys,
}

impl Scratch<'_> {
    /// Words of `blocks` that a volume needs.
    pub fn block_words(geometry: &Geometry) -> usize {
        (geometry.groups() as usize).saturating_mul(geometry.group_words())
    }

    /// Words of `links` that a volume needs.
    pub fn link_words<M: Machine>(volume: &Volume<M>) -> usize {
        volume.chunks().saturating_mul(format::CHUNK_INODES) as usize
    }
}

/// What there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Inodes in use.
    pub inodes: u64,
    /// Directories among them.
    pub dirs: u64,
    /// Orphans among them.
    pub orphans: u64,
    /// Entries of directories.
    pub entries: u64,
    /// Extents of files.
    pub extents: u64,
    /// Blocks in use in the data area.
    pub blocks: u64,
}

/// A walk under way.
struct Walk<'a, 's, M: Machine> {
    volume: &'a Volume<M>,
    scratch: &'a mut Scratch<'s>,
    visitor: &'a mut dyn Visitor,
    summary: Summary,
}

fn corrupt<T>(at: u64, why: &'static str) -> Result<T> {
    Err(Error::Corrupt { at, why })
}

/// Visits and checks everything. The volume is at rest: no operation under way.
///
/// # Errors
///
/// The first thing that is wrong: `Corrupt`, `Poison`. `Invalid` if the scratch memory is too small.
pub fn check<M: Machine>(volume: &Volume<M>, scratch: &mut Scratch<'_>, visitor: &mut dyn Visitor) -> Result<Summary> {
    if scratch.blocks.len() < Scratch::block_words(volume.geometry())
        || scratch.links.len() < Scratch::link_words(volume)
    {
        return Err(Error::Invalid("scratch memory"));
    }
    scratch.blocks.fill(0);
    scratch.links.fill(0);
    let mut walk = Walk { volume, scratch, visitor, summary: Summary::default() };
    let raw = table::read(volume)?;
    walk.file(&raw, format::TABLE_BLOCK.saturating_mul(BLOCK))?;
    for chunk in 0..volume.chunks() {
        walk.chunk(chunk, Walk::contents)?;
    }
    for chunk in 0..volume.chunks() {
        walk.chunk(chunk, Walk::links)?;
    }
    walk.bitmaps()?;
    Ok(walk.summary)
}

impl<M: Machine> Walk<'_, '_, M> {
    /// Calls `each` with the inodes in use of a chunk.
    fn chunk(&mut self, index: u64, each: fn(&mut Self, &Live) -> Result) -> Result {
        let at = self.volume.chunk_at(index)?;
        let header: format::Chunk = self.volume.media().read(at)?;
        valid::chunk(self.volume.geometry(), &header, index, at)?;
        let first = index.saturating_mul(format::CHUNK_INODES);
        for number in format::CHUNK_HEADER_INODES..format::CHUNK_INODES {
            let bit = |words: &[zerocopy::little_endian::U64; 4]| {
                let word = words.get((number / 64) as usize).map_or(0, |word| word.get());
                word >> (number % 64) & 1 != 0
            };
            if !bit(&header.used) {
                continue;
            }
            let live = inode::load(self.volume, first.saturating_add(number), None)?;
            if bit(&header.orphans) != (live.orphan() != Orphan::None) {
                return corrupt(live.at, "mark of an orphan");
            }
            each(self, &live)?;
        }
        Ok(())
    }

    /// A block in use; refuses one that is in use already.
    fn mark(&mut self, block: u64, count: u64) -> Result {
        if !self.volume.geometry().holds(block, count) {
            return corrupt(block.saturating_mul(BLOCK), "block outside the data area");
        }
        for block in block..block.saturating_add(count) {
            let bit = 1u64 << (block % 64);
            let place = self.scratch.blocks.get_mut((block / 64) as usize).ok_or(Error::Invalid("scratch memory"))?;
            if *place & bit != 0 {
                return corrupt(block.saturating_mul(BLOCK), "block that is used twice");
            }
            *place |= bit;
        }
        self.summary.blocks = self.summary.blocks.saturating_add(count);
        Ok(())
    }

    /// First pass: what an inode has. Counts the links that entries are.
    fn contents(&mut self, live: &Live) -> Result {
        self.summary.inodes = self.summary.inodes.saturating_add(1);
        self.summary.orphans = self.summary.orphans.saturating_add(u64::from(live.orphan() != Orphan::None));
        self.visitor.inode(live);
        if live.is_dir() {
            self.dir(live)
        } else if live.is_file() {
            self.file(&live.raw, live.at)
        } else {
            let root = live.raw.root.get();
            if root != 0 {
                self.mark(root, 1)?;
            }
            if live.blocks() == u64::from(root != 0) {
                Ok(())
            } else {
                corrupt(live.at, "number of blocks")
            }
        }
    }

    /// The nodes of a tree; counts them.
    fn nodes(&mut self, raw: &Inode) -> Result<u64> {
        let volume = self.volume;
        let mut nodes = 0u64;
        inode::tree(raw).walk(volume.media(), volume.geometry(), &mut |block| {
            nodes = nodes.saturating_add(1);
            self.mark(block, 1)?;
            self.visitor.node(raw.ino.get(), block);
            Ok(())
        })?;
        Ok(nodes)
    }

    /// The extents of a file, or of the inode table.
    fn file(&mut self, raw: &Inode, at: u64) -> Result {
        let (media, geometry) = (self.volume.media(), self.volume.geometry());
        let mut blocks = 0u64;
        if raw.flags.get() & format::INODE_TREE != 0 {
            blocks = self.nodes(raw)?;
        }
        let mut end = 0u64;
        while let Some(run) = extent::first_from(media, geometry, raw, end)? {
            let unwritten = run.unwritten();
            if extent::last_before(media, geometry, raw, run.file_block.saturating_sub(1))?
                .is_some_and(|before| before.file_block < run.file_block && before.end() > run.file_block)
            {
                return corrupt(at, "extents that overlap");
            }
            self.mark(run.block, u64::from(run.len))?;
            self.visitor.extent(raw.ino.get(), run.file_block, run.block, run.len, unwritten);
            blocks = blocks.saturating_add(u64::from(run.len));
            self.summary.extents = self.summary.extents.saturating_add(1);
            end = run.end();
        }
        if raw.orphan == format::ORPHAN_NONE && blocks != raw.blocks.get() {
            return corrupt(at, "number of blocks");
        }
        Ok(())
    }

    /// The entries of a directory.
    fn dir(&mut self, live: &Live) -> Result {
        self.summary.dirs = self.summary.dirs.saturating_add(1);
        let nodes = self.nodes(&live.raw)?;
        let (mut entries, mut dirs) = (0u64, 0u32);
        let mut result = Ok(());
        let volume = self.volume;
        let (links, keys) = (&mut *self.scratch.links, &mut *self.scratch.keys);
        let visitor = &mut *self.visitor;
        dir::read(volume, live, 0, keys, &mut |entry| {
            visitor.entry(live.ino(), &entry);
            entries = entries.saturating_add(1);
            dirs = dirs.saturating_add(u32::from(entry.kind == inode::kind(inode::S_IFDIR)));
            result = child(volume, live, &entry, links);
            result.is_ok()
        })?;
        result?;
        self.summary.entries = self.summary.entries.saturating_add(entries);
        if entries != live.size() || nodes != live.blocks() {
            return corrupt(live.at, "size of a directory");
        }
        let expected = if live.orphan() == Orphan::None { dirs.saturating_add(2) } else { 0 };
        if live.nlink() != expected || live.orphan() != Orphan::None && entries > 0 {
            return corrupt(live.at, "number of links");
        }
        Ok(())
    }

    /// Second pass: links, and the way from each directory to the root.
    fn links(&mut self, live: &Live) -> Result {
        let count = self.scratch.links.get(live.ino() as usize).map_or(0, |links| *links & !ROOTED);
        if !live.is_dir() {
            return if count == live.nlink() { Ok(()) } else { corrupt(live.at, "number of links") };
        }
        let root = self.volume.geometry().root();
        let expected = u32::from(live.ino() != root && live.orphan() == Orphan::None);
        if count != expected || live.ino() == root && live.parent() != root {
            return corrupt(live.at, "number of links");
        }
        if expected == 0 {
            Ok(())
        } else {
            self.rooted(live)
        }
    }

    /// Follows a directory's parents. Those that lead to the root are marked, so that all ways together are short.
    fn rooted(&mut self, live: &Live) -> Result {
        let root = self.volume.geometry().root();
        for mark in [false, true] {
            let mut ino = live.ino();
            let mut left = self.scratch.links.len();
            while ino != root {
                let Some(links) = self.scratch.links.get_mut(ino as usize) else { break };
                if *links & ROOTED != 0 {
                    break;
                }
                if mark {
                    *links |= ROOTED;
                }
                left = left.checked_sub(1).ok_or(Error::Corrupt { at: live.at, why: "directories in a circle" })?;
                ino = inode::load(self.volume, ino, None)?.parent();
            }
        }
        Ok(())
    }

    /// The bitmaps say what was found.
    fn bitmaps(&self) -> Result {
        const WORDS: usize = 32;
        let geometry = self.volume.geometry();
        for group in 0..geometry.groups() {
            let start = u64::from(group).saturating_mul(u64::from(GROUP_BLOCKS));
            for piece in 0..geometry.group_words() / WORDS {
                let skip = piece.saturating_mul(WORDS);
                let at = geometry.bitmap_at(group).saturating_add(skip.saturating_mul(8) as u64);
                let words: [zerocopy::little_endian::U64; WORDS] = self.volume.media().read(at)?;
                for (index, word) in words.iter().enumerate() {
                    let first = start.saturating_add((skip.saturating_add(index) as u64).saturating_mul(64));
                    self.word(first, word.get())?;
                }
            }
        }
        Ok(())
    }

    /// Compares 64 blocks from `first` on.
    fn word(&self, first: u64, media: u64) -> Result {
        let data = self.volume.geometry().data();
        let found = self.scratch.blocks.get((first / 64) as usize).copied().unwrap_or_default();
        let mut expected = found;
        for bit in 0..64u32 {
            if !data.contains(&first.saturating_add(u64::from(bit))) {
                expected |= 1 << bit;
            }
        }
        if media == expected {
            return Ok(());
        }
        let bit = (media ^ expected).trailing_zeros();
        let at = first.saturating_add(u64::from(bit)).saturating_mul(BLOCK);
        corrupt(at, if media >> bit & 1 != 0 { "block that is lost" } else { "block that is in use and free" })
    }
}

/// Checks an entry against the inode it names, and counts the link.
fn child<M: Machine>(volume: &Volume<M>, dir: &Live, entry: &dir::Entry<'_>, links: &mut [u32]) -> Result {
    let live = match inode::load(volume, entry.ino, None) {
        Err(Error::NotFound) => return corrupt(dir.at, "entry of a free inode"),
        live => live?,
    };
    if entry.kind != inode::kind(live.mode()) {
        return corrupt(dir.at, "type of an entry");
    }
    if !dir::key_fits(volume.geometry(), entry) {
        return corrupt(dir.at, "hash of a name");
    }
    if live.is_dir() && (live.parent() != dir.ino() || live.ino() == volume.geometry().root()) {
        return corrupt(live.at, "parent of a directory");
    }
    let count = links.get_mut(entry.ino as usize).ok_or(Error::Invalid("scratch memory"))?;
    *count = count.saturating_add(1);
    Ok(())
}
