// SPDX-License-Identifier: GPL-2.0

//! Does operations to a volume and to the model, and compares them.

use std::collections::BTreeMap;

use pfnfs_core::media::{Error, Geometry, Pmem, Result, BLOCK};
use pfnfs_core::meta::extent::Extent;
use pfnfs_core::meta::inode::{self, Live, Orphan, S_IFDIR, S_IFIFO, S_IFLNK, S_IFREG};
use pfnfs_core::meta::ops::{self, New, What};
use pfnfs_core::meta::{dir, extent, walk, Machine, Open, Volume};

pub use super::op::Op;

use super::model::{Kind, Model, Node};
use super::time;

/// The root directory.
pub const ROOT: u64 = 16;

/// A mounted volume and what it should hold.
pub struct Driver<M: Machine + Clone> {
    pub machine: M,
    pub volume: Volume<M>,
    pub model: Model,
    pub lives: BTreeMap<u64, Live>,
    pub clock: i64,
}

fn new(mode: u16, now: i64, what: What<'_>) -> New<'_> {
    New { mode, uid: 1000, gid: 100, now: time(now), what }
}

impl<M: Machine + Clone> Driver<M> {
    /// Mounts, finishes orphans, as the file system does.
    pub fn mount(machine: M) -> Result<Self> {
        let geometry = Geometry::read(&machine)?;
        let volume = Volume::open(machine.clone(), geometry, Open::ReadWrite)?;
        let mut from = 0;
        while let Some(ino) = volume.orphans(from)? {
            let mut live = inode::load(&volume, ino, None)?;
            match live.orphan() {
                Orphan::Unlinked => ops::evict(&volume, live)?,
                Orphan::Truncating => drop(ops::finish_truncate(&volume, &mut live)?),
                Orphan::None => panic!("orphan bit of {ino} without a mark"),
            }
            from = ino + 1;
        }
        let root = inode::load(&volume, ROOT, None)?;
        let entries = BTreeMap::new();
        let node =
            Node { mode: root.mode(), nlink: 2, uid: root.uid(), mtime: 1, kind: Kind::Dir { parent: ROOT, entries } };
        let model = Model { nodes: BTreeMap::from([(ROOT, node)]) };
        Ok(Driver { machine, volume, model, lives: BTreeMap::from([(ROOT, root)]), clock: 100 })
    }

    /// Takes over a model that the volume is known to have, and loads its inodes.
    pub fn adopt(&mut self, model: Model, clock: i64) {
        self.lives = model.nodes.keys().map(|ino| (*ino, inode::load(&self.volume, *ino, None).unwrap())).collect();
        self.model = model;
        self.clock = clock;
    }

    fn live(&mut self, ino: u64) -> Live {
        self.lives.remove(&ino).unwrap()
    }

    fn keep(&mut self, live: Live) {
        self.lives.insert(live.ino(), live);
    }

    /// Does it to both. The model is left alone if the volume refuses.
    pub fn apply(&mut self, op: &Op) -> Result {
        self.clock += 1;
        let now = self.clock;
        match op {
            Op::Create(dir, name) => {
                self.create(*dir, name, new(S_IFREG | 0o644, now, What::File), Kind::File(Vec::new()))
            }
            Op::Mkdir(dir, name) => {
                let kind = Kind::Dir { parent: *dir, entries: BTreeMap::new() };
                self.create(*dir, name, new(S_IFDIR | 0o755, now, What::Dir), kind)
            }
            Op::Symlink(dir, name, target) => {
                self.create(*dir, name, new(S_IFLNK | 0o777, now, What::Symlink(target)), Kind::Symlink(target.clone()))
            }
            Op::Fifo(dir, name) => self.create(*dir, name, new(S_IFIFO | 0o600, now, What::Node(0)), Kind::Special(0)),
            Op::Link(dir, name, target) => self.link(*dir, name, *target, now),
            Op::Unlink(dir, name) => self.unlink(*dir, name, now),
            Op::Rename(from, from_name, to, to_name) => self.rename(*from, from_name, *to, to_name, now),
            Op::Write(ino, pos, bytes) => self.write(*ino, *pos, bytes, now),
            Op::Truncate(ino, size) => self.truncate(*ino, *size, now),
            Op::Extend(ino, size) => self.extend(*ino, *size, now),
            Op::Preallocate(ino, block, count) => self.preallocate(*ino, *block, *count, now),
            Op::Punch(ino, from, to) => {
                let mut live = self.live(*ino);
                let result = ops::punch(&self.volume, &mut live, *from..*to, time(now)).map(drop);
                self.keep(live);
                result?;
                let data = self.model.data_mut(*ino);
                let len = data.len() as u64;
                data[(from * BLOCK).min(len) as usize..(to * BLOCK).min(len) as usize].fill(0);
                self.model.nodes.get_mut(ino).unwrap().mtime = now;
                Ok(())
            }
            Op::Chmod(ino, mode) => self.chmod(*ino, *mode, now),
            Op::Checkpoint => self.volume.checkpoint(),
        }
    }

    fn truncate(&mut self, ino: u64, size: u64, now: i64) -> Result {
        let mut live = self.live(ino);
        let result = ops::truncate(&self.volume, &mut live, size, time(now)).map(drop);
        self.keep(live);
        result?;
        self.model.data_mut(ino).truncate(size as usize);
        self.model.nodes.get_mut(&ino).unwrap().mtime = now;
        Ok(())
    }

    fn extend(&mut self, ino: u64, size: u64, now: i64) -> Result {
        let mut live = self.live(ino);
        let result =
            self.zero_tail(&live, size).and_then(|()| ops::extend(&self.volume, &mut live, size, time(now)).map(drop));
        self.keep(live);
        result?;
        self.model.data_mut(ino).resize(size as usize, 0);
        self.model.nodes.get_mut(&ino).unwrap().mtime = now;
        Ok(())
    }

    fn chmod(&mut self, ino: u64, mode: u16, now: i64) -> Result {
        let mut live = self.live(ino);
        let attr = ops::SetAttr { mode: Some(mode), ctime: Some(time(now)), ..Default::default() };
        let result = ops::set_attr(&self.volume, &mut live, &attr).map(drop);
        self.keep(live);
        result?;
        let node = self.model.nodes.get_mut(&ino).unwrap();
        node.mode = node.mode & 0o170_000 | mode & 0o7777;
        Ok(())
    }

    fn create(&mut self, dir: u64, name: &[u8], new: New<'_>, kind: Kind) -> Result {
        let mut live = self.live(dir);
        let result = ops::create(&self.volume, &mut live, name, &new);
        self.keep(live);
        let created = result?.reply();
        let ino = created.ino();
        let is_dir = created.is_dir();
        let node =
            Node { mode: new.mode, nlink: if is_dir { 2 } else { 1 }, uid: new.uid, mtime: new.now.sec.get(), kind };
        assert!(self.model.nodes.insert(ino, node).is_none(), "number {ino} given twice");
        self.model.entries_mut(dir).insert(name.to_vec(), ino);
        let parent = self.model.nodes.get_mut(&dir).unwrap();
        parent.nlink += u32::from(is_dir);
        parent.mtime = new.now.sec.get();
        self.keep(created);
        Ok(())
    }

    fn link(&mut self, dir: u64, name: &[u8], target: u64, now: i64) -> Result {
        let mut parent = self.live(dir);
        let Some(mut live) = self.lives.remove(&target) else {
            self.keep(parent);
            return Err(Error::IsDir);
        };
        let result = ops::link(&self.volume, &mut parent, name, &mut live, time(now)).map(drop);
        self.keep(parent);
        self.keep(live);
        result?;
        self.model.entries_mut(dir).insert(name.to_vec(), target);
        self.model.nodes.get_mut(&dir).unwrap().mtime = now;
        self.model.nodes.get_mut(&target).unwrap().nlink += 1;
        Ok(())
    }

    fn unlink(&mut self, dir: u64, name: &[u8], now: i64) -> Result {
        let mut parent = self.live(dir);
        let ino = match dir::lookup(&self.volume, &parent, name) {
            Ok(Some(found)) => found.ino,
            other => {
                self.keep(parent);
                return other.and(Err(Error::NotFound));
            }
        };
        let mut victim = self.live(ino);
        let result = if victim.is_dir() {
            ops::rmdir(&self.volume, &mut parent, name, &mut victim, time(now))
        } else {
            ops::unlink(&self.volume, &mut parent, name, &mut victim, time(now))
        };
        self.keep(parent);
        if let Err(error) = result {
            self.keep(victim);
            return Err(error);
        }
        let node = self.model.nodes.get_mut(&dir).unwrap();
        node.mtime = now;
        node.nlink -= u32::from(victim.is_dir());
        self.model.entries_mut(dir).remove(name);
        self.model.drop_link(ino);
        self.forget(victim)
    }

    /// The last user of an inode is gone.
    fn forget(&mut self, live: Live) -> Result {
        if live.nlink() == 0 {
            ops::evict(&self.volume, live)
        } else {
            self.keep(live);
            Ok(())
        }
    }

    fn rename(&mut self, from: u64, from_name: &[u8], to: u64, to_name: &[u8], now: i64) -> Result {
        let moved_ino = *self.model.entries(from).get(from_name).ok_or(Error::NotFound)?;
        let victim_ino = self.model.entries(to).get(to_name).copied();
        if victim_ino == Some(moved_ino) || self.model.is_dir(moved_ino) && self.model.is_below(to, moved_ino) {
            return Err(Error::Invalid("rename"));
        }
        if victim_ino.is_some_and(|victim| victim == from) {
            return Err(Error::NotEmpty);
        }
        let mut source = self.live(from);
        let mut target = (from != to).then(|| self.live(to));
        let mut moved = self.live(moved_ino);
        let mut victim = victim_ino.map(|ino| self.live(ino));
        let rename = ops::Rename {
            from: &mut source,
            from_name,
            to: target.as_mut(),
            to_name,
            moved: &mut moved,
            victim: victim.as_mut(),
            now: time(now),
        };
        let result = ops::rename(&self.volume, rename).map(drop);
        let is_dir = moved.is_dir();
        self.keep(source);
        if let Some(live) = target {
            self.keep(live);
        }
        self.keep(moved);
        if let Err(error) = result {
            if let Some(live) = victim {
                self.keep(live);
            }
            return Err(error);
        }
        self.model.entries_mut(from).remove(from_name);
        self.model.entries_mut(to).insert(to_name.to_vec(), moved_ino);
        for dir in [from, to] {
            self.model.nodes.get_mut(&dir).unwrap().mtime = now;
        }
        if is_dir {
            self.model.nodes.get_mut(&from).unwrap().nlink -= 1;
            self.model.nodes.get_mut(&to).unwrap().nlink += u32::from(victim.is_none());
            match &mut self.model.nodes.get_mut(&moved_ino).unwrap().kind {
                Kind::Dir { parent, .. } => *parent = to,
                _ => unreachable!(),
            }
        }
        if let Some(ino) = victim_ino {
            self.model.drop_link(ino);
        }
        victim.map_or(Ok(()), |live| self.forget(live))
    }

    /// Zeroes written blocks from the end of the file to `size`, as who extends a file must.
    fn zero_tail(&self, live: &Live, size: u64) -> Result {
        let (old, end) = (live.size(), live.size().next_multiple_of(BLOCK).min(size));
        if end > old {
            if let Extent::Data { block, unwritten: false, .. } = extent::find(&self.volume, live, old / BLOCK)? {
                self.machine.zero_nt(block * BLOCK + old % BLOCK, end - old)?;
                self.machine.fence();
            }
        }
        let (mut at, blocks) = (old.div_ceil(BLOCK), size.div_ceil(BLOCK));
        while at < blocks {
            at += match extent::find(&self.volume, live, at)? {
                Extent::Data { block, len, unwritten: false, .. } => {
                    let len = u64::from(len).min(blocks - at);
                    self.machine.zero_nt(block * BLOCK, len * BLOCK)?;
                    self.machine.fence();
                    len
                }
                Extent::Data { len, .. } => u64::from(len),
                Extent::Hole { len } => len,
            };
        }
        Ok(())
    }

    fn write(&mut self, ino: u64, pos: u64, bytes: &[u8], now: i64) -> Result {
        let mut live = self.live(ino);
        let result = self.write_blocks(&mut live, pos, bytes, now);
        self.keep(live);
        result
    }

    /// Block by block; the model follows each step, so that an error leaves both alike.
    fn write_blocks(&mut self, live: &mut Live, pos: u64, bytes: &[u8], now: i64) -> Result {
        let (mut pos, mut bytes) = (pos, bytes);
        while !bytes.is_empty() {
            let file_block = pos / BLOCK;
            let offset = (pos % BLOCK) as usize;
            let len = bytes.len().min(BLOCK as usize - offset);
            let (piece, rest) = bytes.split_at(len);
            let end = pos + len as u64;
            if pos > live.size() {
                self.zero_tail(live, pos)?;
            }
            let mut block = vec![0u8; BLOCK as usize];
            block[offset..offset + len].copy_from_slice(piece);
            let (volume, machine) = (&self.volume, self.machine.clone());
            let store = |at: u64, bytes: &[u8]| machine.store_nt(at, bytes);
            match extent::find(volume, live, file_block)? {
                Extent::Hole { .. } => {
                    let blocks = volume.reserve(0, 1, false)?.write_with(|first, _| store(first * BLOCK, &block))?;
                    drop(ops::attach(volume, live, file_block, blocks, Some(end), time(now))?);
                }
                Extent::Data { block: at, unwritten: true, .. } => {
                    store(at * BLOCK, &block)?;
                    machine.fence();
                    drop(ops::written(volume, live, file_block, 1, Some(end), time(now))?);
                }
                Extent::Data { block: at, .. } if pos >= live.size() => {
                    store(at * BLOCK + offset as u64, piece)?;
                    machine.fence();
                    drop(ops::extend(volume, live, end, time(now))?);
                }
                Extent::Data { .. } => return Ok(()),
            }
            let data = self.model.data_mut(live.ino());
            data.resize(data.len().max(end as usize), 0);
            data[pos as usize..end as usize].copy_from_slice(piece);
            self.model.nodes.get_mut(&live.ino()).unwrap().mtime = now;
            (pos, bytes) = (end, rest);
        }
        Ok(())
    }

    fn preallocate(&mut self, ino: u64, block: u64, count: u32, now: i64) -> Result {
        let mut live = self.live(ino);
        let (mut at, end) = (block, block + u64::from(count));
        let mut result = Ok(());
        while at < end {
            let step = match extent::find(&self.volume, &live, at) {
                Ok(Extent::Data { len, .. }) => Ok(u64::from(len)),
                Ok(Extent::Hole { len }) => {
                    self.volume.reserve(0, len.min(end - at) as u32, false).and_then(|blocks| {
                        let len = u64::from(blocks.count());
                        ops::preallocate(&self.volume, &mut live, at, blocks, None, time(now)).map(|_| len)
                    })
                }
                Err(error) => Err(error),
            };
            match step {
                Ok(len) => at += len,
                Err(error) => {
                    result = Err(error);
                    break;
                }
            }
        }
        let mtime = live.mtime().sec.get();
        self.keep(live);
        self.model.nodes.get_mut(&ino).unwrap().mtime = mtime;
        result
    }

    /// The volume as a model.
    pub fn read_back(&self) -> Result<Model> {
        let mut model = Model::default();
        let mut todo = vec![ROOT];
        while let Some(ino) = todo.pop() {
            if model.nodes.contains_key(&ino) {
                continue;
            }
            let live = inode::load(&self.volume, ino, None)?;
            let kind = if live.is_dir() {
                let entries = self.entries(&live)?;
                todo.extend(entries.values());
                assert_eq!(live.size(), entries.len() as u64, "entries of {ino}");
                Kind::Dir { parent: live.parent(), entries }
            } else if live.is_file() {
                Kind::File(self.contents(&live)?)
            } else if live.is_symlink() {
                let mut target = vec![0; live.size() as usize];
                assert_eq!(inode::read_link(&self.volume, &live, 0, &mut target)?, target.len());
                Kind::Symlink(target)
            } else {
                Kind::Special(live.rdev())
            };
            let mtime = live.mtime().sec.get();
            let node = Node { mode: live.mode(), nlink: live.nlink(), uid: live.uid(), mtime, kind };
            model.nodes.insert(ino, node);
        }
        Ok(model)
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

    /// The volume is what the model says, in DRAM and on the media, and fits together.
    pub fn compare(&self) {
        let space = self.volume.space();
        self.volume.reclaim().unwrap();
        assert_eq!(self.volume.space(), space, "orphans that wait to be freed count as free");
        let summary = self.check().unwrap();
        assert_eq!(space.blocks - space.free, summary.blocks, "free blocks");
        assert_eq!(space.inodes - space.free_inodes, summary.inodes, "free inodes");
        let found = self.read_back().unwrap();
        for (ino, node) in &self.model.nodes {
            assert_eq!(found.nodes.get(ino), Some(node), "inode {ino}");
        }
        assert_eq!(found.nodes.len(), self.model.nodes.len());
        for (ino, live) in &self.lives {
            let loaded = inode::load(&self.volume, *ino, None).unwrap();
            assert_eq!(format!("{live:?}"), format!("{loaded:?}"), "inode {ino} in DRAM and on the media");
        }
    }
}
