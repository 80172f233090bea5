// SPDX-License-Identifier: GPL-2.0

//! Does operations to a volume and to the model, and compares them.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use pfnfs_core::media::{Error, Geometry, Result, BLOCK};
use pfnfs_core::meta::file::How;
use pfnfs_core::meta::inode::{self, Live, S_IFDIR, S_IFIFO, S_IFLNK, S_IFREG};
use pfnfs_core::meta::ops::{self, New, What};
use pfnfs_core::meta::{dir, Machine, Open, Volume};

pub use super::op::Op;

use super::model::{Kind, Model, Node};
use super::time;

/// The root directory.
pub const ROOT: u64 = 16;

/// A mounted volume and what it should hold.
pub struct Driver<M: Machine + Clone> {
    pub machine: M,
    pub volume: Rc<Volume<M>>,
    /// What paths begin at: the root directory, or that of a CPU.
    pub root: u64,
    pub model: Model,
    pub lives: BTreeMap<u64, Live>,
    pub clock: i64,
    /// Blocks of files that are mapped, and may have been stored to since the last fsync.
    pub(super) mapped: BTreeSet<(u64, u64)>,
    /// Files whose times the media do not have yet.
    pub(super) dirty: BTreeSet<u64>,
    /// Steps of writes so far.
    pub steps: u64,
    /// Most blocks that one fault has filled.
    pub converted: u64,
    /// The last generations of inode numbers.
    generations: Rc<RefCell<BTreeMap<u64, u32>>>,
    /// Who looks on.
    pub observer: Option<Observer>,
}

/// Called when a step of an operation has returned: what a power cut during it may leave, and what one now may.
pub type Observer = Box<dyn FnMut(&[&Model], &Model)>;

fn new(mode: u16, now: i64, what: What<'_>) -> New<'_> {
    New { mode, uid: 1000, gid: 100, now: time(now), what }
}

/// What the model has of an inode that was just made: of what the volume says only what the caller does not choose.
fn made(live: &Live, now: i64, kind: Kind) -> Node {
    let (mode, uid, gid, generation) = (live.mode(), live.uid(), live.gid(), live.generation());
    let nlink = if live.is_dir() { 2 } else { 1 };
    Node { mode, nlink, uid, gid, generation, atime: now, mtime: now, ctime: now, btime: now, kind }
}

impl<M: Machine + Clone> Driver<M> {
    /// Mounts, finishes orphans, as the file system does.
    pub fn mount(machine: M) -> Result<Self> {
        let geometry = Geometry::read(&machine)?;
        Self::mount_at(machine, geometry)
    }

    /// The same with a superblock that was read before.
    pub fn mount_at(machine: M, geometry: Geometry) -> Result<Self> {
        let volume = Volume::open(machine.clone(), geometry, Open::ReadWrite)?;
        let driver = Self::over(machine, volume)?;
        driver.finish_orphans()?;
        Ok(driver)
    }

    /// What was left to do for the volume's orphans, before anybody sees them.
    pub fn finish_orphans(&self) -> Result {
        let volume = &self.volume;
        let mut truncate = |ino| ops::finish_truncate(volume, &mut inode::load(volume, ino, None)?).map(drop);
        ops::finish_orphans(volume, &mut truncate, &mut |_, error| Err(error))
    }

    /// A driver of a volume that is open.
    pub fn over(machine: M, volume: Volume<M>) -> Result<Self> {
        let volume = Rc::new(volume);
        let root = inode::load(&volume, ROOT, None)?;
        let kind = Kind::Dir { parent: ROOT, entries: BTreeMap::new() };
        let node = Node { nlink: 2, ..made(&root, 1, kind) };
        let model = Model { nodes: BTreeMap::from([(ROOT, node)]), loose: BTreeMap::new() };
        let lives = BTreeMap::from([(ROOT, root)]);
        let (mapped, dirty, generations) = Default::default();
        let (steps, converted, clock, observer) = (0, 0, 100, None);
        let root = ROOT;
        Ok(Driver {
            machine,
            volume,
            root,
            model,
            lives,
            clock,
            mapped,
            dirty,
            steps,
            converted,
            generations,
            observer,
        })
    }

    /// Takes over a model that the volume is known to have, and loads its inodes.
    pub fn adopt(&mut self, model: Model, clock: i64) {
        self.lives = model.nodes.keys().map(|ino| (*ino, inode::load(&self.volume, *ino, None).unwrap())).collect();
        self.model = model;
        self.clock = clock;
    }

    /// A driver for another CPU, which has a directory with all that is below it to itself.
    pub fn below(&self, dir: u64, clock: i64) -> Self {
        let model = self.model.below(dir);
        let lives = self.lives.iter().filter(|(ino, _)| model.nodes.contains_key(ino));
        let lives = lives.map(|(ino, live)| (*ino, live.clone())).collect();
        let (machine, volume) = (self.machine.clone(), self.volume.clone());
        let (mapped, dirty, generations) = Default::default();
        let (steps, converted, observer) = (0, 0, None);
        let root = dir;
        Driver { machine, volume, root, model, lives, clock, mapped, dirty, steps, converted, generations, observer }
    }

    /// The generations that inode numbers had last.
    pub fn know(&mut self, generations: BTreeMap<u64, u32>) {
        *self.generations.borrow_mut() = generations;
    }

    /// A driver for another CPU, which has these inodes for a while.
    pub fn only(&self, inos: &BTreeSet<u64>) -> Self {
        let mut driver = self.below(self.root, self.clock + 10);
        driver.generations = self.generations.clone();
        driver.model = Model::default();
        let nodes = inos.iter().filter_map(|ino| Some((*ino, self.model.nodes.get(ino)?.clone())));
        driver.model.nodes.extend(nodes);
        let loose = self.model.loose.iter().filter(|((ino, _), _)| inos.contains(ino));
        driver.model.loose.extend(loose.map(|(word, values)| (*word, values.clone())));
        driver.lives = inos.iter().filter_map(|ino| Some((*ino, self.lives.get(ino)?.clone()))).collect();
        driver.mapped = self.mapped.iter().filter(|(ino, _)| inos.contains(ino)).copied().collect();
        driver.dirty = self.dirty.intersection(inos).copied().collect();
        driver
    }

    /// Takes over what another CPU's driver has of these inodes.
    pub fn take_back(&mut self, other: Self, inos: &BTreeSet<u64>) {
        self.lives.retain(|ino, _| !inos.contains(ino));
        self.mapped.retain(|(ino, _)| !inos.contains(ino));
        self.dirty.retain(|ino| !inos.contains(ino));
        self.lives.extend(other.lives);
        self.mapped.extend(other.mapped);
        self.dirty.extend(other.dirty);
        self.clock = self.clock.max(other.clock);
    }

    /// A step of an operation has returned: the model follows.
    pub(super) fn settle(&mut self, change: impl FnOnce(&mut Model)) {
        let Some(mut observer) = self.observer.take() else { return change(&mut self.model) };
        let before = self.model.clone();
        change(&mut self.model);
        observer(&[&before, &self.model], &self.model);
        self.observer = Some(observer);
    }

    /// The same for a step during which every word of these bytes of a file may be the old one or the new.
    pub(super) fn settle_torn(&mut self, ino: u64, bytes: std::ops::Range<u64>, change: impl Fn(&mut Model)) {
        let mut during = self.model.clone();
        during.loosen(ino, bytes.clone());
        change(&mut during);
        change(&mut self.model);
        self.model.tighten(ino, bytes);
        if let Some(observer) = &mut self.observer {
            observer(&[&during], &self.model);
        }
    }

    /// The number of a new file has the generation behind that of the last file that had it, as far as that is known.
    fn next_generation(&mut self, live: &Live) {
        let last = self.generations.borrow_mut().insert(live.ino(), live.generation());
        if let Some(last) = last {
            assert_eq!(live.generation(), last.wrapping_add(1).max(1), "generation of inode {}", live.ino());
        }
    }

    /// The same for a step of several records, each of which leaves a part of these bytes as they become.
    pub(super) fn settle_parts(&mut self, ino: u64, bytes: std::ops::Range<u64>, change: impl Fn(&mut Model)) {
        let (before, mut during) = (self.model.clone(), self.model.clone());
        during.loosen(ino, bytes.clone());
        change(&mut during);
        change(&mut self.model);
        self.model.tighten(ino, bytes);
        if let Some(observer) = &mut self.observer {
            observer(&[&before, &during], &self.model);
        }
    }

    /// Runs `f` on an inode.
    pub(super) fn with<R>(&mut self, ino: u64, f: impl FnOnce(&mut Self, &mut Live) -> Result<R>) -> Result<R> {
        let mut live = self.lives.remove(&ino).ok_or(Error::NotFound)?;
        let result = f(self, &mut live);
        self.keep(live);
        result
    }

    fn live(&mut self, ino: u64) -> Live {
        self.lives.remove(&ino).unwrap()
    }

    fn keep(&mut self, live: Live) {
        self.lives.insert(live.ino(), live);
    }

    /// Does it to both. The model is left alone if the volume refuses.
    pub fn apply(&mut self, op: &Op) -> Result {
        self.clock = self.clock.saturating_add(1);
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
            Op::Unlink(dir, name) => self.unlink(*dir, name, false, now),
            Op::UnlinkOpen(dir, name) => self.unlink(*dir, name, true, now),
            Op::Tmpfile(near) => self.tmpfile(*near, now),
            Op::Close(ino) => self.close(*ino),
            Op::Rename(from, from_name, to, to_name) => self.rename(*from, from_name, *to, to_name, now),
            Op::Write(ino, pos, bytes) => self.write(*ino, *pos, bytes, now),
            Op::Truncate(ino, size) | Op::Extend(ino, size) => self.resize(*ino, *size, now),
            Op::Preallocate(ino, block, count) => {
                let bytes = block * BLOCK..(block + u64::from(*count)) * BLOCK;
                self.allocate(*ino, &bytes, now)
            }
            Op::Punch(ino, bytes) => self.clear(*ino, bytes, How::Punch, now),
            Op::Zero(ino, bytes) => self.clear(*ino, bytes, How::Keep, now),
            Op::MapStore(ino, pos, bytes, huge) => self.map_store(*ino, *pos, bytes, *huge, now),
            Op::Fsync(ino) => self.fsync(*ino, now),
            Op::Chmod(ino, mode) => self.chmod(*ino, *mode, now),
            Op::Chown(ino, uid, gid) => self.chown(*ino, *uid, *gid, now),
            Op::Checkpoint => self.volume.checkpoint(),
            Op::Remount => self.remount(),
            Op::Freeze => self.freeze(),
        }
    }

    fn chmod(&mut self, ino: u64, mode: u16, now: i64) -> Result {
        self.with(ino, |driver, live| {
            let attr = ops::SetAttr { mode: Some(mode), ctime: Some(time(now)), ..Default::default() };
            ops::set_attr(&driver.volume, live, &attr).map(drop)?;
            driver.settle(|model| {
                let node = model.nodes.get_mut(&ino).unwrap();
                node.mode = node.mode & 0o170_000 | mode & 0o7777;
                node.ctime = now;
            });
            Ok(())
        })
    }

    /// Another owner and group, and another time of the last access.
    fn chown(&mut self, ino: u64, uid: u32, gid: u32, now: i64) -> Result {
        self.with(ino, |driver, live| {
            let (uid, gid, atime) = (Some(uid), Some(gid), Some(time(now)));
            let attr = ops::SetAttr { uid, gid, atime, ctime: atime, ..Default::default() };
            ops::set_attr(&driver.volume, live, &attr).map(drop)?;
            driver.settle(|model| {
                let node = model.nodes.get_mut(&ino).unwrap();
                (node.uid, node.gid) = (uid.unwrap_or(node.uid), gid.unwrap_or(node.gid));
                (node.atime, node.ctime) = (now, now);
            });
            Ok(())
        })
    }

    /// Read-only, and back.
    fn remount(&mut self) -> Result {
        self.volume.close()?;
        let mut root = self.live(ROOT);
        let refused = ops::set_attr(&self.volume, &mut root, &ops::SetAttr { uid: Some(9), ..Default::default() });
        self.keep(root);
        assert_eq!(refused.map(drop), Err(Error::ReadOnly), "a volume that is closed");
        self.volume.make_writable()
    }

    /// What the VFS and `rust/fs` do before a volume is frozen: what mappings stored, times,
    /// orphans that wait, the log.
    fn freeze(&mut self) -> Result {
        let mapped = self.mapped.iter().map(|(ino, _)| *ino);
        let files: BTreeSet<u64> = mapped.chain(self.dirty.iter().copied()).collect();
        for ino in files.into_iter().filter(|ino| self.lives.contains_key(ino)).collect::<Vec<_>>() {
            self.fsync(ino, self.clock)?;
        }
        self.volume.reclaim()?;
        self.volume.checkpoint()
    }

    /// A file without a name, open.
    fn tmpfile(&mut self, near: u64, now: i64) -> Result {
        let new = new(S_IFREG | 0o600, now, What::File);
        let number = ops::number(&self.volume, near)?;
        let created = ops::tmpfile(&self.volume, &new, number)?.reply();
        let node = Node { nlink: 0, ..made(&created, now, Kind::File(Vec::new())) };
        assert_eq!((node.mode, node.uid, node.gid), (new.mode, new.uid, new.gid), "attributes of a new file");
        let ino = created.ino();
        self.next_generation(&created);
        self.settle(|model| assert!(model.nodes.insert(ino, node).is_none(), "number {ino} given twice"));
        self.keep(created);
        Ok(())
    }

    /// Closes a file without a name.
    fn close(&mut self, ino: u64) -> Result {
        let live = self.lives.remove(&ino).ok_or(Error::NotFound)?;
        ops::evict(&self.volume, live)?;
        self.mapped.retain(|(file, _)| *file != ino);
        self.settle(|model| model.remove(ino));
        Ok(())
    }

    fn create(&mut self, dir: u64, name: &[u8], new: New<'_>, kind: Kind) -> Result {
        let mut live = self.live(dir);
        let result = ops::create(&self.volume, &mut live, name, &new);
        self.keep(live);
        let created = result?.reply();
        let ino = created.ino();
        let is_dir = created.is_dir();
        let now = new.now.sec.get();
        let node = made(&created, now, kind);
        assert_eq!((node.mode, node.uid, node.gid), (new.mode, new.uid, new.gid), "attributes of a new file");
        self.next_generation(&created);
        self.settle(|model| {
            assert!(model.nodes.insert(ino, node).is_none(), "number {ino} given twice");
            model.entries_mut(dir).insert(name.to_vec(), ino);
            let parent = model.nodes.get_mut(&dir).unwrap();
            parent.nlink += u32::from(is_dir);
            parent.touch(now);
        });
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
        self.settle(|model| {
            model.entries_mut(dir).insert(name.to_vec(), target);
            model.nodes.get_mut(&dir).unwrap().touch(now);
            let node = model.nodes.get_mut(&target).unwrap();
            (node.nlink, node.ctime) = (node.nlink + 1, now);
        });
        Ok(())
    }

    fn unlink(&mut self, dir: u64, name: &[u8], open: bool, now: i64) -> Result {
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
        let open = open && !victim.is_dir();
        self.settle(|model| {
            let node = model.nodes.get_mut(&dir).unwrap();
            node.touch(now);
            node.nlink -= u32::from(victim.is_dir());
            model.entries_mut(dir).remove(name);
            model.drop_link(ino, open, now);
        });
        if open {
            self.keep(victim);
            return Ok(());
        }
        self.forget(victim)
    }

    /// The last user of an inode is gone.
    fn forget(&mut self, live: Live) -> Result {
        if live.nlink() == 0 {
            self.mapped.retain(|(file, _)| *file != live.ino());
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
        let replaces = victim.is_some();
        self.settle(|model| {
            model.entries_mut(from).remove(from_name);
            model.entries_mut(to).insert(to_name.to_vec(), moved_ino);
            for dir in [from, to] {
                model.nodes.get_mut(&dir).unwrap().touch(now);
            }
            model.nodes.get_mut(&moved_ino).unwrap().ctime = now;
            if is_dir {
                model.nodes.get_mut(&from).unwrap().nlink -= 1;
                model.nodes.get_mut(&to).unwrap().nlink += u32::from(!replaces);
                if let Kind::Dir { parent, .. } = &mut model.nodes.get_mut(&moved_ino).unwrap().kind {
                    *parent = to;
                }
            }
            if let Some(ino) = victim_ino {
                model.drop_link(ino, false, now);
            }
        });
        victim.map_or(Ok(()), |live| self.forget(live))
    }
}
