// SPDX-License-Identifier: GPL-2.0

//! Memory that is lost under a mounted volume, and then the power. What is lost is a line, or a
//! free block, of a kind that the call `lose` names; it stays lost after the cut. A volume is
//! refused only for metadata that is lost, and what can be read is what it should be. Once the
//! memory is good again, so is everything.

use std::collections::BTreeSet;

use pfnfs_core::media::{format, Error, Geometry, LINE};
use pfnfs_core::meta::inode::Live;
use pfnfs_core::meta::walk::Visitor;
use pfnfs_core::meta::{dir, walk};

use super::open::{usual, Memory};
use crate::fs::driver::Driver;
use crate::fs::model::{Model, Node};
use crate::random::Random;
use crate::world::World;

/// Lines of a block.
const LINES: u64 = 64;

/// What was lost.
#[derive(Clone, Debug, Default)]
pub struct Lost {
    /// Numbers of lines.
    pub lines: BTreeSet<u64>,
    /// It is metadata that everything may need.
    pub metadata: bool,
    /// The file that it is data of.
    pub file: Option<u64>,
    /// Inodes of calls that failed for it: as they were, or as they should have become, or between
    /// the two.
    pub unsure: BTreeSet<u64>,
}

/// Where things lie.
#[derive(Default)]
struct Places {
    inodes: Vec<u64>,
    nodes: Vec<u64>,
    chunks: Vec<u64>,
    data: Vec<(u64, u64)>,
}

impl Visitor for Places {
    fn inode(&mut self, live: &Live) {
        self.inodes.push(live.at() / LINE);
        if live.is_symlink() && live.format().root.get() != 0 {
            self.nodes.push(live.format().root.get());
        }
    }

    fn extent(&mut self, ino: u64, _file_block: u64, block: u64, len: u32, _unwritten: bool) {
        let blocks = block..block + u64::from(len);
        if ino == format::TABLE_INO {
            self.chunks.extend(blocks.step_by(format::CHUNK_BLOCKS as usize));
        } else {
            self.data.extend(blocks.map(|block| (ino, block)));
        }
    }

    fn node(&mut self, _ino: u64, block: u64) {
        self.nodes.push(block);
    }
}

/// Loses something of a kind: which, `seed` says. `None` if there is nothing of the kind.
pub fn lose(world: &World, driver: &Driver<World>, kind: &str, seed: u64) -> Option<Lost> {
    let geometry = driver.volume.geometry();
    let mut places = Places::default();
    let mut blocks = vec![0; walk::Scratch::block_words(geometry)];
    let mut links = vec![0; walk::Scratch::link_words(&driver.volume)];
    let mut keys = dir::Scratch::new();
    let mut scratch = walk::Scratch { blocks: &mut blocks, links: &mut links, keys: &mut keys };
    walk::check(&driver.volume, &mut scratch, &mut places).expect("nothing is lost yet");
    let mut random = Random::new(seed);
    let mut lost = Lost { metadata: true, ..Lost::default() };
    let known = random.chance(128);
    match kind {
        "data" | "block" => {
            let (ino, block) = *places.data.get(random.below(places.data.len()))?;
            let lines = block * LINES..(block + 1) * LINES;
            let line = lines.start + random.below(LINES as usize) as u64;
            lost.lines.extend(if kind == "data" { line..line + 1 } else { lines });
            (lost.metadata, lost.file) = (false, Some(ino));
        }
        "free" => {
            let data = geometry.data();
            let used = |block: u64| blocks[(block / 64) as usize] >> (block % 64) & 1 != 0;
            let free: Vec<u64> = data.filter(|block| !used(*block)).collect();
            let block = *free.get(random.below(free.len().min(4)))?;
            lost.lines.extend(block * LINES..(block + 1) * LINES);
            // Whoever does not know that it is lost may put metadata there.
            lost.metadata = !known;
        }
        "node" => {
            let node = places.nodes.get(random.below(places.nodes.len()))?;
            lost.lines.insert(node * LINES + random.below(8) as u64);
        }
        "inode" => {
            let inode = places.inodes.get(random.below(places.inodes.len()))?;
            lost.lines.insert(inode + random.below(4) as u64);
        }
        "chunk" => {
            lost.lines.insert(places.chunks.get(random.below(places.chunks.len()))? * LINES);
        }
        "log" => {
            let lane = random.below(geometry.lanes() as usize) as u32;
            let half = geometry.half_at(lane, random.below(2) as u8) / LINE;
            lost.lines.insert(half + random.below((geometry.half_size() / 64) as usize) as u64);
        }
        "bitmap" => {
            lost.lines.insert(geometry.bitmap_at(0) / LINE);
        }
        "slot" => {
            let offset = format::SLOT_OFFSETS[random.below(2)];
            lost.lines.insert((format::SLOT_BLOCK * 4096 + offset) / LINE);
        }
        _ => return None,
    }
    world.lose(lost.lines.clone(), known);
    Some(lost)
}

impl Lost {
    /// Whether this error of a call is that of the loss. The volume stops then, and what the call
    /// was about is uncertain.
    pub fn met(&mut self, driver: &Driver<World>, error: Error, about: BTreeSet<u64>) -> Result<bool, String> {
        if !matches!(error, Error::Poison { .. }) {
            return Ok(false);
        }
        let data = self.file.is_some_and(|ino| about.contains(&ino));
        if !self.metadata && !data {
            return Err(format!("failed for a loss that is nobody's: {error:?}"));
        }
        if self.metadata {
            driver.volume.failed(error);
        }
        self.unsure.extend(about);
        Ok(true)
    }

    /// The live memory: what can be read is what the model says.
    pub fn live(&self, driver: &Driver<World>) -> Result<(), String> {
        for (ino, node) in driver.model.nodes.iter().filter(|(ino, _)| !self.unsure.contains(ino)) {
            match driver.node(*ino) {
                Ok(found) if found == *node || node.nlink == 0 => {}
                Ok(_) => return Err(format!("inode {ino} is not what it was")),
                Err(Error::Poison { .. }) if self.metadata || self.file == Some(*ino) => {}
                Err(Error::NotFound) if node.nlink == 0 => {}
                Err(error) => return Err(format!("inode {ino}: {error:?}")),
            }
        }
        Ok(())
    }

    /// Opens what a cut has left, with the loss, and then without it.
    pub fn open(&self, machine: &Memory, geometry: Geometry, models: &[&Model]) -> Result<(), String> {
        let mark = machine.memory.changes();
        machine.memory.lose(self.lines.clone());
        let with = self.open_lossy(machine, geometry, models);
        machine.memory.lose(BTreeSet::new());
        machine.memory.undo(mark);
        with?;
        let found = usual(machine, geometry).map_err(|why| format!("when the memory is good again: {why}"))?;
        self.like(models, &found)
    }

    fn open_lossy(&self, machine: &Memory, geometry: Geometry, models: &[&Model]) -> Result<(), String> {
        let driver = match Driver::mount_at(machine, geometry) {
            Err(Error::Poison { .. }) if self.metadata => return Ok(()),
            driver => driver.map_err(|error| format!("mount: {error:?}"))?,
        };
        if !self.metadata {
            driver.check().map_err(|error| format!("check: {error:?}"))?;
        }
        let inos: BTreeSet<u64> = models.iter().flat_map(|model| model.nodes.keys().copied()).collect();
        for ino in inos.difference(&self.unsure) {
            let like = |found: &Node| models.iter().any(|model| model.admits_node(*ino, found));
            match driver.node(*ino) {
                Ok(found) if found.nlink == 0 && models.iter().any(|model| !model.has_name(*ino)) => {}
                Ok(found) if like(&found) => {}
                Ok(_) => return Err(format!("inode {ino} reads as what it never was")),
                Err(Error::Poison { .. }) if self.metadata || self.file == Some(*ino) => {}
                Err(Error::NotFound) if models.iter().any(|model| !model.has_name(*ino)) => {}
                Err(error) => return Err(format!("inode {ino}: {error:?}")),
            }
        }
        Ok(())
    }

    /// Whether this is what there may be.
    fn like(&self, models: &[&Model], found: &Model) -> Result<(), String> {
        let sure = |model: &Model| {
            let mut model = model.clone();
            model.nodes.retain(|ino, _| !self.unsure.contains(ino));
            model
        };
        let mut found = sure(found);
        if !self.unsure.is_empty() {
            // What a call made that failed afterwards.
            found.nodes.retain(|ino, _| models.iter().any(|model| model.has_name(*ino)));
        }
        let models: Vec<Model> = models.iter().map(|model| sure(model)).collect();
        Model::one_of(&models.iter().collect::<Vec<_>>(), &found)
    }
}
