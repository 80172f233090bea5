// SPDX-License-Identifier: GPL-2.0

//! The steps that the core makes of what is done to the data of files: where fresh blocks lie, how
//! far a step goes, what a fault gets to see.

mod common;

use std::cell::RefCell;

use common::driver::{Driver, Op, ROOT};
use common::{options, time};
use pfnfs_core::media::{Error, Geometry, PmemMut, Result, BLOCK, HUGE};
use pfnfs_core::meta::extent::{self, Extent};
use pfnfs_core::meta::file::{self, Carried, Clear, Done, Fault, How, Piece, Seen, Shown, Source, Write};
use pfnfs_core::meta::inode::Live;
use pfnfs_core::meta::{mkfs, ops};
use pfnfs_sim::fs::carrier::Carrier;
use pfnfs_sim::plain::{Memory, Plain};

type Machine = &'static Plain;

const HUGE_BLOCKS: u64 = HUGE as u64;

fn driver(size: usize) -> Driver<Machine> {
    let memory = Memory::new(size);
    // Whatever is shown has to be zeroed first.
    for at in (0..size as u64).step_by(4096) {
        memory.store(at, &[0xee; 4096]).unwrap();
    }
    mkfs::format(&memory, &options(2, 8192, 256)).unwrap();
    let geometry = Geometry::read(&memory).unwrap();
    Driver::mount(&*Box::leak(Box::new(Plain::new(memory, &geometry)))).unwrap()
}

fn file(driver: &mut Driver<Machine>, name: &str) -> u64 {
    driver.apply(&Op::Create(ROOT, name.into())).unwrap();
    driver.model.entries(ROOT)[name.as_bytes()]
}

/// Device block and length of the extent at a block of a file.
fn at(driver: &Driver<Machine>, ino: u64, block: u64) -> (u64, u64) {
    match extent::find(&driver.volume, &driver.lives[&ino], block).unwrap() {
        Extent::Data { block, len, .. } => (block, len.into()),
        Extent::Hole { .. } => panic!("a hole at {block} of {ino}"),
    }
}

/// So many blocks of the file from there on are unwritten; none if they are something else.
fn unwritten(driver: &Driver<Machine>, live: &Live, block: u64) -> u64 {
    match extent::find(&driver.volume, live, block).unwrap() {
        Extent::Data { len, unwritten: true, .. } => len.into(),
        _ => 0,
    }
}

/// A carrier that notes what it carries, and may be forbidden to store.
struct Noted<'a> {
    carrier: Carrier<'a, Machine>,
    /// Bytes of every copy, fetch and zeroing, as they were asked for.
    asked: RefCell<Vec<u64>>,
    may_store: bool,
}

impl<'a> Noted<'a> {
    fn new(driver: &'a Driver<Machine>, bytes: &'a [u8]) -> Self {
        Self { carrier: Carrier::new(&driver.machine, bytes), asked: RefCell::default(), may_store: true }
    }

    fn most(&self) -> u64 {
        self.asked.borrow().iter().copied().max().unwrap_or(0)
    }
}

impl file::Carrier for Noted<'_> {
    type Error = Error;

    fn zero(&mut self, at: u64, len: u64) -> Result {
        assert!(self.may_store, "a store of who may not");
        self.asked.borrow_mut().push(len);
        self.carrier.zero(at, len)
    }

    fn flush(&mut self, at: u64, len: u64) {
        self.carrier.flush(at, len);
    }

    fn fence(&mut self) {
        self.carrier.fence();
    }

    fn may_store(&mut self) -> bool {
        self.may_store
    }
}

impl Source for Noted<'_> {
    fn is_loss(error: &Error) -> bool {
        Carrier::<Machine>::is_loss(error)
    }

    fn copy(&mut self, at: u64, len: u64) -> Result<u64> {
        self.asked.borrow_mut().push(len);
        self.carrier.copy(at, len)
    }

    fn fetch(&mut self, len: u64) -> Result<u64> {
        self.asked.borrow_mut().push(len);
        self.carrier.fetch(len)
    }

    fn store(&mut self, at: u64, len: u64) -> Result {
        self.carrier.store(at, len)
    }
}

/// All steps of a write: bytes of each, and most that was asked for at once.
fn steps(driver: &Driver<Machine>, live: &mut Live, pos: u64, bytes: &[u8]) -> (Vec<u64>, u64) {
    let (mut write, mut steps, mut most, mut rest) = (Write::new(pos), Vec::new(), 0, bytes);
    while !rest.is_empty() {
        let mut source = Noted::new(driver, rest);
        let step = write.next(&driver.volume, live, rest.len() as u64).unwrap();
        let carried = write.carry(&driver.volume, step, &mut source).unwrap_or_else(|error| panic!("{error:?}"));
        let done = write.record(&driver.volume, live, carried, &mut source, time(9));
        let done = done.unwrap_or_else(|error| panic!("{error:?}"));
        most = most.max(source.most());
        steps.push(done.bytes);
        rest = &rest[done.bytes as usize..];
    }
    (steps, most)
}

/// What a fault gets to see, all of it.
fn seen(driver: &Driver<Machine>, live: &mut Live, mut fault: Fault, may_store: bool) -> Result<Vec<Seen>> {
    let mut carrier = Noted { may_store, ..Noted::new(driver, &[]) };
    let mut all = Vec::new();
    while let Some(seen) = fault.next(&driver.volume, live, &mut carrier, time(9))? {
        all.push(seen);
    }
    Ok(all)
}

/// The same of a write fault, which fills blocks in one go: what it shows of them.
fn filled(driver: &Driver<Machine>, live: &mut Live, fault: Fault) -> Shown {
    let all = seen(driver, live, fault, true).unwrap();
    let mut shown = all.into_iter().filter_map(|seen| match seen {
        Seen::Blocks(shown) if !shown.filled.is_empty() => Some(shown),
        _ => None,
    });
    shown.next().expect("nothing was filled")
}

#[test]
fn two_mebibytes_of_a_file_are_two_mebibytes_of_the_media() {
    let mut driver = driver(16 << 20);
    let ino = file(&mut driver, "file");
    driver.apply(&Op::Preallocate(ino, 0, 1100)).unwrap();
    let (block, len) = at(&driver, ino, 0);
    assert_eq!((block % HUGE_BLOCKS, len), (0, 1100), "large from the start on");
    // Of a small write in the middle, what could begin such a run does so, and what is before it
    // does not run into it.
    let ino = file(&mut driver, "other");
    driver.apply(&Op::Write(ino, (HUGE_BLOCKS - 3) * BLOCK, vec![1; 7 * BLOCK as usize])).unwrap();
    assert_eq!(at(&driver, ino, HUGE_BLOCKS - 3).1, 3);
    assert_eq!(at(&driver, ino, HUGE_BLOCKS).0 % HUGE_BLOCKS, 0);
    // But for the first blocks of a file that may stay small.
    let ino = file(&mut driver, "small");
    driver.apply(&Op::Write(ino, 0, vec![1; 3 * BLOCK as usize])).unwrap();
    assert_ne!(at(&driver, ino, 0).0 % HUGE_BLOCKS, 0);
    driver.compare();
}

#[test]
fn what_continues_a_file_lies_behind_it() {
    let mut driver = driver(4 << 20);
    let (first, ino) = (file(&mut driver, "first"), file(&mut driver, "file"));
    driver.apply(&Op::Write(first, 0, vec![1; 2 * BLOCK as usize])).unwrap();
    driver.apply(&Op::Write(ino, 0, vec![1; BLOCK as usize])).unwrap();
    driver.apply(&Op::Truncate(first, 0)).unwrap();
    let (block, _) = at(&driver, ino, 0);
    driver.apply(&Op::Write(ino, BLOCK, vec![1; BLOCK as usize])).unwrap();
    assert_eq!(at(&driver, ino, 0), (block, 2), "written");
    driver.apply(&Op::Preallocate(ino, 2, 1)).unwrap();
    assert_eq!(at(&driver, ino, 2), (block + 2, 1), "preallocated");
    driver.apply(&Op::Extend(ino, 9 * BLOCK)).unwrap();
    driver.apply(&Op::MapStore(ino, 3 * BLOCK, vec![1; 8], false)).unwrap();
    assert_eq!(at(&driver, ino, 3), (block + 3, 1), "by a fault");
}

#[test]
fn a_step_of_a_write_is_bounded() {
    let mut driver = driver(32 << 20);
    let ino = file(&mut driver, "file");
    let mut live = driver.lives.remove(&ino).unwrap();
    let (taken, most) = steps(&driver, &mut live, 100, &vec![1; 20 << 20]);
    assert_eq!((taken.iter().sum::<u64>(), most <= 8 << 20, taken.len() >= 3), (20 << 20, true, true), "{taken:?}");
    let ino = file(&mut driver, "unwritten");
    driver.apply(&Op::Preallocate(ino, 0, 100)).unwrap();
    let mut live = driver.lives.remove(&ino).unwrap();
    let (taken, most) = steps(&driver, &mut live, 1000, &vec![1; 200_000]);
    assert_eq!((taken, most), (vec![64_536, 65_536, 65_536, 4392], 65_536));
    // Up to the old end, to that of what is written, and to that of an extent.
    let (taken, _) = steps(&driver, &mut live, 200_000, &vec![2; 10_000]);
    assert_eq!(taken, [1000, 3800, 5200]);
    let (taken, _) = steps(&driver, &mut live, 99 * BLOCK + 1, &vec![2; 8192]);
    assert_eq!(taken, [4095, 4097]);
}

#[test]
fn a_fault_may_be_faster_than_a_write() {
    let mut driver = driver(4 << 20);
    let ino = file(&mut driver, "file");
    driver.apply(&Op::Extend(ino, 9 * BLOCK)).unwrap();
    driver.apply(&Op::Preallocate(ino, 5, 1)).unwrap();
    let mut live = driver.lives.remove(&ino).unwrap();
    let free = driver.volume.space().free;
    let mut source = Noted::new(&driver, &[5; 3 * BLOCK as usize]);
    let mut write = Write::new(BLOCK);
    let step = write.next(&driver.volume, &live, 3 * BLOCK).unwrap();
    let carried = write.carry(&driver.volume, step, &mut source).unwrap_or_else(|error| panic!("{error:?}"));
    assert!(matches!(carried, Carried::Filled(..)));
    filled(&driver, &mut live, Fault::new(0..9, 3, true, false));
    let done = write.record(&driver.volume, &mut live, carried, &mut source, time(9)).unwrap();
    assert_eq!(done, Done { bytes: 0, filled: 0..0 }, "look again");
    assert_eq!(driver.volume.space().free, free - 1, "its blocks are given back");
    // A block that was not written, and is when the buffer is full.
    let mut source = Noted::new(&driver, &[5; 10]);
    let mut write = Write::new(5 * BLOCK + 50);
    let step = write.next(&driver.volume, &live, 10).unwrap();
    let carried = write.carry(&driver.volume, step, &mut source).unwrap_or_else(|error| panic!("{error:?}"));
    filled(&driver, &mut live, Fault::new(0..9, 5, true, false));
    let done = write.record(&driver.volume, &mut live, carried, &mut source, time(9)).unwrap();
    assert_eq!((done.bytes, done.filled.is_empty(), write.overwrote()), (10, true, true), "its times are not set");
}

#[test]
fn a_fault_in_a_hole_takes_a_huge_page_where_it_can() {
    let mut driver = driver(8 << 20);
    let ino = file(&mut driver, "file");
    driver.apply(&Op::Extend(ino, 3 * HUGE_BLOCKS * BLOCK - 1)).unwrap();
    let mut live = driver.lives.remove(&ino).unwrap();
    let window = HUGE_BLOCKS..2 * HUGE_BLOCKS;
    let shown = filled(&driver, &mut live, Fault::new(window.clone(), HUGE_BLOCKS + 7, true, true));
    assert_eq!((shown.at, shown.len, shown.block % HUGE_BLOCKS), (HUGE_BLOCKS, HUGE_BLOCKS, 0));
    // A window that is cut off, one that has blocks, and one that is not to be huge.
    for (window, at, huge) in [(0..HUGE_BLOCKS - 1, 7, true), (0..HUGE_BLOCKS, 8, true), (0..HUGE_BLOCKS, 9, false)] {
        let shown = filled(&driver, &mut live, Fault::new(window, at, true, huge));
        assert_eq!((shown.at, shown.len), (at, 1));
    }
    // No such run is free, but a block is.
    let rest = file(&mut driver, "rest");
    let free = driver.volume.space().free as u32;
    driver.apply(&Op::Preallocate(rest, 0, free - 20)).unwrap();
    let window = 2 * HUGE_BLOCKS..3 * HUGE_BLOCKS;
    let shown = filled(&driver, &mut live, Fault::new(window, 2 * HUGE_BLOCKS + 5, true, true));
    assert_eq!((shown.at, shown.len), (2 * HUGE_BLOCKS + 5, 1));
}

#[test]
fn a_fault_converts_no_more_than_it_is_to() {
    const ALL: u64 = 18_000;
    let mut driver = driver(80 << 20);
    let ino = file(&mut driver, "file");
    driver.apply(&Op::Preallocate(ino, 0, ALL as u32)).unwrap();
    driver.apply(&Op::Extend(ino, (ALL - 500) * BLOCK)).unwrap();
    let mut live = driver.lives.remove(&ino).unwrap();
    // The window, and the end of the file in it.
    let shown = filled(&driver, &mut live, Fault::new(0..HUGE_BLOCKS, 7, true, false));
    assert_eq!((shown.at, shown.len, &shown.filled), (0, HUGE_BLOCKS, &(0..HUGE_BLOCKS)));
    assert_eq!(unwritten(&driver, &live, HUGE_BLOCKS), ALL - HUGE_BLOCKS);
    // 64 MiB, and what is beyond the end stays as it is.
    let shown = filled(&driver, &mut live, Fault::new(HUGE_BLOCKS..2 * HUGE_BLOCKS, HUGE_BLOCKS, true, true));
    assert_eq!((shown.at, shown.len), (HUGE_BLOCKS, 16_384));
    let start = 33 * HUGE_BLOCKS;
    let shown = filled(&driver, &mut live, Fault::new(start..start + HUGE_BLOCKS, start + 9, true, true));
    assert_eq!((shown.at, shown.len), (start, ALL - 500 - start));
    assert_eq!(unwritten(&driver, &live, ALL - 500), 500);
    // What was written beyond the end is not shown.
    driver.lives.insert(ino, live);
    driver.apply(&Op::Truncate(ino, start * BLOCK)).unwrap();
    assert_eq!(driver.lives[&ino].blocks(), start);
    driver.compare();
}

#[test]
fn the_end_of_a_file_is_zeroed_or_shown_as_a_copy() {
    let mut driver = driver(4 << 20);
    let ino = file(&mut driver, "file");
    driver.apply(&Op::Write(ino, 0, vec![7; 2 * BLOCK as usize])).unwrap();
    driver.apply(&Op::Truncate(ino, BLOCK + 100)).unwrap();
    let (block, _) = at(&driver, ino, 0);
    let mut live = driver.lives.remove(&ino).unwrap();
    let run = |len, copy| vec![Seen::Blocks(Shown { at: 0, block, len, filled: 0..0, copy })];
    // Who may not store: the last block is not shown, and a copy of it to who touches it.
    let fault = |at| Fault::new(0..2, at, false, false);
    assert_eq!(seen(&driver, &mut live, fault(0), false).unwrap(), run(1, None));
    let copy = ((block + 1) * BLOCK, 100);
    assert_eq!(seen(&driver, &mut live, fault(1), false).unwrap(), run(1, Some(copy)));
    let mut byte = [0];
    let mut past_end = |driver: &Driver<Machine>| {
        pfnfs_core::media::Pmem::read_bytes(&driver.machine, (block + 1) * BLOCK + 100, &mut byte).unwrap();
        byte[0]
    };
    assert_eq!(past_end(&driver), 7);
    // Who may: it is zeroed.
    assert_eq!(seen(&driver, &mut live, fault(0), true).unwrap(), run(2, None));
    assert_eq!(past_end(&driver), 0);
    // Blocks beyond the end are nobody's to see.
    driver.lives.insert(ino, live);
    driver.apply(&Op::Write(ino, 0, vec![7; 3 * BLOCK as usize])).unwrap();
    driver.apply(&Op::Preallocate(ino, 3, 4)).unwrap();
    let mut live = driver.lives.remove(&ino).unwrap();
    let all = seen(&driver, &mut live, Fault::new(0..7, 1, false, false), true).unwrap();
    assert!(matches!(&all[..], [Seen::Blocks(Shown { at: 0, len: 3, .. })]), "{all:?}");
    // Holes and unwritten blocks are zeroes for who reads; nothing becomes of them.
    assert_eq!(file::piece(&driver.volume, &live, 3 * BLOCK + 5).unwrap(), Piece::Zeroes(4 * BLOCK - 5));
    assert_eq!(
        file::piece(&driver.volume, &live, BLOCK + 5).unwrap(),
        Piece::Media((block + 1) * BLOCK + 5, 2 * BLOCK - 5)
    );
    driver.lives.insert(ino, live);
    driver.apply(&Op::Extend(ino, 9 * BLOCK)).unwrap();
    let mut live = driver.lives.remove(&ino).unwrap();
    for at in [4, 8] {
        let all = seen(&driver, &mut live, Fault::new(3..9, at, false, false), true).unwrap();
        assert_eq!(all, [Seen::Hole(at)]);
    }
}

#[test]
fn a_range_is_cleared_as_far_as_it_goes() {
    let parts = |from, to, size| {
        let clear = Clear::new(from..to, size);
        let edges: Vec<_> = clear.edges().map(|edge| (edge.start, edge.end)).collect();
        (edges, clear.blocks(), clear.is_empty())
    };
    let none: Vec<(u64, u64)> = Vec::new();
    assert_eq!(parts(0, 8192, 100_000), (none.clone(), Some(0..2), false));
    assert_eq!(parts(100, 200, 100_000), (vec![(100, 200)], None, false));
    assert_eq!(parts(100, 4096, 100_000), (vec![(100, 4096)], None, false));
    assert_eq!(parts(4096, 4100, 100_000), (vec![(4096, 4100)], None, false));
    assert_eq!(parts(100, 4200, 100_000), (vec![(100, 4096), (4096, 4200)], None, false));
    assert_eq!(parts(100, 9000, 100_000), (vec![(100, 4096), (8192, 9000)], Some(1..2), false));
    assert_eq!(parts(100, 90_000, 9000), (vec![(100, 4096), (8192, 9000)], Some(1..2), false));
    assert_eq!(parts(9000, 90_000, 9000), (none, None, true));
    let mut driver = driver(4 << 20);
    let ino = file(&mut driver, "file");
    driver.apply(&Op::Write(ino, 0, vec![7; 20_000])).unwrap();
    driver.apply(&Op::Preallocate(ino, 5, 3)).unwrap();
    let free = driver.volume.space().free;
    driver.apply(&Op::Punch(ino, 5000..60_000)).unwrap();
    assert_eq!(driver.volume.space().free, free + 2, "what is beyond the end stays");
    driver.apply(&Op::Zero(ino, 4100..60_000)).unwrap();
    driver.apply(&Op::Zero(ino, 3..9)).unwrap();
    driver.compare();
    let live = driver.lives.get_mut(&ino).unwrap();
    let clear = Clear::new(0..8192, live.size());
    let left = clear.whole(&driver.volume, live, How::Keep, &mut Carrier::new(&driver.machine, &[]), time(9));
    assert_eq!(left.unwrap(), 0..0, "there is space");
}

#[test]
fn what_lies_beyond_the_end_is_zeroed_before_it_moves() {
    let mut driver = driver(4 << 20);
    let ino = file(&mut driver, "file");
    driver.apply(&Op::Write(ino, 0, vec![7; 100])).unwrap();
    // As an append leaves it that did not return.
    let (machine, (first, _)) = (driver.machine, at(&driver, ino, 0));
    let blocks = driver.volume.reserve(first + 1, 5, false).unwrap();
    let nines = |first, count| machine.store_nt(first * BLOCK, &vec![9; count as usize * 4096]);
    let blocks = blocks.write_with(nines).unwrap();
    let live = driver.lives.get_mut(&ino).unwrap();
    ops::attach(&driver.volume, live, 1, blocks, None, time(9)).unwrap().reply();
    assert_eq!(at(&driver, ino, 0), (first, 6));
    let mut live = driver.lives.remove(&ino).unwrap();
    let all = seen(&driver, &mut live, Fault::new(0..1, 0, false, true), true).unwrap();
    assert!(matches!(&all[..], [Seen::Blocks(Shown { at: 0, len: 1, .. })]), "{all:?}");
    driver.lives.insert(ino, live);
    driver.apply(&Op::Extend(ino, 4 * BLOCK + 10)).unwrap();
    driver.compare();
    // Who writes behind it leaves no gap of what was there.
    driver.apply(&Op::Write(ino, 6 * BLOCK + 500, vec![7; 100])).unwrap();
    driver.compare();
}
