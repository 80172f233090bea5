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
    /// One write whose buffer ends after `good` bytes (EFAULT); `done` of them were written.
    Faulty {
        path: String,
        at: usize,
        good: usize,
        pattern: u64,
        done: usize,
    },
    /// fsync, when all is durable already.
    Fsync {
        path: String,
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

    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: usize) -> usize {
        (self.roll() % n.max(1) as u64) as usize
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> Option<&'a str> {
        from.get(self.below(from.len())).copied()
    }
}

/// The bytes that pattern `pattern` puts at `at`: never 0, and different for each word, so that a lost, stale or misplaced word shows.
pub fn bytes(pattern: u64, at: usize, len: usize) -> Vec<u8> {
    (at..at + len)
        .map(|n| {
            let word = Dice::new(pattern ^ (n as u64 / 8) << 20).roll();
            (word >> (n % 8 * 8)) as u8 | 1
        })
        .collect()
}

const MOST_NAMES: usize = 100;
const PAGE: usize = 4096;

/// What a step is drawn from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Draw {
    Create,
    Mkdir,
    Symlink,
    Link,
    /// At the end: small, of one block, of many.
    Append,
    /// Over old data, and over the end.
    Overwrite,
    /// Behind a hole.
    Sparse,
    Faulty,
    Store,
    Persist,
    Cut,
    Extend,
    Preallocate,
    /// To a new name, often in another directory.
    Rename,
    /// Over a file or an empty directory.
    Replace,
    Chmod,
    Touch,
    Nameless,
    Fsync,
    Sync,
    Unlink,
    Rmdir,
}

/// How often each is drawn, in a mixed plan.
pub const DRAWS: [(Draw, usize); 22] = [
    (Draw::Create, 14),
    (Draw::Mkdir, 6),
    (Draw::Symlink, 2),
    (Draw::Link, 4),
    (Draw::Append, 10),
    (Draw::Overwrite, 4),
    (Draw::Sparse, 3),
    (Draw::Faulty, 2),
    (Draw::Store, 3),
    (Draw::Persist, 3),
    (Draw::Cut, 3),
    (Draw::Extend, 2),
    (Draw::Preallocate, 2),
    (Draw::Rename, 5),
    (Draw::Replace, 4),
    (Draw::Chmod, 2),
    (Draw::Touch, 2),
    (Draw::Nameless, 1),
    (Draw::Fsync, 1),
    (Draw::Sync, 2),
    (Draw::Unlink, 5),
    (Draw::Rmdir, 3),
];

/// What a plan is about.
#[derive(Clone, Debug)]
pub struct Theme {
    /// Put before every name at the top.
    pub prefix: String,
    /// Drawn at every other step where possible. Without it, no step is drawn whose outcome only the kernel knows.
    pub focus: Option<Draw>,
    /// Bytes of the longest file.
    pub longest: usize,
}

/// Yields each step with the tree before it.
pub struct Plan {
    dice: Dice,
    tree: Tree,
    names: u64,
    steps: u64,
    theme: Theme,
    /// The step that was yielded last: not yet in the tree, as its outcome may depend on the kernel.
    last: Option<Step>,
}

impl Plan {
    pub fn new(seed: u64) -> Self {
        Plan::of(seed, Theme { prefix: String::new(), focus: None, longest: 300_000 })
    }

    pub fn of(seed: u64, theme: Theme) -> Self {
        Plan { dice: Dice::new(seed), tree: Tree::default(), names: 0, steps: 0, theme, last: None }
    }

    /// The last step wrote so many bytes.
    pub fn wrote(&mut self, bytes: usize) {
        if let Some(Step::Faulty { done, .. }) = &mut self.last {
            *done = bytes;
        }
    }

    /// The tree after the last step.
    pub fn after(&mut self) -> &Tree {
        if let Some(step) = self.last.take() {
            self.tree.apply(&step);
        }
        &self.tree
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
        let top = format!("{}{name}{long}", self.theme.prefix);
        match self.dice.below(3) {
            0 => top,
            _ => self.dice.pick(&shallow).map_or(top, |dir| format!("{dir}/{name}{long}")),
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

    fn write(&mut self, draw: Draw) -> Option<Step> {
        let path = self.file()?;
        let size = self.tree.content(&path)?.len();
        let pattern = self.dice.roll();
        let small = 1 + self.dice.below(1500);
        let large = 1 + self.dice.below(self.theme.longest / 2);
        let (at, len) = match (draw, self.dice.below(4)) {
            (Draw::Append, 0 | 1) => (size, small),
            (Draw::Append, 2) => (size, PAGE),
            (Draw::Append, _) => (size, large),
            (Draw::Overwrite, 0 | 1) => (self.dice.below(size), small),
            (Draw::Overwrite, _) => (self.dice.below(size), large.min(20_000)),
            (Draw::Faulty, _) => (self.dice.below(size + PAGE), 1 + self.dice.below(3 * PAGE)),
            _ => (size + self.dice.below(3 * PAGE), small),
        };
        let step = match draw {
            Draw::Faulty => Step::Faulty { path, at, good: len, pattern, done: len },
            _ => Step::Write { path, at, len, pattern },
        };
        (at + len <= self.theme.longest).then_some(step)
    }

    fn store(&mut self, draw: Draw) -> Option<Step> {
        let path = self.file()?;
        let size = self.tree.content(&path)?.len();
        let pattern = self.dice.roll();
        let at = self.dice.below(size);
        let len = (1 + self.dice.below(3 * PAGE)).min(size.checked_sub(at)?);
        let step = match draw {
            Draw::Store => Step::Store { path, at, len, pattern },
            _ => Step::Persist { path, at, len, pattern },
        };
        (len > 0).then_some(step)
    }

    fn resize(&mut self, draw: Draw) -> Option<Step> {
        let path = self.file()?;
        let size = self.tree.content(&path)?.len();
        let longest = self.theme.longest;
        match (draw, self.dice.below(3)) {
            (Draw::Preallocate, _) => {
                Some(Step::Preallocate { path, len: (size + self.dice.below(8 * PAGE) + 1).min(longest) })
            }
            (Draw::Extend, _) => Some(Step::Truncate { path, len: (size + self.dice.below(3 * PAGE)).min(longest) }),
            (_, 0) => Some(Step::Truncate { path, len: 0 }),
            _ => Some(Step::Truncate { path, len: self.dice.below(size) }),
        }
    }

    fn rename(&mut self, draw: Draw) -> Option<Step> {
        let from = self.any()?;
        let inside = format!("{from}/");
        let is_dir = self.tree.get(&from)?.kind == Kind::Dir;
        let to = match draw {
            Draw::Rename => self.fresh(),
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

    fn remove(&mut self, draw: Draw) -> Option<Step> {
        let dirs = draw == Draw::Rmdir;
        let all = self.tree.paths(|i| (i.kind == Kind::Dir) == dirs);
        let path = self.dice.pick(&all)?.to_owned();
        match dirs {
            true => self.tree.is_empty_dir(&path).then_some(Step::Rmdir { path }),
            false => Some(Step::Unlink { path }),
        }
    }

    fn attribute(&mut self, draw: Draw) -> Option<Step> {
        let path = self.any()?;
        match (draw, &self.tree.get(&path)?.kind) {
            (_, Kind::Symlink(_)) => None,
            (Draw::Chmod, _) => Some(Step::Chmod { path, mode: 0o700 | self.dice.below(0o100) as u32 }),
            (_, Kind::File(_)) => Some(Step::Touch { path, mtime: self.dice.roll() % 4_000_000_000_000_000_000 }),
            _ => None,
        }
    }

    fn choose(&mut self) -> Draw {
        match self.theme.focus {
            Some(draw) if self.steps % 2 > 0 && self.dice.below(4) > 0 => return draw,
            _ => {}
        }
        let mut left = self.dice.below(DRAWS.iter().map(|(_, weight)| weight).sum());
        let found = DRAWS.iter().find(|(_, weight)| {
            let here = left < *weight;
            left = left.saturating_sub(*weight);
            here
        });
        match found.map_or(Draw::Create, |(draw, _)| *draw) {
            Draw::Faulty if self.theme.focus.is_none() => Draw::Append,
            draw => draw,
        }
    }

    fn draw(&mut self) -> Option<Step> {
        let draw = self.choose();
        if self.tree.names.len() >= MOST_NAMES
            && matches!(draw, Draw::Create | Draw::Mkdir | Draw::Symlink | Draw::Link)
        {
            return None;
        }
        match draw {
            Draw::Create => Some(Step::Create { path: self.fresh(), mode: 0o600 | self.dice.below(0o100) as u32 }),
            Draw::Mkdir => Some(Step::Mkdir { path: self.fresh(), mode: 0o700 | self.dice.below(0o100) as u32 }),
            Draw::Symlink => {
                let target = "t".repeat(1 + self.dice.below(300));
                Some(Step::Symlink { path: self.fresh(), target })
            }
            Draw::Link => Some(Step::Link { from: self.file()?, to: self.fresh() }),
            Draw::Append | Draw::Overwrite | Draw::Sparse | Draw::Faulty => self.write(draw),
            Draw::Store | Draw::Persist => self.store(draw),
            Draw::Cut | Draw::Extend | Draw::Preallocate => self.resize(draw),
            Draw::Rename | Draw::Replace => self.rename(draw),
            Draw::Chmod | Draw::Touch => self.attribute(draw),
            Draw::Nameless => Some(Step::Nameless { len: 1 + self.dice.below(30_000), pattern: self.dice.roll() }),
            Draw::Fsync => Some(Step::Fsync { path: self.file()? }),
            Draw::Sync => Some(Step::Sync),
            Draw::Unlink | Draw::Rmdir => self.remove(draw),
        }
    }
}

impl Iterator for Plan {
    type Item = (Tree, Step);

    /// The tree before the step, and the step. Never ends.
    fn next(&mut self) -> Option<Self::Item> {
        let before = self.after().clone();
        loop {
            if let Some(step) = self.draw() {
                self.steps += 1;
                self.last = Some(step.clone());
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
        assert_eq!(kinds.len(), 17, "{kinds:?}");
    }

    #[test]
    fn a_theme_comes_often_and_names_have_its_prefix() {
        let theme = Theme { prefix: "p3-".into(), focus: Some(Draw::Faulty), longest: 40_000 };
        let mut plan = Plan::of(5, theme);
        let faulty = plan.by_ref().take(60).filter(|(_, s)| matches!(s, Step::Faulty { .. })).count();
        assert!(faulty > 10, "{faulty}");
        assert!(plan.after().names.keys().all(|path| path.starts_with("p3-")));
    }

    #[test]
    fn a_write_that_fails_midway_counts_as_far_as_it_came() {
        let mut plan = Plan::of(5, Theme { prefix: String::new(), focus: Some(Draw::Faulty), longest: 40_000 });
        let (before, step) = plan.by_ref().find(|(_, s)| matches!(s, Step::Faulty { .. })).unwrap();
        plan.wrote(0);
        assert_eq!(plan.after(), &before, "{step:?}");
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
