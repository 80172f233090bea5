// SPDX-License-Identifier: GPL-2.0
//! What cuts leave, opened and compared with the model; and a sample of them for guests.
//!
//! Layer: [`crate::volume`] reads the tree, crash-load judges it.

use super::running::Running;
use crate::{images, volume};
use anyhow::{bail, Context, Result};
use crash_load::model::Tree;
use crash_load::suite;
use std::collections::{BTreeMap, VecDeque};
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use store_log::{Media, Rest};

pub struct Images<'a> {
    every: u64,
    out: &'a Path,
    /// The kept images, one line each.
    list: BTreeMap<u64, String>,
    /// Cuts seen in the workload of that number, of which one is kept.
    seen: (u64, u64),
    pub judged: u64,
    pub kept: usize,
}

impl<'a> Images<'a> {
    pub fn new(every: u64, out: &'a Path) -> Result<Self> {
        if every > 0 {
            fs::create_dir_all(out)?;
        }
        Ok(Images { every, out, list: BTreeMap::new(), seen: (0, 0), judged: 0, kept: 0 })
    }

    /// Opens what a cut leaves: its files must be those of the running workload, and of those that are over.
    pub fn judge(&mut self, media: &Media, rest: Rest, running: &Running, over: &VecDeque<Running>) -> Result<()> {
        self.judged += 1;
        let found = volume::tree(volume::Overlay::new(media, rest))?;
        let mut dirs = split(&found)?;
        for each in over.iter().chain([running]) {
            let dir = each.workload.dir();
            let tree = dirs.remove(&dir).with_context(|| format!("{dir} is missing"))?;
            suite::judge(&tree, &each.parts()).with_context(|| dir.clone())?;
        }
        match dirs.keys().next() {
            Some(dir) => bail!("{dir} should not be there"),
            None => Ok(()),
        }
    }

    /// Keeps one image of some workloads, each cut of them as likely as the others.
    pub fn keep(&mut self, media: &Media, running: &Running, position: u64, why: &str) -> Result<()> {
        let number = running.workload.number;
        if self.every == 0 || number % self.every != 0 {
            return Ok(());
        }
        let seen = if self.seen.0 == number { self.seen.1 + 1 } else { 1 };
        self.seen = (number, seen);
        let dice = crate::plan::mix(position);
        if dice % seen != 0 {
            return Ok(());
        }
        let rest = if dice >> 32 & 1 == 0 { Rest::Dropped } else { Rest::Seeded(position) };
        images::write(&self.out.join(format!("{number}.img")), &media.cut(rest))?;
        self.list.insert(number, format!("{number} {} {why} rest={rest:?}", running.state()));
        self.kept = self.list.len();
        let mut list = File::create(self.out.join("cuts"))?;
        self.list.values().try_for_each(|line| writeln!(list, "{line}"))?;
        Ok(())
    }
}

/// The directories at the top, each as a tree of its own.
fn split(found: &Tree) -> Result<BTreeMap<String, Tree>> {
    let mut dirs: BTreeMap<String, Tree> = BTreeMap::new();
    for (path, ino) in &found.names {
        let (dir, inside) = path.split_once('/').unwrap_or((path, ""));
        let tree = dirs.entry(dir.to_owned()).or_default();
        if let (false, Some(inode)) = (inside.is_empty(), found.inodes.get(ino)) {
            tree.add_found(inside.to_owned(), *ino, inode.clone());
        }
    }
    Ok(dirs)
}
