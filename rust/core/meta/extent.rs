// SPDX-License-Identifier: GPL-2.0

//! Extents: which blocks of the device hold a file's blocks. Up to five lie in the inode, more in a tree.
//!
//! Extents of a file never overlap, and those that continue each other are one. The inode's lock is held by the caller:
//! shared for `find`, alone for the rest, which are parts of operations of [`ops`](super::ops) and work on the new version of
//! the inode. What a removed extent pointed to is not freed here: the operation does that, in the same record.

use zerocopy::{FromBytes, FromZeros, IntoBytes};

use super::change::Change;
use super::inode::{self, Live};
use super::tree::{Entry, Head, Path, Tree};
use super::{Machine, Volume};
use crate::media::format::{self, Inode, INLINE_EXTENTS};
use crate::media::{check, Error, Geometry, Pmem, Result};

/// Blocks that a file can have: positions are below this.
pub const FILE_BLOCKS: u64 = 1 << 35;

/// Bytes of an extent.
const SIZE: usize = size_of::<format::Extent>();

/// What a position of a file is made of, from that position on. Lengths in blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// Nothing, up to the next extent or to [`FILE_BLOCKS`].
    Hole {
        /// Blocks.
        len: u64,
    },
    /// Blocks of the device.
    Data {
        /// Device block of the position.
        block: u64,
        /// Blocks.
        len: u32,
        /// Reads as zeroes: the bytes there are not the file's.
        unwritten: bool,
        /// Another file may refer to these blocks.
        shared: bool,
    },
}

/// A run of a file's blocks, in native integers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::meta) struct Run {
    pub(in crate::meta) file_block: u64,
    pub(in crate::meta) block: u64,
    pub(in crate::meta) len: u32,
    pub(in crate::meta) flags: u32,
}

impl Run {
    /// File block past the run. Runs are validated, or made of such: no overflow.
    pub(in crate::meta) fn end(&self) -> u64 {
        self.file_block.saturating_add(u64::from(self.len))
    }

    /// Whether the blocks are allocated but not written.
    pub(in crate::meta) fn unwritten(&self) -> bool {
        self.flags & format::EXTENT_UNWRITTEN != 0
    }

    /// The part of it in `from..to`, which it overlaps.
    pub(in crate::meta) fn part(&self, from: u64, to: u64) -> Run {
        let start = from.max(self.file_block);
        let end = to.min(self.end());
        let block = self.block.saturating_add(start.saturating_sub(self.file_block));
        Run { file_block: start, block, len: end.saturating_sub(start) as u32, flags: self.flags }
    }

    /// Whether `next` continues this run.
    fn continued_by(&self, next: &Run) -> bool {
        self.end() == next.file_block
            && self.block.saturating_add(u64::from(self.len)) == next.block
            && self.flags == next.flags
            && self.len.checked_add(next.len).is_some()
    }

    fn from_format(extent: &format::Extent) -> Self {
        Run {
            file_block: extent.file_block.get(),
            block: extent.block.get(),
            len: extent.len.get(),
            flags: extent.flags.get(),
        }
    }

    fn format(&self) -> format::Extent {
        format::Extent {
            file_block: self.file_block.into(),
            block: self.block.into(),
            len: self.len.into(),
            flags: self.flags.into(),
        }
    }
}

/// Where an extent lies.
#[derive(Clone, Copy, Debug)]
enum Place {
    Inline(usize),
    Tree(Path, Entry),
}

/// What `file_block` of a file is made of. The inode's lock is held, shared at least.
///
/// # Errors
///
/// `Invalid` if the inode is not a regular file; `Corrupt`, `Poison`.
pub fn find<M: Machine>(volume: &Volume<M>, file: &Live, file_block: u64) -> Result<Extent> {
    if !file.is_file() {
        return Err(Error::Invalid("not a regular file"));
    }
    map(volume.media(), volume.geometry(), &file.raw, file_block)
}

/// [`find`] on an inode as it lies on the media; also for the table inode.
pub(in crate::meta) fn map(media: &impl Pmem, geometry: &Geometry, raw: &Inode, file_block: u64) -> Result<Extent> {
    if let Some(run) = last_before(media, geometry, raw, file_block)? {
        if run.end() > file_block {
            let part = run.part(file_block, run.end());
            return Ok(Extent::Data {
                block: part.block,
                len: part.len,
                unwritten: part.unwritten(),
                shared: part.flags & format::EXTENT_SHARED != 0,
            });
        }
    }
    let next = first_from(media, geometry, raw, file_block)?;
    let end = next.map_or(FILE_BLOCKS, |run| run.file_block);
    Ok(Extent::Hole { len: end.saturating_sub(file_block) })
}

/// Calls `each` with all extents, in order.
pub(in crate::meta) fn each(
    media: &impl Pmem,
    geometry: &Geometry,
    raw: &Inode,
    each: &mut dyn FnMut(Run) -> Result,
) -> Result {
    if in_tree(raw) {
        return inode::tree(raw).each(media, geometry, &mut |leaf, entry| each(in_leaf(media, geometry, leaf, entry)?));
    }
    (0..inline_len(raw)).try_for_each(|index| each(inline(geometry, raw, index)?))
}

/// The last extent that starts at `file_block` or before.
pub(in crate::meta) fn last_before(
    media: &impl Pmem,
    geometry: &Geometry,
    raw: &Inode,
    file_block: u64,
) -> Result<Option<Run>> {
    Ok(locate_before(media, geometry, raw, file_block)?.map(|(run, _)| run))
}

/// The first extent that starts at `file_block` or behind.
pub(in crate::meta) fn first_from(
    media: &impl Pmem,
    geometry: &Geometry,
    raw: &Inode,
    file_block: u64,
) -> Result<Option<Run>> {
    Ok(locate_from(media, geometry, raw, file_block)?.map(|(run, _)| run))
}

/// Whether the extents of an inode are in a tree.
pub(in crate::meta) fn in_tree(raw: &Inode) -> bool {
    raw.flags.get() & format::INODE_TREE != 0
}

/// Inline extent `index`.
pub(in crate::meta) fn inline(geometry: &Geometry, raw: &Inode, index: usize) -> Result<Run> {
    let start = index.saturating_mul(SIZE);
    let bytes = raw.inline.get(start..start.saturating_add(SIZE)).unwrap_or_default();
    let extent = format::Extent::read_from_bytes(bytes).unwrap_or_default();
    check::extent(geometry, &extent, extent.block.get())?;
    Ok(Run::from_format(&extent))
}

/// Number of inline extents.
pub(in crate::meta) fn inline_len(raw: &Inode) -> usize {
    usize::from(raw.inline_len).min(INLINE_EXTENTS)
}

/// The extent that an entry of a leaf is. It was validated before.
pub(in crate::meta) fn run_at(media: &impl Pmem, leaf: &Head, entry: &Entry) -> Result<Run> {
    Ok(Run::from_format(&media.read(leaf.at(entry.offset))?))
}

fn read(media: &impl Pmem, geometry: &Geometry, found: Option<(Path, Entry)>) -> Result<Option<(Run, Place)>> {
    let Some((path, entry)) = found else { return Ok(None) };
    let Some(leaf) = path.leaf else { return Ok(None) };
    Ok(Some((in_leaf(media, geometry, &leaf, &entry)?, Place::Tree(path, entry))))
}

/// The extent that an entry of a leaf is.
fn in_leaf(media: &impl Pmem, geometry: &Geometry, leaf: &Head, entry: &Entry) -> Result<Run> {
    let at = leaf.at(entry.offset);
    let extent: format::Extent = media.read(at)?;
    check::extent(geometry, &extent, at)?;
    Ok(Run::from_format(&extent))
}

fn locate_before(media: &impl Pmem, geometry: &Geometry, raw: &Inode, file_block: u64) -> Result<Option<(Run, Place)>> {
    if in_tree(raw) {
        return read(media, geometry, inode::tree(raw).find_le(media, geometry, file_block)?);
    }
    let mut best = None;
    for index in 0..inline_len(raw) {
        let run = inline(geometry, raw, index)?;
        if run.file_block <= file_block {
            best = Some((run, Place::Inline(index)));
        }
    }
    Ok(best)
}

fn locate_from(media: &impl Pmem, geometry: &Geometry, raw: &Inode, file_block: u64) -> Result<Option<(Run, Place)>> {
    if in_tree(raw) {
        return read(media, geometry, inode::tree(raw).find_ge(media, geometry, file_block)?);
    }
    for index in 0..inline_len(raw) {
        let run = inline(geometry, raw, index)?;
        if run.file_block >= file_block {
            return Ok(Some((run, Place::Inline(index))));
        }
    }
    Ok(None)
}

/// The last extent that overlaps `from..to`, whole.
pub(in crate::meta) fn last_within(
    media: &impl Pmem,
    geometry: &Geometry,
    raw: &Inode,
    from: u64,
    to: u64,
) -> Result<Option<Run>> {
    let Some(last) = to.checked_sub(1).filter(|last| *last >= from) else { return Ok(None) };
    Ok(last_before(media, geometry, raw, last)?.filter(|run| run.end() > from))
}

/// Bytes of record that taking out the extent at `file_block` takes at most, if nothing is left of it.
pub(in crate::meta) fn removal_cost<M: Machine>(
    change: &Change<'_, '_, M>,
    raw: &Inode,
    file_block: u64,
) -> Result<usize> {
    Ok(match locate_before(change, change.geometry(), raw, file_block)? {
        Some((_, Place::Tree(path, entry))) => Tree::removal_cost(&path, &entry),
        _ => 0,
    })
}

/// Adds an extent where nothing is, as one with those that it continues.
pub(in crate::meta) fn add<M: Machine>(change: &mut Change<'_, '_, M>, raw: &mut Inode, run: Run) -> Result {
    let geometry = *change.geometry();
    let mut run = run;
    if let Some(next) = first_from(change, &geometry, raw, run.file_block)?.filter(|next| run.continued_by(next)) {
        if change.room() > removal_cost(change, raw, next.file_block)?.saturating_add(JOIN_COST) {
            remove(change, raw, next.file_block)?;
            run.len = run.len.saturating_add(next.len);
        }
    }
    match last_before(change, &geometry, raw, run.file_block)? {
        Some(before) if before.continued_by(&run) => {
            let len = before.len.saturating_add(run.len);
            set(change, raw, before.file_block, &Run { len, ..before })
        }
        _ => insert(change, raw, &run),
    }
}

/// Whether an extent continues the one before it.
pub(in crate::meta) fn joins<M: Machine>(change: &Change<'_, '_, M>, raw: &Inode, run: &Run) -> Result<bool> {
    let Some(last) = run.file_block.checked_sub(1) else { return Ok(false) };
    Ok(last_before(change, change.geometry(), raw, last)?.is_some_and(|before| before.continued_by(run)))
}

/// Bytes of record that `add` takes at most beside the removal of an extent.
const JOIN_COST: usize = 160;

/// Makes an extent cover less: takes `cut`, a part of it, out. `from` is where the extent starts.
pub(in crate::meta) fn carve<M: Machine>(
    change: &mut Change<'_, '_, M>,
    raw: &mut Inode,
    whole: &Run,
    cut: &Run,
) -> Result {
    let (head, tail) = (cut.file_block > whole.file_block, cut.end() < whole.end());
    let before = whole.part(whole.file_block, cut.file_block.max(whole.file_block));
    let after = whole.part(cut.end().min(whole.end()), whole.end());
    match (head, tail) {
        (false, false) => remove(change, raw, whole.file_block),
        (true, false) => set(change, raw, whole.file_block, &before),
        (false, true) => set(change, raw, whole.file_block, &after),
        (true, true) => {
            set(change, raw, whole.file_block, &before)?;
            insert(change, raw, &after)
        }
    }
}

fn insert<M: Machine>(change: &mut Change<'_, '_, M>, raw: &mut Inode, run: &Run) -> Result {
    let extent = run.format();
    if in_tree(raw) {
        let mut tree = inode::tree(raw);
        tree.insert(change, extent.as_bytes())?;
        inode::set_tree(raw, &tree);
        return Ok(());
    }
    let geometry = *change.geometry();
    let count = inline_len(raw);
    let mut all = [format::Extent::new_zeroed(); INLINE_EXTENTS + 1];
    let mut len = 0usize;
    for index in 0..count {
        let other = inline(&geometry, raw, index)?;
        if len == index && other.file_block > run.file_block {
            push(&mut all, &mut len, extent);
        }
        push(&mut all, &mut len, other.format());
    }
    if len == count {
        push(&mut all, &mut len, extent);
    }
    let bytes = all.as_bytes();
    if len <= INLINE_EXTENTS {
        raw.inline_len = len as u8;
        let used = bytes.get(..len.saturating_mul(SIZE)).unwrap_or_default();
        raw.inline.get_mut(..used.len()).unwrap_or_default().copy_from_slice(used);
        return Ok(());
    }
    let mut tree = inode::tree(raw);
    tree.fill(change, bytes, SIZE)?;
    raw.inline_len = 0;
    raw.inline.fill(0);
    raw.flags = (raw.flags.get() | format::INODE_TREE).into();
    inode::set_tree(raw, &tree);
    Ok(())
}

fn push(all: &mut [format::Extent], len: &mut usize, extent: format::Extent) {
    if let Some(place) = all.get_mut(*len) {
        *place = extent;
        *len = len.saturating_add(1);
    }
}

/// Keeps those of the inline extents that can be and ascend, for a repair.
pub(in crate::meta) fn mend_inline(geometry: &Geometry, raw: &mut Inode) {
    let mut all = [format::Extent::new_zeroed(); INLINE_EXTENTS + 1];
    let (mut len, mut end) = (0usize, 0u64);
    for index in 0..inline_len(raw) {
        let Ok(run) = inline(geometry, raw, index) else { continue };
        if run.file_block >= end {
            push(&mut all, &mut len, run.format());
            end = run.end();
        }
    }
    raw.inline.fill(0);
    raw.inline_len = len as u8;
    let used = all.as_bytes().get(..len.saturating_mul(SIZE)).unwrap_or_default();
    raw.inline.get_mut(..used.len()).unwrap_or_default().copy_from_slice(used);
}

/// The extent that starts at `file_block`, which is known to exist.
fn exact<M: Machine>(change: &Change<'_, '_, M>, raw: &Inode, file_block: u64) -> Result<(Run, Place)> {
    let found = locate_before(change, change.geometry(), raw, file_block)?;
    found.filter(|(run, _)| run.file_block == file_block).ok_or(Error::Invalid("no such extent"))
}

/// Takes out the extent that starts at `file_block`.
pub(in crate::meta) fn remove<M: Machine>(change: &mut Change<'_, '_, M>, raw: &mut Inode, file_block: u64) -> Result {
    match exact(change, raw, file_block)?.1 {
        Place::Inline(index) => {
            let start = index.saturating_mul(SIZE);
            if let Some(tail) = raw.inline.get_mut(start..INLINE_EXTENTS.saturating_mul(SIZE)) {
                tail.copy_within(SIZE.., 0);
                let end = tail.len().saturating_sub(SIZE);
                tail.get_mut(end..).unwrap_or_default().fill(0);
            }
            raw.inline_len = raw.inline_len.saturating_sub(1);
        }
        Place::Tree(path, entry) => {
            let mut tree = inode::tree(raw);
            tree.remove(change, &path, &entry)?;
            inode::set_tree(raw, &tree);
            if tree.root == 0 {
                raw.flags = (raw.flags.get() & !format::INODE_TREE).into();
            }
        }
    }
    Ok(())
}

/// Replaces the extent that starts at `file_block` by one that overlaps nothing else.
pub(in crate::meta) fn set<M: Machine>(
    change: &mut Change<'_, '_, M>,
    raw: &mut Inode,
    file_block: u64,
    run: &Run,
) -> Result {
    let (old, place) = exact(change, raw, file_block)?;
    let extent = run.format();
    match place {
        Place::Inline(index) => {
            let start = index.saturating_mul(SIZE);
            let target = raw.inline.get_mut(start..start.saturating_add(SIZE));
            target.ok_or(Error::Invalid("no such extent"))?.copy_from_slice(extent.as_bytes());
            Ok(())
        }
        Place::Tree(path, entry) if (path.lo..path.hi).contains(&run.file_block) => {
            let leaf = path.leaf.ok_or(Error::Invalid("no such extent"))?;
            let mut tree = inode::tree(raw);
            let bytes = extent.as_bytes();
            if (Run { len: run.len, ..old }) == *run {
                // Files grow at their end: the length alone.
                return tree.update(change, &leaf, &entry, 16, bytes.get(16..20).unwrap_or_default());
            }
            tree.update(change, &leaf, &entry, 0, bytes)
        }
        Place::Tree(..) => {
            remove(change, raw, file_block)?;
            insert(change, raw, run)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_join_as_long_as_their_length_can_be_said() {
        let run = |file_block: u64, len: u32| Run { file_block, block: 1000 + file_block, len, flags: 0 };
        let (most, one) = (u32::MAX, u64::from(u32::MAX));
        assert!(run(0, most - 1).continued_by(&run(one - 1, 1)));
        assert!(!run(0, most).continued_by(&run(one, 1)), "2^32 blocks");
        assert!(!run(0, 5).continued_by(&run(5, most - 4)), "2^32 + 1 blocks");
        assert!(!run(0, 5).continued_by(&run(6, 1)), "a hole between them");
        assert!(!run(0, 5).continued_by(&Run { block: 2000, ..run(5, 1) }), "elsewhere on the device");
        assert!(!run(0, 5).continued_by(&Run { flags: 1, ..run(5, 1) }), "of another kind");
    }
}
