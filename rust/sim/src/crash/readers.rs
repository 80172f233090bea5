// SPDX-License-Identifier: GPL-2.0

//! Somebody who reads while others work: what finds inodes by number (a file handle can name any, also one that is being made
//! or freed at this moment) and what counts free space take no lock that the others have. Lookups and listings take that of
//! the directory. Whatever is read has to be something that is, or was; and nothing is ever taken for damage.

use std::rc::Rc;

use pfnfs_core::media::{Error, Result};
use pfnfs_core::meta::inode::{self, Live};
use pfnfs_core::meta::{dir, Volume};

use crate::fs::driver::ROOT;
use crate::random::Random;
use crate::world::{Lock, World};

/// Things that a reader does.
const ROUNDS: usize = 100;
/// Inode numbers that it looks for: those of the root and behind.
const NUMBERS: usize = 40;

/// A reader beside two CPUs.
pub struct Reader {
    pub world: World,
    pub volume: Rc<Volume<World>>,
    /// Directories that change, and what they are locked with.
    pub dirs: [(u64, Lock); 2],
    /// The first inode number that is free when it begins.
    pub next: u64,
    /// Nobody changes the root directory.
    pub fixed: bool,
    pub random: Random,
}

impl Reader {
    /// Reads for a while. Panics if something is wrong.
    pub fn run(mut self) {
        let root = inode::find(&self.volume, ROOT, None).expect("the root is there");
        let mut known: Vec<(u64, u32)> = Vec::new();
        for _ in 0..ROUNDS {
            match self.random.below(8) {
                0..=3 => {
                    // Mostly one that is given to a file about now.
                    let ino = match self.random.below(4) {
                        0 => ROOT + self.random.below(NUMBERS) as u64,
                        _ => self.next + self.random.below(2) as u64,
                    };
                    known.extend(self.find(ino, None).map(|live| (ino, live.generation())));
                }
                4 if !known.is_empty() => {
                    // Another file has the number now, or none; this one does not come back.
                    let (ino, generation) = known[self.random.below(known.len())];
                    let found = self.find(ino, Some(generation));
                    assert!(found.is_none_or(|live| live.generation() == generation), "another file");
                    assert!(self.find(ino, Some(generation ^ 1 << 31)).is_none(), "a file that never was");
                }
                5 => {
                    let space = self.volume.space();
                    assert!(space.free <= space.blocks && space.free_inodes <= space.inodes, "{space:?}");
                }
                6 if self.fixed => self.list(&root).expect("the root can be listed"),
                _ => {
                    let (dir, lock) = self.dirs[self.random.below(2)];
                    self.world.locked(lock, || match inode::find(&self.volume, dir, None) {
                        Ok(dir) => self.list(&dir).expect("a directory can be listed"),
                        Err(error) => assert!(!self.fixed && error == Error::NotFound, "a directory: {error:?}"),
                    });
                }
            }
        }
    }

    /// Finds an inode by its number.
    fn find(&self, ino: u64, generation: Option<u32>) -> Option<Live> {
        match inode::find(&self.volume, ino, generation) {
            Ok(live) => {
                assert!(live.ino() == ino && live.nlink() > 0, "inode {ino}: {live:?}");
                Some(live)
            }
            Err(Error::NotFound) => None,
            Err(error) => panic!("inode {ino} by its number: {error:?}"),
        }
    }

    /// Lists a directory, and looks for what is in it. Its lock is held.
    fn list(&self, live: &Live) -> Result {
        let mut found = Vec::new();
        dir::read(&self.volume, live, 0, &mut dir::Scratch::new(), &mut |entry| {
            found.push((entry.name.to_vec(), entry.ino));
            true
        })?;
        assert_eq!(found.len() as u64, live.size(), "entries of a directory");
        for (name, ino) in found {
            let again = dir::lookup(&self.volume, live, &name)?;
            assert_eq!(again.map(|found| found.ino), Some(ino), "listing and lookup");
            assert!(self.find(ino, None).is_some(), "a name without an inode");
        }
        Ok(())
    }
}
