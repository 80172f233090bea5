// SPDX-License-Identifier: GPL-2.0

//! Directories: names to inode numbers, in the order of a keyed hash of the names, so that positions survive changes.
//!
//! An entry's key is 48 bits of hash and 8 bits that tell names of the same hash apart. It is the entry's position as well;
//! positions 0 and 1 are left to "." and "..", which have no entries. The directory's lock is held by the caller: shared for
//! `lookup` and `read`, alone for `insert` and `remove`, which are parts of operations of [`ops`](super::ops).

mod narrow;

use zerocopy::{FromZeros, IntoBytes};

use super::change::Change;
use super::inode::{self, Live};
use super::tree::{Entry as Slot, Head, Path, Tree, ENTRIES_MAX, KEY_END};
use super::{Machine, Volume};
use crate::media::format::{DirEntry, Inode, NAME_MAX};
use crate::media::{check, Error, Geometry, Pmem, Result};

pub use narrow::Narrow;

/// Bytes of an entry before the name.
const HEAD: u16 = size_of::<DirEntry>() as u16;
/// Names that can have the same hash.
const SAME: u64 = 256;

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// Inode number.
    pub ino: u64,
    /// Type, as `d_type`.
    pub kind: u8,
}

/// An entry, as [`read`] gives it.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// Its position. Reading goes on from `pos + 1`.
    pub pos: u64,
    /// Inode number.
    pub ino: u64,
    /// Type, as `d_type`.
    pub kind: u8,
    /// The name.
    pub name: &'a [u8],
}

/// Memory that [`read`] needs: keys and slots of one leaf, packed. About 1.4 KiB.
pub struct Scratch {
    keys: [u64; ENTRIES_MAX],
}

// A slot's number takes the 8 bits that a key leaves free.
const _: () = assert!(ENTRIES_MAX <= 256);
/// Bits of a key.
pub const KEY_BITS: u32 = 56;

impl Scratch {
    /// Scratch memory.
    pub const fn new() -> Self {
        Scratch { keys: [0; ENTRIES_MAX] }
    }
}

impl Default for Scratch {
    fn default() -> Self {
        Self::new()
    }
}

/// Checks that a name can be an entry's.
pub fn valid(name: &[u8]) -> Result {
    if name.len() > NAME_MAX {
        return Err(Error::NameTooLong);
    }
    if name.is_empty() || matches!(name, b"." | b"..") || name.iter().any(|byte| matches!(byte, 0 | b'/')) {
        return Err(Error::Invalid("name"));
    }
    Ok(())
}

/// SipHash-1-3 of the name: who does not know the key cannot make names collide.
fn siphash(key: &[u8; 16], name: &[u8]) -> u64 {
    let half =
        |from: usize| key.get(from..).and_then(|half| half.first_chunk()).map_or(0, |half| u64::from_le_bytes(*half));
    let (k0, k1) = (half(0), half(8));
    let mut v = [
        k0 ^ 0x736f_6d65_7073_6575,
        k1 ^ 0x646f_7261_6e64_6f6d,
        k0 ^ 0x6c79_6765_6e65_7261,
        k1 ^ 0x7465_6462_7974_6573,
    ];
    let round = |v: [u64; 4]| {
        let [mut a, mut b, mut c, mut d] = v;
        a = a.wrapping_add(b);
        b = b.rotate_left(13) ^ a;
        a = a.rotate_left(32);
        c = c.wrapping_add(d);
        d = d.rotate_left(16) ^ c;
        a = a.wrapping_add(d);
        d = d.rotate_left(21) ^ a;
        c = c.wrapping_add(b);
        b = b.rotate_left(17) ^ c;
        c = c.rotate_left(32);
        [a, b, c, d]
    };
    let words = name.chunks_exact(8);
    let mut last = [0u8; 8];
    for (target, byte) in last.iter_mut().zip(words.remainder()) {
        *target = *byte;
    }
    let [.., length] = &mut last;
    *length = name.len() as u8;
    for word in words.chain([&last[..]]) {
        let word = word.first_chunk().map_or(0, |word| u64::from_le_bytes(*word));
        let [a, b, c, d] = v;
        let [a, b, c, d] = round([a, b, c, d ^ word]);
        v = [a ^ word, b, c, d];
    }
    let [a, b, c, d] = v;
    let [a, b, c, d] = round(round(round([a, b, c ^ 0xff, d])));
    a ^ b ^ c ^ d
}

/// First key of the names with this name's hash. Never 0: positions 0 and 1 are taken.
fn first_key(geometry: &Geometry, name: &[u8]) -> u64 {
    (siphash(geometry.hash_seed(), name) >> 16).max(1) << 8
}

/// Whether an entry lies where its name's hash says.
pub(in crate::meta) fn key_fits(geometry: &Geometry, entry: &Entry<'_>) -> bool {
    entry.pos & !0xff == first_key(geometry, entry.name)
}

/// What a search for a name ends with.
struct Search {
    /// The entry: its leaf's path, its slot, its head.
    found: Option<(Path, Slot, DirEntry)>,
    /// A key for a new entry of this name.
    free: Option<u64>,
    /// Where the search ended.
    last: Option<Path>,
}

/// Looks for a name, in another entry than the one with key `but` (0: in any). Reads entries of the same hash only.
fn search_but(media: &impl Pmem, geometry: &Geometry, tree: &Tree, name: &[u8], but: u64) -> Result<Search> {
    let first = first_key(geometry, name);
    let end = first.saturating_add(SAME);
    let fingerprint = tree.order.fingerprint(first);
    let mut taken = [0u64; 4];
    let mut from = first;
    let last = loop {
        let path = tree.descend(media, geometry, from)?;
        let mut slot = 0u16;
        while let Some(leaf) = path.leaf {
            let Some(entry) = leaf.next_match(media, fingerprint, slot)? else { break };
            slot = entry.slot.saturating_add(1);
            if entry.key & !0xff != first {
                continue;
            }
            let head = head(media, geometry, &leaf, &entry)?;
            let other = entry.key != but && usize::from(head.len) == name.len();
            if other && same_name(media, &leaf, &entry, name)? {
                return Ok(Search { found: Some((path, entry, head)), free: None, last: None });
            }
            let bit = entry.key & 0xff;
            if let Some(word) = taken.get_mut((bit / 64) as usize) {
                *word |= 1 << (bit % 64);
            }
        }
        if path.hi >= end {
            break Some(path);
        }
        from = path.hi;
    };
    let mut free = taken.iter().zip([0u64, 64, 128, 192]).filter(|(word, _)| **word != u64::MAX);
    let free = free.next().map(|(word, base)| first | base.saturating_add(u64::from(word.trailing_ones())));
    Ok(Search { found: None, free, last })
}

/// Looks for a name in all entries.
fn search(media: &impl Pmem, geometry: &Geometry, tree: &Tree, name: &[u8]) -> Result<Search> {
    search_but(media, geometry, tree, name, 0)
}

/// Whether another entry has the name of this one. Only names of one hash can be equal.
pub(in crate::meta) fn twin<M: Machine>(volume: &Volume<M>, dir: &Live, entry: &Entry<'_>) -> Result<bool> {
    let tree = inode::tree(&dir.raw);
    Ok(search_but(volume.media(), volume.geometry(), &tree, entry.name, entry.pos)?.found.is_some())
}

/// Finds the entry at a position, for a repair.
pub(in crate::meta) fn at_position(
    media: &impl Pmem,
    geometry: &Geometry,
    dir: &Inode,
    pos: u64,
) -> Result<(Path, Slot, DirEntry)> {
    let path = inode::tree(dir).descend(media, geometry, pos)?;
    let leaf = path.leaf.ok_or(Error::NotFound)?;
    for index in 0..leaf.count {
        let entry = leaf.entry(media, index)?;
        if entry.key == pos {
            let head = head(media, geometry, &leaf, &entry)?;
            return Ok((path, entry, head));
        }
    }
    Err(Error::NotFound)
}

/// Reads and validates the head of an entry.
fn head(media: &impl Pmem, geometry: &Geometry, leaf: &Head, entry: &Slot) -> Result<DirEntry> {
    let at = leaf.at(entry.offset);
    let head: DirEntry = media.read(at)?;
    check::dir_entry(geometry, &head, at)?;
    Ok(head)
}

/// Compares an entry's name with one of the same length.
fn same_name(media: &impl Pmem, leaf: &Head, entry: &Slot, name: &[u8]) -> Result<bool> {
    let mut buffer = [0u8; 64];
    let mut at = leaf.at(entry.offset.saturating_add(HEAD));
    for piece in name.chunks(buffer.len()) {
        let Some(stored) = buffer.get_mut(..piece.len()) else { break };
        media.read_bytes(at, stored)?;
        if stored != piece {
            return Ok(false);
        }
        at = at.saturating_add(piece.len() as u64);
    }
    Ok(true)
}

fn must_be_dir(dir: &Live) -> Result {
    if dir.is_dir() {
        Ok(())
    } else {
        Err(Error::NotDir)
    }
}

/// Looks up a name. The directory's lock is held, shared at least.
///
/// # Errors
///
/// `NotDir`, `NameTooLong`, `Corrupt`, `Poison`.
pub fn lookup<M: Machine>(volume: &Volume<M>, dir: &Live, name: &[u8]) -> Result<Option<Found>> {
    must_be_dir(dir)?;
    if name.len() > NAME_MAX {
        return Err(Error::NameTooLong);
    }
    let search = search(volume.media(), volume.geometry(), &inode::tree(&dir.raw), name)?;
    Ok(search.found.map(|(_, _, head)| Found { ino: head.ino.get(), kind: head.kind }))
}

/// Whether a directory has no entries.
pub fn is_empty<M: Machine>(_volume: &Volume<M>, dir: &Live) -> bool {
    dir.raw.root.get() == 0
}

/// Calls `each` with the entries from position `from` on, in order, until it returns false. The directory's lock is held,
/// shared at least.
///
/// # Errors
///
/// `NotDir`, `Corrupt`, `Poison`.
pub fn read<M: Machine>(
    volume: &Volume<M>,
    dir: &Live,
    from: u64,
    scratch: &mut Scratch,
    each: &mut dyn FnMut(Entry<'_>) -> bool,
) -> Result {
    must_be_dir(dir)?;
    let (media, geometry) = (volume.media(), volume.geometry());
    let tree = inode::tree(&dir.raw);
    let mut from = from;
    if tree.root == 0 {
        return Ok(());
    }
    loop {
        let path = tree.descend(media, geometry, from)?;
        if let Some(leaf) = path.leaf {
            let count = sorted_keys(media, &leaf, path.lo, path.hi, scratch)?;
            let keys = scratch.keys.get(..count).unwrap_or_default();
            for packed in keys.iter().filter(|packed| **packed >> 8 >= from) {
                if !emit(media, geometry, &leaf, (*packed & 0xff) as u16, each)? {
                    return Ok(());
                }
            }
        }
        if path.hi == KEY_END {
            return Ok(());
        }
        from = path.hi;
    }
}

/// Fills `scratch` with keys and slots of a leaf's entries in order of keys, returns their number. All keys are in `lo..hi`.
pub(in crate::meta) fn sorted_keys(
    media: &impl Pmem,
    leaf: &Head,
    lo: u64,
    hi: u64,
    scratch: &mut Scratch,
) -> Result<usize> {
    let corrupt = Err(Error::Corrupt { at: leaf.at(0), why: "keys of a directory leaf" });
    let count = usize::from(leaf.count);
    let Some(keys) = scratch.keys.get_mut(..count) else { return corrupt };
    if keys.is_empty() {
        return corrupt;
    }
    for (index, place) in (0u16..).zip(keys.iter_mut()) {
        let entry = leaf.entry(media, index)?;
        if !(lo..hi).contains(&entry.key) || entry.key >> KEY_BITS != 0 {
            return corrupt;
        }
        *place = entry.key << 8 | u64::from(index);
    }
    // Shellsort: no recursion, no panic.
    for gap in [57, 23, 10, 4, 1] {
        for start in gap..count {
            let mut index = start;
            while let Some(before) = index.checked_sub(gap) {
                let (Some(a), Some(b)) = (keys.get(before).copied(), keys.get(index).copied()) else { break };
                if a <= b {
                    break;
                }
                if let Some(place) = keys.get_mut(before) {
                    *place = b;
                }
                if let Some(place) = keys.get_mut(index) {
                    *place = a;
                }
                index = before;
            }
        }
    }
    if keys.windows(2).any(|pair| matches!(pair, [a, b] if a >> 8 == b >> 8)) {
        return corrupt;
    }
    Ok(count)
}

/// Reads the entry of a slot and gives it to `each`.
fn emit(
    media: &impl Pmem,
    geometry: &Geometry,
    leaf: &Head,
    slot: u16,
    each: &mut dyn FnMut(Entry<'_>) -> bool,
) -> Result<bool> {
    let entry = leaf.entry(media, slot)?;
    show(media, geometry, leaf, &entry, each)
}

/// Reads an entry, checks its contents and gives it to `each`, whose answer it returns.
pub(in crate::meta) fn show<T>(
    media: &impl Pmem,
    geometry: &Geometry,
    leaf: &Head,
    entry: &Slot,
    each: impl FnOnce(Entry<'_>) -> T,
) -> Result<T> {
    let head = head(media, geometry, leaf, entry)?;
    let mut buffer = [0u8; NAME_MAX];
    let name = buffer.get_mut(..usize::from(head.len)).unwrap_or_default();
    media.read_bytes(leaf.at(entry.offset.saturating_add(HEAD)), name)?;
    if valid(name).is_err() {
        return Err(Error::Corrupt { at: leaf.at(entry.offset), why: "name of a directory entry" });
    }
    Ok(each(Entry { pos: head.key.get(), ino: head.ino.get(), kind: head.kind, name }))
}

/// Adds an entry to the new version of a directory's inode.
///
/// # Errors
///
/// `Exists`, `NoSpace`; `Invalid`, `NameTooLong` for what cannot be a name.
pub(in crate::meta) fn insert<M: Machine>(
    change: &mut Change<'_, '_, M>,
    dir: &mut Inode,
    name: &[u8],
    found: Found,
) -> Result {
    let geometry = *change.geometry();
    let mut tree = inode::tree(dir);
    let search = search(change, &geometry, &tree, name)?;
    if search.found.is_some() {
        return Err(Error::Exists);
    }
    let key = search.free.ok_or(Error::NoSpace)?;
    let mut buffer = [0u8; HEAD as usize + NAME_MAX];
    let mut head = DirEntry::new_zeroed();
    head.key = key.into();
    head.ino = found.ino.into();
    head.kind = found.kind;
    head.len = name.len() as u8;
    let len = usize::from(HEAD).saturating_add(name.len());
    let entry = buffer.get_mut(..len).ok_or(Error::NameTooLong)?;
    let (start, rest) = entry.split_at_mut_checked(usize::from(HEAD)).ok_or(Error::NameTooLong)?;
    start.copy_from_slice(head.as_bytes());
    rest.copy_from_slice(name);
    match search.last {
        Some(path) if (path.lo..path.hi).contains(&key) => tree.insert_at(change, &path, entry)?,
        _ => tree.insert(change, entry)?,
    }
    inode::set_tree(dir, &tree);
    dir.size = dir.size.get().saturating_add(1).into();
    Ok(())
}

/// Takes an entry out of the new version of a directory's inode. It must be this inode's.
///
/// # Errors
///
/// `NotFound` if the name does not exist or stands for another inode.
pub(in crate::meta) fn remove<M: Machine>(
    change: &mut Change<'_, '_, M>,
    dir: &mut Inode,
    name: &[u8],
    ino: u64,
) -> Result {
    let geometry = *change.geometry();
    let mut tree = inode::tree(dir);
    let search = search(change, &geometry, &tree, name)?;
    let (path, entry, head) = search.found.ok_or(Error::NotFound)?;
    if head.ino.get() != ino {
        return Err(Error::NotFound);
    }
    tree.remove(change, &path, &entry)?;
    inode::set_tree(dir, &tree);
    dir.size = dir.size.get().saturating_sub(1).into();
    Ok(())
}

/// Lets an existing name stand for another inode. It must be inode `before`'s.
///
/// # Errors
///
/// `NotFound` if the name does not exist or stands for another inode.
pub(in crate::meta) fn replace<M: Machine>(
    change: &mut Change<'_, '_, M>,
    dir: &mut Inode,
    name: &[u8],
    before: u64,
    found: Found,
) -> Result {
    let geometry = *change.geometry();
    let mut tree = inode::tree(dir);
    let search = search(change, &geometry, &tree, name)?;
    let (path, entry, mut head) = search.found.ok_or(Error::NotFound)?;
    if head.ino.get() != before {
        return Err(Error::NotFound);
    }
    head.ino = found.ino.into();
    head.kind = found.kind;
    let leaf = path.leaf.ok_or(Error::NotFound)?;
    // Inode number and type follow each other.
    tree.update(change, &leaf, &entry, 8, head.as_bytes().get(8..17).unwrap_or_default())?;
    Ok(())
}
