// SPDX-License-Identifier: GPL-2.0

//! A case: a base, changes, the seed of what is done to it, and how far it comes. Its text form is a file of the corpus.

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{anyhow, bail, Context, Result};

use super::arena::Arena;
use super::base::Base;
use super::exercise::{exercise, Depth, Outcome, DEPTHS};
use super::generate;
use super::mutation::{self, Mutation};
use crate::random::{mix, Random};

/// A case.
#[derive(Clone, Debug)]
pub struct Case {
    /// Why it is kept.
    pub note: String,
    pub base: String,
    pub seed: u64,
    /// How far it comes; unknown if it is new, or fails.
    pub depth: Option<Depth>,
    pub mutations: Vec<Mutation>,
}

/// Every case of a directory, by name.
pub fn load_all(directory: &Path) -> Result<Vec<(PathBuf, Case)>> {
    let entries = std::fs::read_dir(directory).with_context(|| directory.display().to_string())?;
    let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    paths.sort();
    let load = |path: PathBuf| Ok((path.clone(), Case::load(&path).with_context(|| path.display().to_string())?));
    paths.into_iter().map(load).collect()
}

impl Case {
    /// Image `image` of a seed.
    pub fn of_seed(bases: &[Base], seed: u64, image: u64) -> Self {
        let mut random = Random::new(mix(seed) ^ image);
        let (base, mutations) = generate::image(bases, &mut random);
        let base = bases[base].name.into();
        Case { note: format!("image {image} of seed {seed}"), base, seed: random.word(), depth: None, mutations }
    }

    /// Reads a file.
    pub fn load(path: &Path) -> Result<Self> {
        let mut case = Case { note: String::new(), base: String::new(), seed: 0, depth: None, mutations: Vec::new() };
        for line in std::fs::read_to_string(path)?.lines() {
            match line.split_once(' ') {
                Some(("#", note)) => case.note = note.into(),
                Some(("base", base)) => case.base = base.into(),
                Some(("seed", seed)) => case.seed = seed.parse()?,
                Some(("depth", depth)) => {
                    let depth = DEPTHS.iter().find(|(_, name)| *name == depth);
                    case.depth = Some(depth.context("no such depth")?.0);
                }
                _ => case.mutations.push(line.parse().map_err(|error: String| anyhow!(error))?),
            }
        }
        if case.base.is_empty() {
            bail!("no base");
        }
        Ok(case)
    }

    /// The base.
    pub fn base<'a>(&self, bases: &'a [Base]) -> Result<&'a Base> {
        bases.iter().find(|base| base.name == self.base).with_context(|| format!("no base {}", self.base))
    }

    /// Makes the image in an arena of its base, and uses it: what came of it.
    ///
    /// # Errors
    ///
    /// What is wrong, in words. Panics of the core and of the arena are the other way to fail.
    pub fn run(&self, arena: &Arena, base: &Base) -> Result<Outcome, String> {
        arena.restore();
        mutation::apply(arena, base, &self.mutations);
        exercise(arena, base, &self.mutations, self.seed)
    }

    /// Leaves out what is not needed for `still` to hold.
    pub fn shortened(&self, still: impl Fn(&Case) -> bool) -> Case {
        let mut case = self.clone();
        let mut index = 0;
        while index < case.mutations.len() {
            let mut shorter = case.clone();
            shorter.mutations.remove(index);
            if still(&shorter) {
                case = shorter;
            } else {
                index += 1;
            }
        }
        case
    }
}

impl fmt::Display for Case {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(to, "# {}\nbase {}\nseed {}", self.note.replace('\n', " "), self.base, self.seed)?;
        if let Some((_, name)) = DEPTHS.iter().find(|(depth, _)| Some(*depth) == self.depth) {
            writeln!(to, "depth {name}")?;
        }
        self.mutations.iter().try_for_each(|mutation| writeln!(to, "{mutation}"))
    }
}
