// SPDX-License-Identifier: GPL-2.0

//! Reads a volume back as a model, and compares.

use std::collections::BTreeMap;

use pfnfs_core::media::{Pmem, Result, BLOCK};
use pfnfs_core::meta::extent::{self, Extent};
use pfnfs_core::meta::inode::{self, Live};
use pfnfs_core::meta::{dir, walk, Machine};

use super::driver::{Driver, ROOT};
use super::model::{Kind, Model, Node};
use super::second;

impl<M: Machine + Clone> Driver<M> {
    /// The volume as a model.
    pub fn read_back(&self) -> Result<Model> {
        let mut model = Model::default();
        let mut todo = vec![ROOT];
        while let Some(ino) = todo.pop() {
            if model.nodes.contains_key(&ino) {
                continue;
            }
            let node = self.node(ino)?;
            if let Kind::Dir { entries, .. } = &node.kind {
                todo.extend(entries.values());
            }
            model.nodes.insert(ino, node);
        }
        Ok(model)
    }

    /// One inode of the volume as the model has it.
    pub fn node(&self, ino: u64) -> Result<Node> {
        let live = inode::load(&self.volume, ino, None)?;
        let kind = if live.is_dir() {
            Kind::Dir { parent: live.parent(), entries: self.entries(&live)? }
        } else if live.is_file() {
            Kind::File(self.contents(&live)?)
        } else if live.is_symlink() {
            let mut target = vec![0; live.size() as usize];
            assert_eq!(inode::read_link(&self.volume, &live, 0, &mut target)?, target.len());
            Kind::Symlink(target)
        } else {
            Kind::Special(live.rdev())
        };
        let [atime, mtime, ctime, btime] = [live.atime(), live.mtime(), live.ctime(), live.btime()].map(second);
        let (mode, nlink, generation) = (live.mode(), live.nlink(), live.generation());
        Ok(Node { mode, nlink, uid: live.uid(), gid: live.gid(), generation, atime, mtime, ctime, btime, kind })
    }

    fn entries(&self, live: &Live) -> Result<BTreeMap<Vec<u8>, u64>> {
        let mut entries = BTreeMap::new();
        let mut scratch = dir::Scratch::new();
        let mut last = 1;
        dir::read(&self.volume, live, 0, &mut scratch, &mut |entry| {
            assert!(entry.pos > last, "positions ascend");
            last = entry.pos;
            entries.insert(entry.name.to_vec(), entry.ino).is_none()
        })?;
        for (name, ino) in &entries {
            let found = dir::lookup(&self.volume, live, name)?;
            assert_eq!(found.map(|found| found.ino), Some(*ino), "readdir and lookup agree");
        }
        Ok(entries)
    }

    fn contents(&self, live: &Live) -> Result<Vec<u8>> {
        let mut data = vec![0; live.size() as usize];
        let mut file_block = 0;
        while file_block * BLOCK < live.size() {
            let len = match extent::find(&self.volume, live, file_block)? {
                Extent::Hole { len } => len,
                Extent::Data { len, unwritten: true, .. } => u64::from(len),
                Extent::Data { block, len, .. } => {
                    let start = (file_block * BLOCK) as usize;
                    let end = data.len().min(start + len as usize * BLOCK as usize);
                    for (index, piece) in data[start..end].chunks_mut(256).enumerate() {
                        self.volume.media().read_bytes(block * BLOCK + index as u64 * 256, piece)?;
                    }
                    u64::from(len)
                }
            };
            file_block += len;
        }
        Ok(data)
    }

    /// How many blocks an extent has from this block of a file on, which is in one.
    pub(super) fn blocks_at(&self, live: &Live, at: u64) -> Result<u64> {
        match extent::find(&self.volume, live, at)? {
            Extent::Data { len, .. } => Ok(len.into()),
            Extent::Hole { .. } => panic!("a hole at {at}"),
        }
    }

    /// Walks the volume: everything fits together.
    pub fn check(&self) -> Result<walk::Summary> {
        let mut blocks = vec![0; walk::Scratch::block_words(self.volume.geometry())];
        let mut links = vec![0; walk::Scratch::link_words(&self.volume)];
        let mut keys = dir::Scratch::new();
        walk::check(
            &self.volume,
            &mut walk::Scratch { blocks: &mut blocks, links: &mut links, keys: &mut keys },
            &mut (),
        )
    }

    /// Whether the volume is what the model says, in DRAM and on the media, and fits together.
    pub fn verify(&self) -> std::result::Result<(), String> {
        let summary = self.check().map_err(|error| format!("check: {error:?}"))?;
        let space = self.volume.space();
        let same = |what: &str, one: u64, two: u64| {
            (one == two).then_some(()).ok_or_else(|| format!("{what}: {one} in DRAM, {two} on the media"))
        };
        // Those that wait to be freed count as free already.
        if self.volume.backlog().waiting == 0 {
            same("blocks in use", space.blocks - space.free, summary.blocks)?;
            same("inodes in use", space.inodes - space.free_inodes, summary.inodes)?;
        }
        let found = self.read_back().map_err(|error| format!("read: {error:?}"))?;
        let now = Model { loose: BTreeMap::new(), ..self.model.clone() };
        now.difference(&found).map_or(Ok(()), Err)?;
        for (ino, live) in &self.lives {
            let loaded = inode::load(&self.volume, *ino, None).map_err(|error| format!("inode {ino}: {error:?}"))?;
            let (live, loaded) = (format!("{live:?}"), format!("{loaded:?}"));
            if live != loaded {
                return Err(format!("inode {ino}: {live} in DRAM, {loaded} on the media"));
            }
        }
        for ino in self.model.unnamed() {
            let contents = self.contents(&self.lives[&ino]).map_err(|error| format!("inode {ino}: {error:?}"))?;
            if contents != *self.model.data(ino) {
                return Err(format!("contents of inode {ino}, open without a name"));
            }
        }
        Ok(())
    }

    /// [`Driver::verify`] for tests.
    pub fn compare(&self) {
        let space = self.volume.space();
        self.volume.reclaim().unwrap();
        assert_eq!(self.volume.space(), space, "orphans that wait to be freed count as free");
        self.verify().unwrap();
    }
}
