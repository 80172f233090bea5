// SPDX-License-Identifier: GPL-2.0

//! Operations as data, and random ones that suit what there is.

use std::ops::Range;

use pfnfs_core::media::BLOCK;

use super::model::Model;
use super::Rng;

/// One operation.
#[derive(Clone, Debug)]
pub enum Op {
    Create(u64, Vec<u8>),
    Mkdir(u64, Vec<u8>),
    Symlink(u64, Vec<u8>, Vec<u8>),
    Fifo(u64, Vec<u8>),
    Link(u64, Vec<u8>, u64),
    Unlink(u64, Vec<u8>),
    Rename(u64, Vec<u8>, u64, Vec<u8>),
    /// Unlinks a file that stays open.
    UnlinkOpen(u64, Vec<u8>),
    /// Makes an open file without a name, near this inode.
    Tmpfile(u64),
    /// Closes an open file without a name.
    Close(u64),
    Write(u64, u64, Vec<u8>),
    /// Stores words through a mapping; whether that allows for huge pages.
    MapStore(u64, u64, Vec<u8>, bool),
    Fsync(u64),
    Truncate(u64, u64),
    Extend(u64, u64),
    Preallocate(u64, u64, u32),
    /// Bytes become a hole, as far as they are whole blocks.
    Punch(u64, Range<u64>),
    /// Bytes become zeroes, and the blocks stay.
    Zero(u64, Range<u64>),
    Chmod(u64, u16),
    /// Owner and group.
    Chown(u64, u32, u32),
    Checkpoint,
    /// Read-only, and back.
    Remount,
    /// Everything comes to rest, as before a freeze.
    Freeze,
}

impl Op {
    /// What it is about: inodes, and entries of directories.
    pub fn about(&self) -> (Vec<u64>, Vec<(u64, &[u8])>) {
        match self {
            Op::Create(dir, name) | Op::Mkdir(dir, name) | Op::Symlink(dir, name, _) | Op::Fifo(dir, name) => {
                (vec![*dir], vec![(*dir, name)])
            }
            Op::Unlink(dir, name) | Op::UnlinkOpen(dir, name) => (vec![*dir], vec![(*dir, name)]),
            Op::Link(dir, name, ino) => (vec![*dir, *ino], vec![(*dir, name)]),
            Op::Rename(from, name, to, other) => (vec![*from, *to], vec![(*from, name), (*to, other)]),
            Op::Write(ino, ..)
            | Op::MapStore(ino, ..)
            | Op::Fsync(ino)
            | Op::Close(ino)
            | Op::Tmpfile(ino)
            | Op::Truncate(ino, _)
            | Op::Extend(ino, _)
            | Op::Preallocate(ino, ..)
            | Op::Punch(ino, ..)
            | Op::Zero(ino, ..)
            | Op::Chmod(ino, _)
            | Op::Chown(ino, ..) => (vec![*ino], vec![]),
            Op::Checkpoint | Op::Remount | Op::Freeze => (vec![], vec![]),
        }
    }
}

impl Model {
    /// A random operation on what there is.
    pub fn random(&self, rng: &mut Rng, names: u64, long: bool, blocks: u64) -> Op {
        let name = |rng: &mut Rng| {
            let mut name = format!("n{}", rng.below(names)).into_bytes();
            if long {
                let len = 1 + rng.0 as usize % 8 * 36;
                name.resize(name.len().max(len.min(255)), b'x');
            }
            name
        };
        let dirs = self.dirs();
        let files = self.files();
        let dir = *rng.pick(&dirs).unwrap();
        let taken: Vec<Vec<u8>> = self.entries(dir).keys().cloned().collect();
        let taken = |rng: &mut Rng| rng.pick(&taken).cloned().unwrap_or_else(|| b"nothing".to_vec());
        let file = rng.pick(&files).copied();
        match (rng.below(20), file) {
            (0..=4, _) | (_, None) => Op::Create(dir, name(rng)),
            (5, _) if dirs.len() < 12 => Op::Mkdir(dir, name(rng)),
            (6, _) => Op::Symlink(dir, name(rng), vec![b't'; 1 + rng.below(300) as usize]),
            (7, Some(file)) => Op::Link(dir, name(rng), file),
            (8..=10, _) => Op::Unlink(dir, taken(rng)),
            (11 | 12, _) => Op::Rename(dir, taken(rng), *rng.pick(&dirs).unwrap(), name(rng)),
            (13 | 14, Some(file)) => {
                let len = 1 + rng.below(3 * BLOCK) as usize;
                let mut bytes = vec![0; len];
                bytes.fill_with(|| rng.draw() as u8 | 1);
                let pos = if rng.below(2) == 0 { self.data(file).len() as u64 } else { rng.below(blocks * BLOCK) };
                Op::Write(file, pos, bytes)
            }
            (15, Some(file)) => Op::Truncate(file, rng.below(self.data(file).len() as u64 + 1)),
            (16, Some(file)) => Op::Extend(file, self.data(file).len() as u64 + rng.below(2 * BLOCK)),
            (17, Some(file)) => Op::Preallocate(file, rng.below(blocks), 1 + rng.below(8) as u32),
            (18, Some(file)) => {
                let from = rng.below(blocks);
                Op::Punch(file, from * BLOCK..(from + rng.below(6)) * BLOCK)
            }
            (19, Some(file)) => Op::Chmod(file, rng.below(0o10000) as u16),
            (5, _) => Op::Fifo(dir, name(rng)),
            _ => Op::Checkpoint,
        }
    }
}
