// SPDX-License-Identifier: GPL-2.0

//! What is done to a hostile image: open, walk, finish orphans, use files and directories, walk again, close, open again.
//!
//! Errors are welcome. Not so: panics (also of arithmetic that overflows), accesses outside the media or without end (the arena
//! sees to both), and damage that was not there before: an image that the checker accepts is one that it accepts afterwards.

use std::collections::BTreeSet;

use pfnfs_core::media::{Error, Geometry, Result};
use pfnfs_core::meta::file::How;
use pfnfs_core::meta::inode::{S_IFDIR, S_IFLNK, S_IFREG};
use pfnfs_core::meta::ops::What;
use pfnfs_core::meta::Open;

use super::arena::Arena;
use super::base::{self, Base, Kind, ROOT};
use super::files::Files;
use super::mutation::{Bytes, Mutation, Place};
use crate::plain::Plain;
use crate::random::Random;

/// Accesses to the media that one operation may need, per block of the media. A walk of an image that is full of directory entries
/// needs the most.
pub const ACCESSES_PER_BLOCK: u64 = 64;
/// Inodes that are used.
const USED: usize = 10;

/// How far an image came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Depth {
    /// Refused for its superblock.
    Super,
    /// Refused for its slots.
    Slots,
    /// Refused for a record of its log.
    Log,
    /// Refused for the bitmaps or the inode table.
    Table,
    /// Mounted; the checker finds something.
    Damaged,
    /// Mounted, and sound.
    Sound,
}

/// All depths with their names.
pub const DEPTHS: [(Depth, &str); 6] = [
    (Depth::Super, "super"),
    (Depth::Slots, "slots"),
    (Depth::Log, "log"),
    (Depth::Table, "table"),
    (Depth::Damaged, "damaged"),
    (Depth::Sound, "sound"),
];

/// What came of an image.
#[derive(Debug)]
pub struct Outcome {
    pub depth: Depth,
    /// Why something was refused as damaged.
    pub reasons: BTreeSet<&'static str>,
    /// Operations that succeeded, that were refused, and those of the latter that met damage.
    pub done: u64,
    pub refused: u64,
    pub damage: u64,
    /// Most accesses that an operation needed, and which.
    pub accesses: (u64, &'static str),
}

/// An image in use.
struct Run<'a> {
    arena: &'a Arena,
    random: Random,
    outcome: Outcome,
}

/// Opens the image in the arena and does everything to it.
///
/// # Errors
///
/// What must not be, in words; panics for what others see.
pub fn exercise(arena: &Arena, base: &Base, mutations: &[Mutation], seed: u64) -> std::result::Result<Outcome, String> {
    let outcome =
        Outcome { depth: Depth::Super, reasons: BTreeSet::new(), done: 0, refused: 0, damage: 0, accesses: (0, "") };
    let mut run = Run { arena, random: Random::new(seed), outcome };
    run.image(base, mutations)?;
    Ok(run.outcome)
}

impl Run<'_> {
    /// Does one thing, counts it, and bounds its work.
    fn step<T>(&mut self, name: &'static str, f: impl FnOnce() -> Result<T>) -> Result<T> {
        let blocks = self.arena.blocks();
        self.arena.allow(ACCESSES_PER_BLOCK * blocks);
        let result = f();
        self.outcome.accesses = self.outcome.accesses.max((self.arena.accesses(), name));
        self.arena.allow(u64::MAX);
        match &result {
            Ok(_) => self.outcome.done += 1,
            Err(Error::Corrupt { why, .. } | Error::Damaged(why)) => {
                self.outcome.refused += 1;
                self.outcome.damage += 1;
                self.outcome.reasons.insert(why);
            }
            Err(_) => self.outcome.refused += 1,
        }
        result
    }

    fn image(&mut self, base: &Base, mutations: &[Mutation]) -> std::result::Result<(), String> {
        let arena = self.arena;
        let Ok(geometry) = self.step("superblock", || Geometry::read(&arena)) else { return Ok(()) };
        arena.seal();
        let machine = Plain::new(arena, &geometry);
        let how = match self.random.below(16) {
            0 => Open::NoRecovery,
            1 => Open::ReadOnly,
            _ => Open::ReadWrite,
        };
        let files = match self.step("open", || Files::mount(&machine, geometry, how)) {
            Ok(files) => files,
            Err(Error::Invalid(why)) => return Err(format!("the mount says Invalid({why})")),
            Err(error) => {
                self.outcome.depth = depth(&error);
                return Ok(());
            }
        };
        let sound = self.step("walk", || base::check(&files.volume, &mut ())).is_ok();
        self.outcome.depth = if sound { Depth::Sound } else { Depth::Damaged };
        if how == Open::NoRecovery && arena.stores() > 0 {
            return Err("a mount without recovery has stored something".into());
        }
        if how != Open::ReadWrite {
            self.use_files(&files, base, mutations);
            return Ok(());
        }
        let _ = self.step("orphans", || files.finish_orphans());
        self.use_files(&files, base, mutations);
        let closed = self.step("close", || files.volume.close());
        self.again(sound, &geometry).and_then(|()| match closed {
            Err(error) if sound => Err(format!("a sound volume does not close: {error:?}")),
            _ => Ok(()),
        })
    }

    /// What was sound is still sound, also for who mounts it again.
    fn again(&mut self, sound: bool, geometry: &Geometry) -> std::result::Result<(), String> {
        let machine = Plain::new(self.arena, geometry);
        let files = self.step("open", || Files::mount(&machine, *geometry, Open::ReadWrite));
        let walked = files.and_then(|files| self.step("walk", || base::check(&files.volume, &mut ())));
        match walked {
            Err(error) if sound => Err(format!("sound before it was used, and now {error:?}")),
            _ => Ok(()),
        }
    }

    /// Uses what was changed, the root, and some others.
    fn use_files(&mut self, files: &Files<&Plain<&Arena>>, base: &Base, mutations: &[Mutation]) {
        let mut inos: Vec<u64> = mutations.iter().flat_map(|mutation| touched(base, mutation)).take(USED / 2).collect();
        inos.push(ROOT);
        while inos.len() < USED {
            inos.push(base.inos[self.random.below(base.inos.len())]);
        }
        let mut names = Vec::new();
        for ino in inos {
            match self.step("load", || files.is_dir(ino)) {
                Ok(true) => self.use_dir(files, ino, &mut names),
                Ok(false) => self.use_file(files, ino),
                Err(_) => {}
            }
        }
        let _ = self.step("checkpoint", || files.volume.checkpoint());
    }

    fn use_dir(&mut self, files: &Files<&Plain<&Arena>>, dir: u64, found: &mut Vec<(u64, Vec<u8>)>) {
        let names = self.step("readdir", || files.list(dir, 0, 200)).unwrap_or_default();
        let from = self.random.word() >> self.random.below(64);
        let _ = self.step("readdir", || files.list(dir, from, 20));
        let long = "y".repeat(self.random.below(240));
        let new = |index: u32| format!("fresh {index} {long}").into_bytes();
        let made = self.step("create", || files.create(dir, &new(0), S_IFREG | 0o644, What::File));
        if let Ok(ino) = made {
            let _ = self.step("write", || files.write(ino, 0, 6000));
            let _ = self.step("link", || files.link(dir, &new(1), ino));
        }
        let _ = self.step("mkdir", || files.create(dir, &new(2), S_IFDIR | 0o755, What::Dir));
        let _ = self.step("symlink", || files.create(dir, &new(3), S_IFLNK | 0o777, What::Symlink(&[b'l'; 180])));
        let _ = self.step("tmpfile", || files.tmpfile(dir, S_IFREG | 0o600));
        for (name, ino) in names.iter().take(5) {
            let to = self.random.below(4);
            match self.random.below(4) {
                0 => drop(self.step("rename", || files.rename(dir, name, dir, &new(to as u32)))),
                1 => {
                    if let Some((other, victim)) = found.get(self.random.below(found.len())) {
                        let _ = self.step("rename", || files.rename(dir, name, *other, victim));
                    }
                }
                2 => drop(self.step("chmod", || files.chmod(*ino, 0o600))),
                _ => drop(self.step("unlink", || files.unlink(dir, name, false))),
            }
        }
        found.extend(names.into_iter().skip(5).take(4).map(|(name, _)| (dir, name)));
    }

    fn use_file(&mut self, files: &Files<&Plain<&Arena>>, ino: u64) {
        let _ = self.step("read", || files.read(ino));
        for _ in 0..3 {
            let at = self.random.below(64) as u64;
            let large = self.random.word() >> (self.random.below(64));
            match self.random.below(9) {
                0 => drop(self.step("write", || files.write(ino, at * 700, 5000))),
                1 => drop(self.step("write", || files.write(ino, large, 10))),
                2 => drop(self.step("fallocate", || files.preallocate(ino, at, 4))),
                3 => drop(self.step("punch", || files.clear(ino, at * 700..at * 700 + 25_000, How::Punch))),
                4 => drop(self.step("zero", || files.clear(ino, at * 700..at * 700 + 25_000, How::Keep))),
                5 => drop(self.step("write fault", || files.fault(ino, at / 4, true, at % 2 == 0))),
                6 => drop(self.step("read fault", || files.fault(ino, at / 4, false, at % 2 == 0))),
                7 => drop(self.step("truncate", || files.truncate(ino, at * 900))),
                _ => drop(self.step("truncate", || files.truncate(ino, large))),
            }
        }
    }
}

/// The inodes that a mutation hits.
fn touched(base: &Base, mutation: &Mutation) -> Vec<u64> {
    let Mutation::Edit { place, bytes, .. } = mutation else { return Vec::new() };
    let ino = |place: &Place| place.spot(base).map(|spot| spot.ino).filter(|ino| *ino != 0);
    let mut inos: Vec<u64> = ino(place).into_iter().collect();
    match bytes {
        Bytes::Copy { from, .. } => inos.extend(ino(from)),
        // Perhaps an inode number.
        Bytes::Set(bytes) if place.kind == Kind::Node => {
            inos.extend(bytes.first_chunk().map(|bytes| u64::from_le_bytes(*bytes)));
        }
        Bytes::Set(_) => {}
    }
    inos
}

/// How far an image came whose mount ended with this error.
fn depth(error: &Error) -> Depth {
    match error {
        Error::Damaged(_) => Depth::Slots,
        Error::Corrupt { why, .. } if why.contains("slot") => Depth::Slots,
        Error::Corrupt { why, .. } if why.contains("record") => Depth::Log,
        Error::ReadOnly => Depth::Super,
        _ => Depth::Table,
    }
}
