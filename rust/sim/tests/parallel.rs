// SPDX-License-Identifier: GPL-2.0

//! Operations of several CPUs at once, each in a directory of its own: what they share (bitmaps, inode numbers, the inode
//! table's growth, lanes, limbo) must not mix them up, seen live and after a power cut at any step.

mod common;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use common::driver::{Driver, Op, ROOT};
use common::fragile::{memory, words};
use common::model::{Kind, Model};
use common::{options, time, Rng};
use pfnfs_core::media::{Error, Geometry, Result, BLOCK};
use pfnfs_core::meta::inode::{self, Live, S_IFREG};
use pfnfs_core::meta::ops::{self, New, What};
use pfnfs_core::meta::{mkfs, Volume};
use pfnfs_sim::oracle::any_cut;
use pfnfs_sim::plain::{Memory, Plain};
use pfnfs_sim::random::Random;
use pfnfs_sim::world::{Lock, Policy, Program, World};

/// A directory: its files' contents.
type Dir = BTreeMap<Vec<u8>, Vec<u8>>;

/// What a CPU's directory is, and what it is becoming.
#[derive(Clone, Default)]
struct Expected {
    now: Dir,
    next: Option<Dir>,
}

/// A CPU at work.
struct Worker {
    cpu: usize,
    world: World,
    volume: Rc<Volume<World>>,
    expected: Rc<RefCell<Vec<Expected>>>,
    dir: Live,
    files: BTreeMap<Vec<u8>, Live>,
    rng: Rng,
}

impl Worker {
    fn run(mut self, operations: usize) {
        for _ in 0..operations {
            let now = self.expected.borrow()[self.cpu].now.clone();
            let lock = Lock::Object(self.cpu as u32);
            let world = self.world.clone();
            match world.locked(lock, || self.operation(now)) {
                Ok(()) => {
                    let expected = &mut self.expected.borrow_mut()[self.cpu];
                    expected.now = expected.next.take().unwrap();
                }
                Err(Error::NoSpace | Error::NoInodes) => self.expected.borrow_mut()[self.cpu].next = None,
                Err(error) => panic!("CPU {}: {error:?}", self.cpu),
            }
            if self.rng.below(12) == 0 {
                self.volume.checkpoint().unwrap();
            }
        }
    }

    fn announce(&self, next: Dir) {
        self.expected.borrow_mut()[self.cpu].next = Some(next);
    }

    fn operation(&mut self, now: Dir) -> Result {
        let mut next = now;
        let names: Vec<Vec<u8>> = next.keys().cloned().collect();
        let name = format!("{} {}", self.rng.below(30), "n".repeat(self.rng.below(120) as usize)).into_bytes();
        let taken = self.rng.pick(&names).cloned();
        match (self.rng.below(8), taken) {
            (0..=2, _) | (_, None) if !next.contains_key(&name) => {
                next.insert(name.clone(), Vec::new());
                self.announce(next);
                let new = New { mode: S_IFREG, uid: 0, gid: 0, now: time(2), what: What::File };
                let live = ops::create(&self.volume, &mut self.dir, &name, &new)?.reply();
                self.files.insert(name, live);
            }
            (3 | 4, Some(taken)) => {
                let tag = self.rng.draw() as u8 | 1;
                let mut data = next[&taken].clone();
                let at = data.len() as u64 / BLOCK;
                data.resize(data.len() + BLOCK as usize, tag);
                let size = data.len() as u64;
                next.insert(taken.clone(), data);
                self.announce(next);
                let blocks = self.volume.reserve(0, 1, false)?;
                blocks.store(0, &[tag; BLOCK as usize])?;
                let live = self.files.get_mut(&taken).unwrap();
                let _ = ops::attach(&self.volume, live, at, blocks.written(), Some(size), time(3))?;
            }
            (5, Some(taken)) if !next.contains_key(&name) => {
                let data = next.remove(&taken).unwrap();
                next.insert(name.clone(), data);
                self.announce(next);
                let mut live = self.files.remove(&taken).unwrap();
                let rename = ops::Rename {
                    from: &mut self.dir,
                    from_name: &taken,
                    to: None,
                    to_name: &name,
                    moved: &mut live,
                    victim: None,
                    now: time(4),
                };
                let result = ops::rename(&self.volume, rename).map(drop);
                self.files.insert(if result.is_ok() { name } else { taken }, live);
                result?;
            }
            (_, Some(taken)) => {
                next.remove(&taken);
                self.announce(next);
                let mut live = self.files.remove(&taken).unwrap();
                let _ = ops::unlink(&self.volume, &mut self.dir, &taken, &mut live, time(5))?;
                ops::evict(&self.volume, live)?;
            }
            _ => self.announce(next),
        }
        Ok(())
    }
}

/// The directories of a volume.
fn dirs(model: &Model) -> Vec<Dir> {
    let contents = |dir: &u64| {
        let data = |ino: &u64| match &model.nodes[ino].kind {
            Kind::File(data) => data.clone(),
            _ => panic!("only files here"),
        };
        model.entries(*dir).iter().map(|(name, ino)| (name.clone(), data(ino))).collect()
    };
    model.entries(ROOT).values().map(contents).collect()
}

/// Mounts what is left, checks it, and compares.
fn recover(image: &[u64], expected: &[Expected]) {
    let memory = memory(image);
    let geometry = Geometry::read(&memory).unwrap();
    let machine = Plain::new(memory, &geometry);
    let driver = Driver::mount(&machine).expect("the volume mounts");
    driver.check().expect("the volume fits together");
    for (cpu, (found, expected)) in dirs(&driver.read_back().unwrap()).iter().zip(expected).enumerate() {
        assert!(
            *found == expected.now || Some(found) == expected.next.as_ref(),
            "CPU {cpu}: {:?} instead of {:?} or {:?}",
            found.keys(),
            expected.now.keys(),
            expected.next.as_ref().map(BTreeMap::keys)
        );
    }
}

fn run(seed: u64, cpus: usize, size: usize, operations: usize) -> usize {
    let formatted = Memory::new(size);
    mkfs::format(&formatted, &options(2, 2048, 768)).unwrap();
    let world = World::new(words(&formatted), cpus, seed);
    world.prepare(&Geometry::read(&world).unwrap());
    let mut driver = Driver::mount(world.clone()).unwrap();
    for cpu in 0..cpus {
        driver.apply(&Op::Mkdir(ROOT, format!("cpu {cpu}").into_bytes())).unwrap();
    }
    // Nearly all numbers of the first chunk are in use: the table has to grow, and two may want it at once.
    driver.apply(&Op::Mkdir(ROOT, b"full".to_vec())).unwrap();
    let full = driver.model.entries(ROOT)[&b"full"[..]];
    while driver.model.nodes.len() < 232 {
        driver.apply(&Op::Create(full, format!("{}", driver.model.nodes.len()).into_bytes())).unwrap();
    }
    let volume = driver.volume.clone();
    let expected = Rc::new(RefCell::new(vec![Expected::default(); cpus]));
    let programs = (0..cpus).map(|cpu| {
        let ino = driver.model.entries(ROOT)[format!("cpu {cpu}").as_bytes()];
        let worker = Worker {
            cpu,
            world: world.clone(),
            volume: volume.clone(),
            expected: expected.clone(),
            dir: inode::load(&volume, ino, None).unwrap(),
            files: BTreeMap::new(),
            rng: Rng(seed * 64 + cpu as u64),
        };
        Box::new(move || worker.run(operations)) as Program
    });
    let mut random = Random::new(seed);
    let mut cuts = 0;
    let rate = |fenced| if fenced { 60 } else { 3 };
    world.run(programs.collect(), Policy::Chance(200), &mut |world, fenced| {
        if random.chance(rate(fenced)) {
            cuts += 1;
            let image = world.media.borrow().cut(any_cut(&mut random), &mut random);
            recover(&image, &expected.borrow());
        }
    });
    let image = world.media.borrow().cut(pfnfs_sim::media::Cut::All, &mut random);
    recover(&image, &expected.borrow());
    cuts
}

#[test]
fn cpus_do_not_mix_up_what_they_share() {
    let cuts: usize = (0..6).map(|seed| run(seed, 3, 900 << 10, 40)).sum();
    println!("{cuts} cuts");
    assert!(cuts > 200);
}

#[test]
fn cpus_share_a_volume_that_is_nearly_full() {
    let cuts: usize = (20..24).map(|seed| run(seed, 3, 420 << 10, 50)).sum();
    println!("{cuts} cuts");
    assert!(cuts > 150);
}
