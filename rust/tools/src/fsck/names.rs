// SPDX-License-Identifier: GPL-2.0

//! fsck.pfnfs: the names of the inodes that have problems. Found by another walk, so that a check without problems needs no
//! memory for names.

use std::collections::{HashMap, HashSet};

use pfnfs_core::media::{format, Geometry, Result};
use pfnfs_core::meta::inode::{kind, S_IFDIR};
use pfnfs_core::meta::walk::{Problem, Visitor};
use pfnfs_core::meta::{dir, Open, Volume};

use super::survey;
use crate::image::Image;
use crate::overlay::Overlay;

/// Directories are followed upwards so far.
const DEPTH_MAX: usize = 1024;

/// Directory and name of inodes: all directories, and the wanted ones.
#[derive(Default)]
pub struct Names {
    wanted: HashSet<u64>,
    found: HashMap<u64, (u64, Vec<u8>)>,
}

impl Visitor for Names {
    fn entry(&mut self, dir: u64, entry: &dir::Entry<'_>) {
        if entry.kind == kind(S_IFDIR) || self.wanted.contains(&entry.ino) {
            self.found.entry(entry.ino).or_insert_with(|| (dir, entry.name.to_vec()));
        }
    }

    fn problem(&mut self, _problem: &Problem) -> Result {
        Ok(())
    }
}

/// Finds the names for these problems.
pub fn find(image: &Image, geometry: &Geometry, problems: &[Problem]) -> Names {
    let wanted: HashSet<u64> = problems.iter().filter_map(|problem| problem.ino).collect();
    let mut names = Names { wanted, found: HashMap::new() };
    if !names.wanted.is_empty() {
        let overlay = Overlay::new(image, geometry);
        // What cannot be found has no name: the problems themselves are known already.
        let volume = Volume::open_in_spite(overlay, *geometry, Open::ReadOnly, &mut |_| Ok(()));
        let _ = volume.and_then(|volume| survey::walk(&volume, &mut names));
    }
    names
}

impl Names {
    /// The path of an inode, if it has one.
    pub fn path(&self, ino: u64) -> Option<String> {
        let mut parts = Vec::new();
        let mut ino = ino;
        while ino != format::ROOT_INO {
            let (dir, name) = self.found.get(&ino)?;
            parts.push(name.escape_ascii().to_string());
            if parts.len() > DEPTH_MAX {
                return None;
            }
            ino = *dir;
        }
        parts.reverse();
        Some(format!("/{}", parts.join("/")))
    }
}
