// SPDX-License-Identifier: GPL-2.0
//! Compares a tree after a power cut with what must be there.
//!
//! Layer: the oracle. Every step that returned is there in full; the one under way is there in full, or not at all, or, where it may be
//! torn (data in place, a write of many blocks), in part.

use crate::model::{Inode, Kind, Tree};
use crate::observe;
use crate::run::{self, Markers};
use crate::step::{Plan, Step};
use anyhow::{bail, Context, Result};
use std::collections::BTreeMap;
use std::path::Path;

/// A write that grows a file does so by one record for each piece, and pieces end with blocks: within one block it is all or nothing.
const BLOCK: usize = 4096;

/// Which of the allowed states was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    Before,
    After,
    Torn,
}

pub fn all(dir: &Path, done: u64, begun: u64, seed: u64, further: u64) -> Result<String> {
    let mut plan = Plan::new(seed);
    let mut before = Tree::default();
    for _ in 0..done {
        let (mut tree, step) = plan.next().context("the plan ends")?;
        tree.apply(&step);
        before = tree;
    }
    let real = observe::tree(dir)?;
    let found = if begun == done {
        same(&before, &real)?;
        Found::Before
    } else {
        let (_, step) = plan.next().context("the plan ends")?;
        in_flight(&before, &step, &real).with_context(|| format!("step {begun} was under way: {step:?}"))?
    };
    if found == Found::Torn {
        return Ok(format!("{found:?}"));
    }
    let at = if found == Found::After { begun } else { done };
    go_on(dir, seed, at, further).with_context(|| format!("going on after step {at}"))?;
    Ok(format!("{found:?}"))
}

/// The file system must also be fit for use.
fn go_on(dir: &Path, seed: u64, at: u64, further: u64) -> Result<()> {
    let mut expected = None;
    rustix::process::umask(rustix::fs::Mode::empty());
    for (number, (mut tree, step)) in (1..=at + further).zip(Plan::new(seed)) {
        if number > at {
            run::one(dir, &step, &Markers { number, who: 0, root: None })
                .with_context(|| format!("step {number}, {step:?}"))?;
            tree.apply(&step);
            expected = Some(tree);
        }
    }
    match expected {
        Some(tree) => same(&tree, &observe::tree(dir)?),
        None => Ok(()),
    }
}

/// Equal but for inode numbers, which must only agree on what is one file, and times that nobody set.
pub fn same(expected: &Tree, real: &Tree) -> Result<()> {
    for path in expected.names.keys() {
        if !real.names.contains_key(path) {
            bail!("{path} is missing");
        }
    }
    let mut numbers = BTreeMap::new();
    for (path, ino) in &real.names {
        let Some(wanted) = expected.names.get(path) else { bail!("{path} should not be there") };
        if *numbers.entry(*wanted).or_insert(*ino) != *ino {
            bail!("{path} is no longer the same file as its other name");
        }
        if let (Some(a), Some(b)) = (expected.get(path), real.get(path)) {
            inode(a, b).with_context(|| path.clone())?;
        }
    }
    let distinct: std::collections::BTreeSet<_> = numbers.values().collect();
    if distinct.len() != numbers.len() {
        bail!("two files have become one");
    }
    Ok(())
}

fn inode(expected: &Inode, real: &Inode) -> Result<()> {
    match (&expected.kind, &real.kind) {
        (Kind::File(a), Kind::File(b)) => content(a, b)?,
        (a, b) if a != b => bail!("{b:?} instead of {a:?}"),
        _ => {}
    }
    if let (Some(a), Some(b)) = (expected.mode, real.mode) {
        if a != b {
            bail!("mode {b:o} instead of {a:o}");
        }
    }
    if expected.mtime.is_some() && expected.mtime != real.mtime {
        bail!("mtime {:?} instead of {:?}", real.mtime, expected.mtime);
    }
    Ok(())
}

fn content(expected: &[u8], real: &[u8]) -> Result<()> {
    if expected.len() != real.len() {
        bail!("{} bytes instead of {}", real.len(), expected.len());
    }
    match expected.iter().zip(real).position(|(a, b)| a != b) {
        Some(at) => {
            let wrong = expected.iter().zip(real).filter(|(a, b)| a != b).count();
            let zero = expected.iter().zip(real).filter(|(a, b)| a != b && **b == 0).count();
            bail!("{wrong} of {} bytes are wrong, {zero} of them zero, the first at {at}", real.len())
        }
        None => Ok(()),
    }
}

/// The state may be that before `step`, that after it, or a torn one that the step allows.
pub fn in_flight(before: &Tree, step: &Step, real: &Tree) -> Result<Found> {
    let mut after = before.clone();
    after.apply(step);
    let Err(not_before) = same(before, real) else {
        return Ok(Found::Before);
    };
    let Err(not_after) = same(&after, real) else {
        return Ok(Found::After);
    };
    match torn(before, &after, step, real) {
        Some(Ok(())) => Ok(Found::Torn),
        Some(Err(not_torn)) => {
            bail!("neither before ({not_before:#}), nor after ({not_after:#}), nor in part ({not_torn:#})")
        }
        None => bail!("neither before ({not_before:#}) nor after ({not_after:#})"),
    }
}

/// Checks a step that may be torn; `None` for others. Everything but the one file must be as before.
fn torn(before: &Tree, after: &Tree, step: &Step, real: &Tree) -> Option<Result<()>> {
    let (Step::Write { path, at, len, .. }
    | Step::Faulty { path, at, good: len, .. }
    | Step::Store { path, at, len, .. }
    | Step::Persist { path, at, len, .. }) = step
    else {
        return match step {
            Step::Preallocate { path, len } => Some(patched(before, path, real, |old, seen| {
                if seen.len() < old.len() || seen.len() > *len {
                    bail!("{} bytes, neither {} nor {len} nor between", seen.len(), old.len());
                }
                let mut grown = old.to_vec();
                grown.resize(seen.len(), 0);
                content(&grown, seen)
            })),
            _ => None,
        };
    };
    let new = after.content(path)?;
    Some(patched(before, path, real, |old, seen| {
        let grows = seen.len() > old.len();
        if seen.len() < old.len() || seen.len() > new.len() {
            bail!("{} bytes, neither {} nor {} nor between", seen.len(), old.len(), new.len());
        }
        let whole = seen.len() == new.len() || seen.len() % BLOCK == 0 || matches!(step, Step::Faulty { .. });
        if grows && !whole {
            bail!("an append is there in part, {} bytes, which do not end with a block", seen.len());
        }
        let range = *at..*at + *len;
        let wrong = seen.iter().enumerate().position(|(n, byte)| {
            // What lies within the new size was made durable before the size, what lies in the old one is either.
            let is_new = new.get(n) == Some(byte);
            let is_old = old.get(n) == Some(byte);
            !(is_new || (is_old && range.contains(&n)))
        });
        match wrong {
            Some(n) => bail!("byte {n} is neither old nor new"),
            None => Ok(()),
        }
    }))
}

/// `real` with `path`'s content judged by `judge(old, seen)` must otherwise be `before`.
fn patched(before: &Tree, path: &str, real: &Tree, judge: impl FnOnce(&[u8], &[u8]) -> Result<()>) -> Result<()> {
    let (Some(old), Some(seen)) = (before.content(path), real.content(path)) else { bail!("{path} is not a file") };
    judge(old, seen)?;
    let mut allowed = before.clone();
    if let Some(ino) = allowed.names.get(path) {
        if let Some(inode) = allowed.inodes.get_mut(ino) {
            *inode = Inode { kind: Kind::File(seen.to_vec().into()), mtime: None, ..inode.clone() };
        }
    }
    same(&allowed, real)
}

#[cfg(test)]
mod tests;
