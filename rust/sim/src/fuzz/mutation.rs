// SPDX-License-Identifier: GPL-2.0

//! Changes of an image, by what they hit rather than by position, so that they keep their meaning when bases change a little.
//!
//! Text form, one change per line; numbers are decimal, bytes hexadecimal, an index counts modulo what the base has:
//!
//! ```text
//! inode 5 88 set 00100000 [raw|identity] [logged]        bytes at an offset of the sixth inode
//! node 2 0 copy node 7 0 4096 [raw|identity] [logged]    bytes of something else
//! forge 3 <patches>                                      a record that counts, in the fourth half of the log
//! size 4096                                              a smaller device
//! ```
//!
//! Checksums are made right again, but not with `raw`; `identity` also makes numbers and addresses right that say where
//! something is. With `logged` the change is not in place, but in a record that counts.

use std::fmt;
use std::str::FromStr;

use pfnfs_core::media::format::{self, Chunk, Inode, Node, Record, Slot, Super};
use pfnfs_core::media::{check, BLOCK};
use pfnfs_core::meta::log::header_crc;
use pfnfs_core::plat::crc32c;
use zerocopy::{FromBytes, FromZeros, IntoBytes};

use super::arena::Arena;
use super::base::{self, Base, Kind, Spot, KINDS};

/// Most bytes of patches in a forged record.
const PATCHES: usize = 1000;

/// Where a change goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub kind: Kind,
    pub index: u32,
    pub offset: u32,
}

/// What is made right afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fix {
    Nothing,
    Sum,
    Identity,
}

/// What goes there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bytes {
    Set(Vec<u8>),
    Copy { from: Place, len: u32 },
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mutation {
    Edit { place: Place, bytes: Bytes, fix: Fix, logged: bool },
    Forge { half: u32, patches: Vec<u8> },
    Size(u64),
}

impl Place {
    /// The thing, if the base has any of this kind.
    pub fn spot(&self, base: &Base) -> Option<Spot> {
        let spots = base.spots(self.kind);
        spots.get((self.index as usize).checked_rem(spots.len())?).copied()
    }

    fn at(&self, base: &Base) -> Option<u64> {
        Some(self.spot(base)?.at + u64::from(self.offset))
    }
}

/// Makes all changes: first those that go into the log, then those in place.
pub fn apply(arena: &Arena, base: &Base, mutations: &[Mutation]) {
    let logged = |mutation: &&Mutation| matches!(mutation, Mutation::Edit { logged: true, .. });
    mutations.iter().filter(logged).for_each(|mutation| edit(arena, base, mutation));
    let changes = arena.differences();
    arena.restore();
    let mut log = Log { arena, base, newest: base.newest };
    if !changes.is_empty() {
        log.changes(&changes);
    }
    for mutation in mutations.iter().filter(|mutation| !logged(mutation)) {
        match mutation {
            Mutation::Edit { .. } => edit(arena, base, mutation),
            Mutation::Forge { half, patches } => {
                log.append(*half, patches);
            }
            Mutation::Size(size) => arena.shrink(*size as usize),
        }
    }
}

fn edit(arena: &Arena, base: &Base, mutation: &Mutation) {
    let Mutation::Edit { place, bytes, fix, .. } = mutation else { return };
    let (Some(spot), Some(at)) = (place.spot(base), place.at(base)) else { return };
    match bytes {
        Bytes::Set(bytes) => arena.poke(at, bytes),
        Bytes::Copy { from, len } => {
            let Some(from) = from.at(base) else { return };
            arena.poke(at, &arena.peek(from, *len as usize));
        }
    }
    let kind = place.kind;
    if *fix == Fix::Identity {
        identify(arena, base, kind, spot);
    }
    if *fix != Fix::Nothing {
        seal(arena, kind, spot.at);
        if kind == Kind::Symlink {
            seal_target(arena, base, spot);
        }
    }
}

/// Makes the checksum of a long symlink right, which its inode has.
fn seal_target(arena: &Arena, base: &Base, link: Spot) {
    let Some(at) = base.spots(Kind::Inode).iter().find(|spot| spot.ino == link.ino).map(|spot| spot.at) else { return };
    change(arena, at, |inode: &mut Inode| {
        let target = arena.peek(link.at, inode.size.get().min(BLOCK) as usize);
        let crc = crc32c(check::target_seed(&uuid(arena), inode), &target);
        inode.inline[..4].copy_from_slice(&crc.to_le_bytes());
    });
    seal(arena, Kind::Inode, at);
}

/// Changes an object of the image.
fn change<T: FromBytes + IntoBytes + zerocopy::Immutable>(arena: &Arena, at: u64, f: impl FnOnce(&mut T)) {
    if let Ok(mut object) = T::read_from_bytes(&arena.peek(at, size_of::<T>())) {
        f(&mut object);
        arena.poke(at, object.as_bytes());
    }
}

/// Makes right what says where something is.
fn identify(arena: &Arena, base: &Base, kind: Kind, spot: Spot) {
    let at = spot.at;
    match kind {
        Kind::Inode => change(arena, at, |inode: &mut Inode| inode.ino = spot.ino.into()),
        Kind::Chunk => change(arena, at, |chunk: &mut Chunk| {
            let old: Chunk = base.read(at);
            (chunk.index, chunk.block) = (old.index, old.block);
        }),
        Kind::Node => change(arena, at, |node: &mut Node| {
            (node.block, node.owner) = ((at / BLOCK).into(), spot.ino.into());
            node.generation = base.read::<Node>(at).generation;
        }),
        Kind::Record => change(arena, at, |record: &mut Record| record.nonce = base.read::<Record>(at).nonce),
        _ => {}
    }
}

/// The uuid that the image's first superblock has.
fn uuid(arena: &Arena) -> [u8; 16] {
    Super::read_from_bytes(&arena.peek(0, size_of::<Super>())).map_or([0; 16], |sb| sb.uuid)
}

/// Makes the checksum of something right.
fn seal(arena: &Arena, kind: Kind, at: u64) {
    let uuid = uuid(arena);
    match kind {
        Kind::Super => change(arena, at, |sb: &mut Super| sb.crc = check::super_crc(sb, at).into()),
        Kind::Slot => change(arena, at, |slot: &mut Slot| slot.crc = check::slot_crc(&uuid, slot, at).into()),
        Kind::Chunk => change(arena, at, |chunk: &mut Chunk| chunk.crc = check::chunk_crc(&uuid, chunk, at).into()),
        Kind::Inode => change(arena, at, |inode: &mut Inode| inode.crc = check::inode_crc(&uuid, inode).into()),
        Kind::Record => seal_record(arena, at),
        Kind::Node => {
            let mut node = arena.peek(at, BLOCK as usize);
            if node.len() == BLOCK as usize {
                super::fix_sum(&mut node);
                arena.poke(at + 56, &node[56..64]);
            }
        }
        Kind::Half | Kind::Bitmap | Kind::Symlink | Kind::Data => {}
    }
}

fn seal_record(arena: &Arena, at: u64) {
    let header = arena.peek(at, size_of::<Record>());
    let Ok(mut record) = Record::read_from_bytes(&header) else { return };
    let bytes = arena.peek(at, (record.len.get() as usize).min(8192));
    let patches = crc32c(!0, bytes.get(header.len()..).unwrap_or_default());
    record.crc = header_crc(&record, patches, at).into();
    arena.poke(at, record.as_bytes());
}

/// Appends records that count.
struct Log<'a> {
    arena: &'a Arena,
    base: &'a Base,
    newest: u64,
}

impl Log<'_> {
    /// Appends a record to a half, or to one after it that has room. The slots say then that the log is in use.
    fn append(&mut self, half: u32, patches: &[u8]) -> bool {
        let geometry = &self.base.geometry;
        let slot_at = self.base.spots(Kind::Slot)[0].at;
        let Ok(slot) = Slot::read_from_bytes(&self.arena.peek(slot_at, size_of::<Slot>())) else { return false };
        let halves = geometry.lanes() * 2;
        let patches = &patches[..patches.len().min(PATCHES)];
        let len = (size_of::<Record>() + patches.len()) as u32;
        let image = self.arena.peek(0, self.base.image.len());
        for half in (0..halves).map(|skip| (half + skip) % halves) {
            let (lane, number) = (half / 2, (half % 2) as u8);
            let (_, end) = base::records(&image, geometry, slot.nonce.get(), lane, number);
            if end + len.next_multiple_of(64) > geometry.half_size() {
                continue;
            }
            self.newest += 1;
            let mut record = Record::new_zeroed();
            (record.len, record.seq, record.nonce) = (len.into(), self.newest.into(), slot.nonce);
            let at = geometry.half_at(lane, number) + u64::from(end);
            self.arena.poke(at, &[record.as_bytes(), patches].concat());
            seal_record(self.arena, at);
            for spot in self.base.spots(Kind::Slot) {
                change(self.arena, spot.at, |slot: &mut Slot| slot.state = format::SLOT_DIRTY.into());
                seal(self.arena, Kind::Slot, spot.at);
            }
            return true;
        }
        false
    }

    /// Appends records that make these changes.
    fn changes(&mut self, changes: &[(u64, Vec<u8>)]) {
        let mut patches = Vec::new();
        for (at, bytes) in changes {
            for (index, piece) in bytes.chunks(PATCHES - 8).enumerate() {
                let at = at + (index * (PATCHES - 8)) as u64;
                let next = self.patches(at, piece);
                if patches.len() + next.len() > PATCHES {
                    self.append(0, &std::mem::take(&mut patches));
                }
                patches.extend(next);
            }
        }
        self.append(0, &patches);
    }

    /// The patches of one change: of a bitmap bit by bit, otherwise the bytes.
    fn patches(&self, at: u64, bytes: &[u8]) -> Vec<u8> {
        let Some(group) = self.base.spots(Kind::Bitmap).iter().find(|spot| spot.at / BLOCK == at / BLOCK) else {
            return [&patch(at, bytes.len() as u64, format::PATCH_WRITE)[..], bytes].concat();
        };
        let mut patches = Vec::new();
        for (index, byte) in bytes.iter().enumerate() {
            let place = at as usize + index;
            for bit in (0..8).filter(|bit| (byte ^ self.base.image[place]) >> bit & 1 != 0) {
                let kind = if byte >> bit & 1 != 0 { format::PATCH_SET } else { format::PATCH_CLEAR };
                patches.extend(patch(group.at, 8, kind));
                patches.extend((((place as u64 - group.at) * 8) as u32 + bit).to_le_bytes());
                patches.extend(1u32.to_le_bytes());
            }
        }
        patches
    }
}

/// The head of a patch.
pub fn patch(at: u64, len: u64, kind: u8) -> [u8; 8] {
    let high = u64::from(kind) << format::PATCH_LEN_BITS | len & ((1 << format::PATCH_LEN_BITS) - 1);
    (at & ((1 << format::PATCH_AT_BITS) - 1) | high << format::PATCH_AT_BITS).to_le_bytes()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = text.chars().map(|digit| digit.to_digit(16).map(|digit| digit as u8)).collect();
    let digits = digits.filter(|digits| digits.len() % 2 == 0)?;
    Some(digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}

impl fmt::Display for Place {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{} {} {}", KINDS[self.kind as usize].1, self.index, self.offset)
    }
}

impl fmt::Display for Mutation {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Mutation::Edit { place, bytes, fix, logged } => {
                match bytes {
                    Bytes::Set(bytes) => write!(to, "{place} set {}", hex(bytes))?,
                    Bytes::Copy { from, len } => write!(to, "{place} copy {from} {len}")?,
                }
                match fix {
                    Fix::Nothing => write!(to, " raw")?,
                    Fix::Sum => {}
                    Fix::Identity => write!(to, " identity")?,
                }
                if *logged {
                    write!(to, " logged")
                } else {
                    Ok(())
                }
            }
            Mutation::Forge { half, patches } => write!(to, "forge {half} {}", hex(patches)),
            Mutation::Size(size) => write!(to, "size {size}"),
        }
    }
}

fn place(words: &mut std::str::SplitWhitespace<'_>, kind: &str) -> Option<Place> {
    let kind = KINDS.iter().find(|(_, name)| *name == kind)?.0;
    Some(Place { kind, index: words.next()?.parse().ok()?, offset: words.next()?.parse().ok()? })
}

fn parse(line: &str) -> Option<Mutation> {
    let mut words = line.split_whitespace();
    let first = words.next()?;
    let mutation = match first {
        "size" => Mutation::Size(words.next()?.parse().ok()?),
        "forge" => Mutation::Forge { half: words.next()?.parse().ok()?, patches: unhex(words.next().unwrap_or(""))? },
        _ => {
            let place = place(&mut words, first)?;
            let bytes = match words.next()? {
                "set" => Bytes::Set(unhex(words.next()?)?),
                "copy" => {
                    let kind = words.next()?;
                    Bytes::Copy { from: self::place(&mut words, kind)?, len: words.next()?.parse().ok()? }
                }
                _ => return None,
            };
            let (mut fix, mut logged) = (Fix::Sum, false);
            for word in words.by_ref() {
                match word {
                    "raw" => fix = Fix::Nothing,
                    "identity" => fix = Fix::Identity,
                    "logged" => logged = true,
                    _ => return None,
                }
            }
            Mutation::Edit { place, bytes, fix, logged }
        }
    };
    words.next().is_none().then_some(mutation)
}

impl FromStr for Mutation {
    type Err = String;

    fn from_str(line: &str) -> Result<Self, String> {
        parse(line).ok_or_else(|| format!("not a change of an image: {line}"))
    }
}
