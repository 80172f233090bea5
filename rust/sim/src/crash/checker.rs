// SPDX-License-Identifier: GPL-2.0

//! Somebody who checks a volume while others change it, as fsck.pfnfs would if the device let it:
//! with a machine of its own over the live memory, and the log replayed beside it. What it says
//! then counts for nothing; but it comes to an end, nothing panics, nothing is stored, and once the
//! others are done it finds the volume sound.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use pfnfs_core::media::{Error, Geometry, Pmem, PmemMut, Result};
use pfnfs_core::meta::{dir, walk, Open, Volume};

use super::open::Patient;
use crate::plain::Plain;
use crate::world::World;

/// Reads that a check of such a small volume may need.
const READS: u64 = 400_000;
/// Reads between two moments at which others go on.
const PACE: u64 = 6;

/// The live memory, and what was stored beside it.
struct Beside {
    world: World,
    bytes: RefCell<BTreeMap<u64, u8>>,
    reads: Cell<u64>,
}

impl Pmem for Beside {
    fn size(&self) -> u64 {
        self.world.size()
    }

    fn read_bytes(&self, at: u64, into: &mut [u8]) -> Result {
        self.reads.set(self.reads.get() + 1);
        assert!(self.reads.get() < READS, "a check that does not end");
        if self.reads.get() % PACE == 0 {
            self.world.give_way();
        }
        self.world.read_bytes(at, into)?;
        let bytes = self.bytes.borrow();
        for (at, byte) in bytes.range(at..at + into.len() as u64).map(|(own, byte)| (own - at, byte)) {
            into[at as usize] = *byte;
        }
        Ok(())
    }
}

impl PmemMut for Beside {
    fn store(&self, at: u64, bytes: &[u8]) -> Result {
        if at.checked_add(bytes.len() as u64).is_none_or(|end| end > self.size()) {
            return Err(Error::Invalid("past the end of the media"));
        }
        self.bytes.borrow_mut().extend((at..).zip(bytes.iter().copied()));
        Ok(())
    }

    fn store_nt(&self, at: u64, bytes: &[u8]) -> Result {
        self.store(at, bytes)
    }

    fn zero(&self, at: u64, len: u64) -> Result {
        self.store(at, &vec![0; len as usize])
    }

    fn zero_nt(&self, at: u64, len: u64) -> Result {
        self.zero(at, len)
    }

    fn flush(&self, _at: u64, _len: u64) {}

    fn fence(&self) {}

    fn set_bits(&self, at: u64, first: u32, count: u32) -> Result {
        self.bits(at, first, count, |byte, mask| byte | mask)
    }

    fn clear_bits(&self, at: u64, first: u32, count: u32) -> Result {
        self.bits(at, first, count, |byte, mask| byte & !mask)
    }
}

impl Beside {
    fn bits(&self, at: u64, first: u32, count: u32, f: impl Fn(u8, u8) -> u8) -> Result {
        for bit in first..first + count {
            let (at, mut byte) = (at + u64::from(bit / 8), [0]);
            self.read_bytes(at, &mut byte)?;
            self.store(at, &[f(byte[0], 1 << (bit % 8))])?;
        }
        Ok(())
    }
}

/// One check. What the first thing is that it finds wrong.
fn check(world: &World, geometry: &Geometry) -> Result {
    let memory = Beside { world: world.clone(), bytes: RefCell::default(), reads: Cell::new(0) };
    let machine = Plain::new(memory, geometry);
    let mut first = Ok(());
    let volume = Volume::open_in_spite(&machine, *geometry, Open::ReadOnly, &mut |problem| {
        first = first.and(Err(problem.error));
        Ok(())
    })?;
    let mut blocks = vec![0; walk::Scratch::block_words(geometry)];
    let mut links = vec![0; walk::Scratch::link_words(&volume)];
    let mut keys = dir::Scratch::new();
    let mut scratch = walk::Scratch { blocks: &mut blocks, links: &mut links, keys: &mut keys };
    // To the end, whatever there is; then up to the first problem.
    walk::check(&volume, &mut scratch, &mut Patient)?;
    first.and_then(|()| walk::check(&volume, &mut scratch, &mut ()).map(drop))
}

/// Checks while others are at work.
pub fn meanwhile(world: &World, geometry: &Geometry, rounds: usize) {
    for _ in 0..rounds {
        let _ = check(world, geometry);
    }
}

/// Checks when all is done.
pub fn at_last(world: &World, geometry: &Geometry) -> std::result::Result<(), String> {
    check(world, geometry).map_err(|error| format!("a check of the sound volume: {error:?}"))
}
