// SPDX-License-Identifier: GPL-2.0

//! Inodes: a slot of 256 bytes in the inode table, and its copy in DRAM, [`Live`].
//!
//! The copy is what operations start from; they change it when their record is in place. Whoever has `&mut Live` holds the
//! inode's lock alone, whoever has `&Live` shares it. Extents and directory entries are in `extent` and `dir`.

use zerocopy::IntoBytes;

use super::change::Change;
use super::tree::{Order, Tree};
use super::{Machine, Volume};
use crate::media::format::{self, Inode, Time};
use crate::media::{check, Error, Geometry, Pmem, Result, BLOCK};
use crate::plat::crc32c;

/// Mask of the type in a mode.
pub const S_IFMT: u16 = 0o170_000;
/// Fifo.
pub const S_IFIFO: u16 = 0o010_000;
/// Character device.
pub const S_IFCHR: u16 = 0o020_000;
/// Directory.
pub const S_IFDIR: u16 = 0o040_000;
/// Block device.
pub const S_IFBLK: u16 = 0o060_000;
/// Regular file.
pub const S_IFREG: u16 = 0o100_000;
/// Symbolic link.
pub const S_IFLNK: u16 = 0o120_000;
/// Socket.
pub const S_IFSOCK: u16 = 0o140_000;

/// Largest number of links.
pub const LINKS_MAX: u32 = 65_000;
/// Largest size of a file in bytes.
pub const SIZE_MAX: u64 = 1 << 47;
/// Longest target of a symlink in bytes.
pub const SYMLINK_MAX: usize = 4095;

/// Bytes of the checksum of a target that has a block of its own.
pub(in crate::meta) const LINK_CRC: usize = 4;

/// The code of a file's type in a directory entry (`d_type`).
pub fn kind(mode: u16) -> u8 {
    (mode >> 12) as u8
}

/// Whether these are the type bits of a mode that a file can have.
fn known_type(mode: u16) -> bool {
    matches!(mode & S_IFMT, S_IFIFO | S_IFCHR | S_IFDIR | S_IFBLK | S_IFREG | S_IFLNK | S_IFSOCK)
}

/// Whether these type bits are those of a device node, a fifo or a socket.
pub(in crate::meta) fn special(kind: u16) -> bool {
    matches!(kind, S_IFIFO | S_IFCHR | S_IFBLK | S_IFSOCK)
}

/// Refuses times that cannot be.
pub(in crate::meta) fn valid_time(time: Time) -> Result {
    if time.nsec.get() < 1_000_000_000 {
        Ok(())
    } else {
        Err(Error::Invalid("nanoseconds"))
    }
}

/// What is left to do for an inode that the volume lists as an orphan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Orphan {
    /// Nothing: it is none.
    None,
    /// To be freed: [`ops::evict`](super::ops::evict).
    Unlinked,
    /// To be cut at its size: [`ops::finish_truncate`](super::ops::finish_truncate).
    Truncating,
}

/// The copy of an inode in DRAM.
///
/// Its times may be newer than those on the media: [`Live::touch`], [`Live::accessed`]. All else is on the media.
///
/// # Invariants
///
/// `raw` is what the slot at `at` has once all records are applied; it passed [`check::inode`] and [`shape`].
#[derive(Clone, Debug)]
pub struct Live {
    pub(in crate::meta) at: u64,
    pub(in crate::meta) raw: Inode,
    atime: Time,
    mtime: Time,
    ctime: Time,
}

impl Live {
    /// The copy of what lies at `at`.
    pub(in crate::meta) fn new(at: u64, raw: Inode) -> Self {
        Self { at, raw, atime: raw.atime, mtime: raw.mtime, ctime: raw.ctime }
    }

    /// What the next record of this inode starts from: as on the media, with the newer mtime and ctime. (atime, which nobody
    /// waits for, is [`ops::set_attr`](super::ops::set_attr)'s alone: it would make each record larger.)
    pub(in crate::meta) fn next(&self) -> Inode {
        Inode { mtime: self.mtime, ctime: self.ctime, ..self.raw }
    }

    /// A record has made `new` of it, which came from [`Live::next`].
    pub(in crate::meta) fn accept(&mut self, new: &Inode) {
        self.raw = *new;
        (self.mtime, self.ctime) = (new.mtime, new.ctime);
    }

    /// As [`Live::accept`], of a record that has set atime as well.
    pub(in crate::meta) fn accept_all(&mut self, new: &Inode) {
        self.accept(new);
        self.atime = new.atime;
    }

    /// Its contents have changed by no record. The times are durable with the next record of this inode, whichever that is.
    ///
    /// # Errors
    ///
    /// `Invalid` for times that cannot be.
    pub fn touch(&mut self, now: Time) -> Result {
        valid_time(now)?;
        (self.mtime, self.ctime) = (now, now);
        Ok(())
    }

    /// It was read. The time is durable with the next [`ops::set_attr`](super::ops::set_attr).
    ///
    /// # Errors
    ///
    /// As of [`Live::touch`].
    pub fn accessed(&mut self, now: Time) -> Result {
        valid_time(now)?;
        self.atime = now;
        Ok(())
    }

    /// Whether a time is newer than on the media.
    pub fn is_touched(&self) -> bool {
        (self.atime, self.mtime, self.ctime) != (self.raw.atime, self.raw.mtime, self.raw.ctime)
    }

    /// Inode number.
    pub fn ino(&self) -> u64 {
        self.raw.ino.get()
    }

    /// Type and permissions.
    pub fn mode(&self) -> u16 {
        self.raw.mode.get()
    }

    /// Size in bytes; of a directory, the number of its entries.
    pub fn size(&self) -> u64 {
        self.raw.size.get()
    }

    /// Links. A directory has 2 and one per directory in it.
    pub fn nlink(&self) -> u32 {
        self.raw.nlink.get()
    }

    /// Owner.
    pub fn uid(&self) -> u32 {
        self.raw.uid.get()
    }

    /// Group.
    pub fn gid(&self) -> u32 {
        self.raw.gid.get()
    }

    /// Which of the files that had this number it is.
    pub fn generation(&self) -> u32 {
        self.raw.generation.get()
    }

    /// Device number of a device node.
    pub fn rdev(&self) -> u32 {
        self.raw.rdev.get()
    }

    /// Blocks of 4 KiB that belong to it, those of its tree included.
    pub fn blocks(&self) -> u64 {
        self.raw.blocks.get()
    }

    /// The directory that this directory is in; 0 for other files.
    pub fn parent(&self) -> u64 {
        self.raw.parent.get()
    }

    /// Last access.
    pub fn atime(&self) -> Time {
        self.atime
    }

    /// Last change of the contents.
    pub fn mtime(&self) -> Time {
        self.mtime
    }

    /// Last change of the inode.
    pub fn ctime(&self) -> Time {
        self.ctime
    }

    /// Creation.
    pub fn btime(&self) -> Time {
        self.raw.btime
    }

    /// What is left to do if it is an orphan.
    pub fn orphan(&self) -> Orphan {
        match self.raw.orphan {
            format::ORPHAN_UNLINKED => Orphan::Unlinked,
            format::ORPHAN_TRUNCATING => Orphan::Truncating,
            _ => Orphan::None,
        }
    }

    /// Whether it is a directory.
    pub fn is_dir(&self) -> bool {
        self.mode() & S_IFMT == S_IFDIR
    }

    /// Whether it is a regular file.
    pub fn is_file(&self) -> bool {
        self.mode() & S_IFMT == S_IFREG
    }

    /// Whether it is a symlink.
    pub fn is_symlink(&self) -> bool {
        self.mode() & S_IFMT == S_IFLNK
    }

    /// The inode as it lies on the media, for tools.
    pub fn format(&self) -> &Inode {
        &self.raw
    }

    /// Position of the slot on the media, for messages.
    pub fn at(&self) -> u64 {
        self.at
    }
}

/// Reads a symlink's target from byte `from` on into `into`; returns the number of bytes, less than asked at its end.
///
/// # Errors
///
/// `Invalid` if it is no symlink.
pub fn read_link<M: Machine>(volume: &Volume<M>, link: &Live, from: u64, into: &mut [u8]) -> Result<usize> {
    if !link.is_symlink() {
        return Err(Error::Invalid("not a symlink"));
    }
    let len = link.size().saturating_sub(from).min(into.len() as u64) as usize;
    let start = from as usize;
    let Some(into) = into.get_mut(..len) else { return Ok(0) };
    if link.raw.root.get() == 0 {
        let target = link.raw.inline.get(start..start.saturating_add(len)).unwrap_or_default();
        into.get_mut(..target.len()).unwrap_or_default().copy_from_slice(target);
        return Ok(target.len());
    }
    check_target(volume, link)?;
    let mut at = link.raw.root.get().wrapping_mul(BLOCK).saturating_add(from);
    for piece in into.chunks_mut(256) {
        volume.media().read_bytes(at, piece)?;
        at = at.saturating_add(piece.len() as u64);
    }
    Ok(len)
}

/// Compares the target of a symlink that has a block of its own with its checksum.
pub(in crate::meta) fn check_target<M: Machine>(volume: &Volume<M>, link: &Live) -> Result {
    let at = link.raw.root.get().wrapping_mul(BLOCK);
    let mut crc = check::target_seed(volume.geometry().uuid(), &link.raw);
    let mut piece = [0u8; 256];
    let mut done = 0u64;
    while at != 0 && done < link.size() {
        let now = link.size().saturating_sub(done).min(piece.len() as u64);
        let piece = piece.get_mut(..now as usize).unwrap_or_default();
        volume.media().read_bytes(at.saturating_add(done), piece)?;
        crc = crc32c(crc, piece);
        done = done.saturating_add(now);
    }
    if at != 0 && link.raw.inline.first_chunk() != Some(&crc.to_le_bytes()) {
        return Err(Error::Corrupt { at, why: "checksum of a symlink" });
    }
    Ok(())
}

/// Reads an inode. The caller sees to it that no operation on it is under way.
///
/// # Errors
///
/// `NotFound` if the number is free, or given to a file of another generation than asked for; `Corrupt`, `Poison`.
#[inline(never)]
pub fn load<M: Machine>(volume: &Volume<M>, ino: u64, generation: Option<u32>) -> Result<Live> {
    let raw = slot(volume, ino)?;
    sound(volume, ino, raw, generation)
}

/// Reads the slot of a number; `NotFound` if the number is free.
fn slot<M: Machine>(volume: &Volume<M>, ino: u64) -> Result<Inode> {
    let at = volume.inode_at(ino)?;
    // The bit on the media, not the one in DRAM: that is set already while the inode is being created.
    let index = ino % format::CHUNK_INODES;
    let word: u64 = volume.media().read(volume.used_at(ino)?.wrapping_add((index / 64).wrapping_mul(8)))?;
    if u64::from_le(word) >> (index % 64) & 1 == 0 {
        return Err(Error::NotFound);
    }
    volume.media().read(at)
}

/// Makes a copy in DRAM of what was in a slot.
fn sound<M: Machine>(volume: &Volume<M>, ino: u64, raw: Inode, generation: Option<u32>) -> Result<Live> {
    let at = volume.inode_at(ino)?;
    check::inode(volume.geometry(), &raw, ino, at)?;
    shape(volume.geometry(), &raw, at)?;
    if generation.is_some_and(|generation| generation != raw.generation.get()) {
        return Err(Error::NotFound);
    }
    Ok(Live::new(at, raw))
}

/// Whether a number that is marked as free has an inode that was never freed: those that were have no links.
pub(in crate::meta) fn buried<M: Machine>(volume: &Volume<M>, ino: u64) -> bool {
    let Ok(at) = volume.inode_at(ino) else { return false };
    let Ok(raw) = volume.media().read::<Inode>(at) else { return false };
    let sound = check::inode(volume.geometry(), &raw, ino, at).is_ok() && shape(volume.geometry(), &raw, at).is_ok();
    sound && raw.nlink.get() > 0
}

/// What is left of a damaged inode: as it was, if no more than its magic or its number is wrong. If
/// these are right, fields that cannot be become some that can. `None` if there is nothing to go by.
pub(in crate::meta) fn mend(geometry: &Geometry, raw: &Inode, ino: u64) -> Option<Inode> {
    let named = raw.magic.get() == format::INODE_MAGIC && raw.ino.get() == ino;
    if !named {
        // Rot in what says which it is: the checksum tells whether all the rest is as it was.
        let new = Inode { magic: format::INODE_MAGIC.into(), ino: ino.into(), ..*raw };
        let whole = check::inode(geometry, &new, ino, 0).and_then(|()| shape(geometry, &new, 0));
        return whole.is_ok().then_some(new);
    }
    let kind = raw.mode.get() & S_IFMT;
    let link = kind == S_IFLNK;
    let target = raw.size.get() > 0 && raw.size.get() <= SYMLINK_MAX as u64;
    if !known_type(raw.mode.get()) || link && !target {
        return None;
    }
    let mut new = *raw;
    (new.reserved0, new.reserved1) = (0, [0; 4]);
    new.size = if kind == S_IFREG { raw.size.get().min(SIZE_MAX).into() } else { raw.size };
    new.blocks = raw.blocks.get().min(geometry.blocks()).into();
    for time in [&mut new.btime, &mut new.atime, &mut new.mtime, &mut new.ctime] {
        time.nsec = time.nsec.get().min(999_999_999).into();
    }
    if new.orphan > format::ORPHAN_TRUNCATING || kind == S_IFDIR && new.orphan == format::ORPHAN_TRUNCATING {
        new.orphan = format::ORPHAN_NONE;
    }
    let root = if geometry.holds(raw.root.get(), 1) { raw.root.get() } else { 0 };
    let tree = kind == S_IFREG && root != 0;
    if link && (root == 0) != (raw.size.get() <= format::INLINE_SYMLINK as u64) {
        return None;
    }
    new.root = if tree || link || kind == S_IFDIR { root } else { 0 }.into();
    new.level = if new.root.get() == 0 { 0 } else { raw.level };
    new.flags = if tree { format::INODE_TREE } else { 0 }.into();
    if tree || kind != S_IFREG && !link {
        new.inline_len = 0;
    }
    if link {
        new.inline_len = link_len(root, raw.size.get());
    }
    if kind == S_IFREG {
        new.inline_len = new.inline_len.min(format::INLINE_EXTENTS as u8);
    }
    if kind == S_IFDIR && !may_be(geometry, raw.parent.get()) {
        new.parent = geometry.root().into();
    }
    if new.nlink.get() == 0 && new.orphan != format::ORPHAN_UNLINKED {
        new.nlink = 1.into();
    }
    new.crc = check::inode_crc(geometry.uuid(), &new).into();
    shape(geometry, &new, 0).is_ok().then_some(new)
}

/// Whether an inode can have this number.
fn may_be(geometry: &Geometry, ino: u64) -> bool {
    ino < geometry.max_inodes() && ino % format::CHUNK_INODES >= format::CHUNK_HEADER_INODES
}

/// Reads an inode for whoever looks for it: as [`load`], but one without links is not found. Who has it open has it in memory, and
/// if nobody has, it waits to be freed.
///
/// The number may come from a file handle, so it can be any, also one that is being taken at this moment: its bit is set before
/// its slot is whole. So what makes no sense is looked at again when every record that was under way is in place, and is
/// corrupt if it is the same then. (A creation in between leaves another generation, torn or not.)
///
/// # Errors
///
/// As of [`load`].
// What it looks at should not be on the stack of a caller that goes on to do other things.
#[inline(never)]
pub fn find<M: Machine>(volume: &Volume<M>, ino: u64, generation: Option<u32>) -> Result<Live> {
    let mut seen = slot(volume, ino)?;
    loop {
        match sound(volume, ino, seen, generation) {
            Ok(live) if live.nlink() == 0 => return Err(Error::NotFound),
            Err(error @ Error::Corrupt { .. }) => {
                volume.pass_lanes();
                let again = slot(volume, ino)?;
                if again.as_bytes() == seen.as_bytes() {
                    return Err(error);
                }
                seen = again;
            }
            found => return found,
        }
    }
}

/// Bytes of the inline area that a symlink uses: its target, or the target's checksum.
fn link_len(root: u64, size: u64) -> u8 {
    if root == 0 {
        size as u8
    } else {
        LINK_CRC as u8
    }
}

/// Validates what depends on the type of the file.
fn shape(geometry: &Geometry, raw: &Inode, at: u64) -> Result {
    let corrupt = |why| Err(Error::Corrupt { at, why });
    let mode = raw.mode.get();
    let (root, tree) = (raw.root.get(), raw.flags.get() & format::INODE_TREE != 0);
    let inline = usize::from(raw.inline_len);
    if !known_type(mode) {
        return corrupt("type of an inode");
    }
    let (right, why) = match mode & S_IFMT {
        S_IFREG => {
            (inline <= format::INLINE_EXTENTS && tree == (root != 0) && !(tree && inline > 0), "extents of an inode")
        }
        S_IFDIR => {
            let known = may_be(geometry, raw.parent.get());
            (known && inline == 0 && !tree && raw.orphan != format::ORPHAN_TRUNCATING, "directory inode")
        }
        S_IFLNK => {
            let size = raw.size.get();
            let right = if root == 0 { size <= format::INLINE_SYMLINK as u64 } else { size <= SYMLINK_MAX as u64 };
            (size > 0 && right && !tree && raw.inline_len == link_len(root, size), "symlink inode")
        }
        _ => (root == 0 && !tree && inline == 0, "special inode"),
    };
    if !right {
        return corrupt(why);
    }
    if raw.nlink.get() == 0 && raw.orphan != format::ORPHAN_UNLINKED {
        return corrupt("inode without links");
    }
    Ok(())
}

/// The tree of an inode.
pub(in crate::meta) fn tree(raw: &Inode) -> Tree {
    let order = if raw.mode.get() & S_IFMT == S_IFDIR { Order::Hashed } else { Order::Sorted };
    let owner = (raw.ino.get(), raw.generation.get());
    Tree { owner, order, root: raw.root.get(), level: raw.level, nodes: 0 }
}

/// Puts a changed tree back into its inode.
pub(in crate::meta) fn set_tree(raw: &mut Inode, tree: &Tree) {
    raw.root = tree.root.into();
    raw.level = tree.level;
    raw.blocks = raw.blocks.get().saturating_add_signed(tree.nodes).into();
}

/// Stages what the new version of an inode changes, and sets its checksum.
pub(in crate::meta) fn stage<M: Machine>(change: &mut Change<'_, '_, M>, live: &Live, new: &mut Inode) -> Result {
    new.crc = check::inode_crc(change.geometry().uuid(), new).into();
    change.record().patch(live.at, &live.raw, new)
}

/// Stages a whole inode into a slot whose contents do not matter.
pub(in crate::meta) fn stage_new<M: Machine>(change: &mut Change<'_, '_, M>, live: &mut Live) -> Result {
    live.raw.crc = check::inode_crc(change.geometry().uuid(), &live.raw).into();
    *live = Live::new(live.at, live.raw);
    change.write(live.at, live.raw.as_bytes())
}
