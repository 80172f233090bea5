// SPDX-License-Identifier: GPL-2.0

//! Power cuts during repairs: whatever a cut leaves of one, another fsck.pfnfs repairs, and no more is
//! lost than without the cut.

use std::cell::RefCell;

use pfnfs_core::media::format::Time;
use pfnfs_core::media::{Geometry, Pmem, PmemMut, Result};
use pfnfs_core::meta::walk::{self, Problem, Visitor};
use pfnfs_core::meta::{dir, repair, Open, Volume};
use pfnfs_sim::plain::{Memory, Plain};

use super::objects::{CHUNKS, GROUND, INODES, NODES};
use super::sample::Sample;
use super::structure::{ENTRIES, LINKS, SPACE};
use super::{survived, Damage};

/// Memory that remembers what was durable at each fence.
struct Watched {
    memory: Memory,
    seen: RefCell<Vec<Vec<u8>>>,
}

impl Pmem for Watched {
    fn size(&self) -> u64 {
        self.memory.size()
    }

    fn read_bytes(&self, at: u64, into: &mut [u8]) -> Result {
        self.memory.read_bytes(at, into)
    }
}

impl PmemMut for Watched {
    fn store(&self, at: u64, bytes: &[u8]) -> Result {
        self.memory.store(at, bytes)
    }
    fn store_nt(&self, at: u64, bytes: &[u8]) -> Result {
        self.memory.store_nt(at, bytes)
    }
    fn zero(&self, at: u64, len: u64) -> Result {
        self.memory.zero(at, len)
    }
    fn zero_nt(&self, at: u64, len: u64) -> Result {
        self.memory.zero_nt(at, len)
    }
    fn flush(&self, at: u64, len: u64) {
        self.memory.flush(at, len);
    }
    fn fence(&self) {
        self.seen.borrow_mut().push(self.memory.0.borrow().clone());
    }
    fn set_bits(&self, at: u64, first: u32, count: u32) -> Result {
        self.memory.set_bits(at, first, count)
    }
    fn clear_bits(&self, at: u64, first: u32, count: u32) -> Result {
        self.memory.clear_bits(at, first, count)
    }
}

/// All that is wrong.
#[derive(Default)]
struct Problems(Vec<Problem>);

impl Visitor for Problems {
    fn problem(&mut self, problem: &Problem) -> Result {
        if !self.0.contains(problem) {
            self.0.push(*problem);
        }
        Ok(())
    }
}

fn problems(bytes: &[u8], geometry: &Geometry) -> Vec<Problem> {
    let mut found = Problems::default();
    let machine = Plain::new(Memory(bytes.to_vec().into()), geometry);
    let mut tell = |problem: &Problem| found.problem(problem);
    let volume = Volume::open_in_spite(&machine, *geometry, Open::ReadOnly, &mut tell);
    let volume = volume.expect("a volume");
    let mut blocks = vec![0; walk::Scratch::block_words(geometry)];
    let mut links = vec![0; walk::Scratch::link_words(&volume)];
    let mut keys = dir::Scratch::new();
    let mut scratch = walk::Scratch { blocks: &mut blocks, links: &mut links, keys: &mut keys };
    walk::check(&volume, &mut scratch, &mut found).expect("a walk to the end");
    found.0
}

/// Repairs in rounds, as fsck.pfnfs -y does. Returns what comes out, and what a cut may have left of
/// repairs.
fn repaired(bytes: Vec<u8>, geometry: &Geometry) -> (Vec<u8>, Vec<Vec<u8>>) {
    let (mut bytes, mut cuts) = (bytes, Vec::new());
    for _ in 0..20 {
        let found = problems(&bytes, geometry);
        let rank = found.iter().map(|problem| problem.fix.rank()).min();
        if rank.is_none() {
            return (bytes, cuts);
        }
        let memory = Watched { memory: Memory(bytes.into()), seen: RefCell::default() };
        let machine = Plain::new(memory, geometry);
        let volume = Volume::open_in_spite(&machine, *geometry, Open::ReadWrite, &mut |_| Ok(()));
        let volume = volume.expect("a volume");
        for problem in found.iter().filter(|problem| Some(problem.fix.rank()) == rank) {
            let time = Time { sec: 1_800_000_000.into(), nsec: 0.into() };
            machine.memory.seen.borrow_mut().clear();
            // What cannot be repaired yet is met again.
            let _ = repair::apply(&volume, &problem.fix, &mut dir::Scratch::new(), time);
            // Its last record makes it whole.
            machine.memory.seen.borrow_mut().pop();
            cuts.append(&mut machine.memory.seen.borrow_mut());
        }
        volume.close().expect("no errors");
        bytes = machine.memory.memory.0.into_inner();
    }
    panic!("problems that stay");
}

/// Damages the sample, and cuts the power within each repair.
fn cut(damage: &Damage, sound: &Sample) -> usize {
    let mut sample = sound.clone();
    (damage.apply)(&mut sample);
    // Superblocks and slots are not the log's to write.
    let Ok(geometry) = Geometry::read(&Memory(sample.bytes.clone().into())) else { return 0 };
    let (_, cuts) = repaired(sample.bytes, &geometry);
    for (index, bytes) in cuts.iter().enumerate() {
        println!("{}, cut {index}", damage.name);
        let bytes = repaired(bytes.clone(), &geometry).0;
        survived(damage, sound, &Sample { bytes, ..sound.clone() });
    }
    cuts.len()
}

/// Tests all of these, and says how many cuts there were.
fn run(damages: &[Damage]) -> usize {
    let sound = Sample::new(false);
    damages.iter().map(|damage| cut(damage, &sound)).sum()
}

#[test]
fn a_cut_within_the_repair_of_an_inode_table_is_repaired() {
    assert!(run(&GROUND[8..]) >= 5, "a record for each chunk");
}

#[test]
fn a_cut_within_the_repair_of_anything_else_is_repaired() {
    let cuts = [CHUNKS, INODES, NODES, ENTRIES, LINKS, SPACE].map(run);
    assert!(cuts.iter().sum::<usize>() > 10, "{cuts:?}");
}
