// SPDX-License-Identifier: GPL-2.0
//! The steps of the workload, drawn from a seed.
//!
//! Layer: knows the model only. The same seed gives the same steps, so that the check needs no list.

use crate::model::{Kind, Tree};

/// One system call (or one mapped store with its msync). Offsets and lengths are in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    Create {
        path: String,
        mode: u32,
    },
    Mkdir {
        path: String,
        mode: u32,
    },
    Symlink {
        path: String,
        target: String,
    },
    Write {
        path: String,
        at: usize,
        len: usize,
        pattern: u64,
    },
    /// By a shared mapping, then msync.
    Store {
        path: String,
        at: usize,
        len: usize,
        pattern: u64,
    },
    /// By a MAP_SYNC mapping, then write-backs and a fence by the program itself: no system call.
    Persist {
        path: String,
        at: usize,
        len: usize,
        pattern: u64,
    },
    /// A file without a name (O_TMPFILE), left open with data.
    Nameless {
        len: usize,
        pattern: u64,
    },
    /// syncfs, for cuts in the midst of what it does.
    Sync,
    Truncate {
        path: String,
        len: usize,
    },
    /// fallocate that extends the file.
    Preallocate {
        path: String,
        len: usize,
    },
    Unlink {
        path: String,
    },
    Rmdir {
        path: String,
    },
    Link {
        from: String,
        to: String,
    },
    Rename {
        from: String,
        to: String,
    },
    Chmod {
        path: String,
        mode: u32,
    },
    Touch {
        path: String,
        mtime: u64,
    },
}

/// splitmix64.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Dice(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> Option<&'a str> {
        from.get(self.below(from.len())).copied()
    }
}

/// The bytes that pattern `pattern` puts at `at`: never 0, and different for each word, so that a lost, stale or misplaced word shows.
pub fn bytes(pattern: u64, at: usize, len: usize) -> Vec<u8> {
    (at..at + len)
        .map(|n| {
            let word = Dice::new(pattern ^ (n as u64 / 8) << 20).next();
            (word >> (n % 8 * 8)) as u8 | 1
        })
        .collect()
}

const MOST_NAMES: usize = 100;
const LONGEST_FILE: usize = 300_000;
const PAGE: usize = 4096;

/// Yields each step with the tree after it.
pub struct Plan {
    dice: Dice,
    tree: Tree,
    names: u64,
}

impl Plan {
    pub fn new(seed: u64) -> Self {
        Plan { dice: Dice::new(seed), tree: Tree::default(), names: 0 }
    }

    /// A fresh path in some directory; names of 1 to 200 bytes.
    fn fresh(&mut self) -> String {
        self.names += 1;
        let name = format!("n{}", self.names);
        let long = match self.dice.below(12) {
            0 => "x".repeat(self.dice.below(190)),
            1..=4 => "-a-middling-name".into(),
            _ => String::new(),
        };
        let dirs = self.tree.paths(|i| i.kind == Kind::Dir);
        let shallow: Vec<&str> = dirs.into_iter().filter(|p| p.matches('/').count() < 5 && p.len() < 900).collect();
        match self.dice.below(3) {
            0 => format!("{name}{long}"),
            _ => self.dice.pick(&shallow).map_or(name.clone(), |dir| format!("{dir}/{name}{long}")),
        }
    }

    fn file(&mut self) -> Option<String> {
        let files = self.tree.paths(|i| matches!(i.kind, Kind::File(_)));
        self.dice.pick(&files).map(str::to_owned)
    }

    fn any(&mut self) -> Option<String> {
        let all = self.tree.paths(|_| true);
        self.dice.pick(&all).map(str::to_owned)
    }

    fn write(&mut self) -> Option<Step> {
        let path = self.file()?;
        let size = self.tree.content(&path)?.len();
        let pattern = self.dice.next();
        let small = 1 + self.dice.below(1500);
        let (at, len) = match self.dice.below(8) {
            // Appends: small, of one block, of many.
            0..=2 => (size, small),
            3 => (size, PAGE),
            4 => (size, 1 + self.dice.below(150_000)),
            // Over old data, and over the end.
            5 => (self.dice.below(size), small),
            6 => (self.dice.below(size), 1 + self.dice.below(20_000)),
            // Behind a hole.
            _ => (size + self.dice.below(3 * PAGE), small),
        };
        (at + len <= LONGEST_FILE).then_some(Step::Write { path, at, len, pattern })
    }

    fn store(&mut self) -> Option<Step> {
        let path = self.file()?;
        let size = self.tree.content(&path)?.len();
        let pattern = self.dice.next();
        let at = self.dice.below(size);
        let len = (1 + self.dice.below(3 * PAGE)).min(size.checked_sub(at)?);
        let step = match self.dice.below(2) {
            0 => Step::Store { path, at, len, pattern },
            _ => Step::Persist { path, at, len, pattern },
        };
        (len > 0).then_some(step)
    }

    fn resize(&mut self) -> Option<Step> {
        let path = self.file()?;
        let size = self.tree.content(&path)?.len();
        match self.dice.below(4) {
            0 => Some(Step::Preallocate { path, len: (size + self.dice.below(8 * PAGE) + 1).min(LONGEST_FILE) }),
            1 => Some(Step::Truncate { path, len: (size + self.dice.below(3 * PAGE)).min(LONGEST_FILE) }),
            2 => Some(Step::Truncate { path, len: 0 }),
            _ => Some(Step::Truncate { path, len: self.dice.below(size) }),
        }
    }

    fn rename(&mut self) -> Option<Step> {
        let from = self.any()?;
        let inside = format!("{from}/");
        let is_dir = self.tree.get(&from)?.kind == Kind::Dir;
        let to = match self.dice.below(2) {
            0 => self.fresh(),
            _ if is_dir => {
                let dirs = self.tree.paths(|i| i.kind == Kind::Dir);
                let empty: Vec<&str> = dirs.into_iter().filter(|p| self.tree.is_empty_dir(p)).collect();
                self.dice.pick(&empty)?.to_owned()
            }
            _ => self.file()?,
        };
        // Two names of one inode: rename does nothing.
        let same = self.tree.names.get(&from) == self.tree.names.get(&to);
        let replaces_parent = from.starts_with(&format!("{to}/"));
        (!same && !replaces_parent && !to.starts_with(&inside)).then_some(Step::Rename { from, to })
    }

    fn remove(&mut self) -> Option<Step> {
        let path = self.any()?;
        match self.tree.get(&path)?.kind {
            Kind::Dir => self.tree.is_empty_dir(&path).then_some(Step::Rmdir { path }),
            _ => Some(Step::Unlink { path }),
        }
    }

    fn attribute(&mut self) -> Option<Step> {
        let path = self.any()?;
        let inode = self.tree.get(&path)?;
        match (self.dice.below(2), &inode.kind) {
            (_, Kind::Symlink(_)) => None,
            (0, _) => Some(Step::Chmod { path, mode: 0o700 | self.dice.below(0o100) as u32 }),
            (_, Kind::File(_)) => Some(Step::Touch { path, mtime: self.dice.next() % 4_000_000_000_000_000_000 }),
            _ => None,
        }
    }

    fn draw(&mut self) -> Option<Step> {
        let full = self.tree.names.len() >= MOST_NAMES;
        match self.dice.below(40) {
            0..=6 if !full => Some(Step::Create { path: self.fresh(), mode: 0o600 | self.dice.below(0o100) as u32 }),
            7..=9 if !full => Some(Step::Mkdir { path: self.fresh(), mode: 0o700 | self.dice.below(0o100) as u32 }),
            10 if !full => {
                let target = "t".repeat(1 + self.dice.below(300));
                Some(Step::Symlink { path: self.fresh(), target })
            }
            11 | 12 if !full => Some(Step::Link { from: self.file()?, to: self.fresh() }),
            13..=22 => self.write(),
            23..=25 => self.store(),
            26..=28 => self.resize(),
            29..=32 => self.rename(),
            33 | 34 => self.attribute(),
            36 => Some(Step::Sync),
            35 if self.dice.below(3) == 0 => {
                Some(Step::Nameless { len: 1 + self.dice.below(30_000), pattern: self.dice.next() })
            }
            _ => self.remove(),
        }
    }
}

impl Iterator for Plan {
    type Item = (Tree, Step);

    /// The tree before the step, and the step. Never ends.
    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(step) = self.draw() {
                let before = self.tree.clone();
                self.tree.apply(&step);
                return Some((before, step));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_seed_gives_the_same_steps_and_another_gives_others() {
        let steps = |seed| Plan::new(seed).take(200).map(|(_, s)| s).collect::<Vec<_>>();
        assert_eq!(steps(3), steps(3));
        assert_ne!(steps(3), steps(4));
    }

    #[test]
    fn every_kind_of_step_comes_soon() {
        let kinds: BTreeSet<String> =
            Plan::new(1).take(300).map(|(_, s)| format!("{s:?}").split(' ').next().unwrap_or("").to_owned()).collect();
        assert_eq!(kinds.len(), 16, "{kinds:?}");
    }

    #[test]
    fn patterns_have_no_zero_and_depend_on_the_place() {
        let all = bytes(7, 3, 5000);
        assert!(all.iter().all(|b| *b != 0));
        assert_eq!(bytes(7, 103, 10), all[100..110]);
        assert_ne!(bytes(8, 3, 64), all[..64]);
        assert_ne!(all[..64], all[64..128]);
    }
}
