// SPDX-License-Identifier: GPL-2.0

//! Times that an inode has in memory only: mtime and ctime go with its next record, whatever that is for, and no record takes an older
//! time for the present; atime waits for `set_attr`.

mod common;

use common::driver::{Driver, Op, ROOT};
use common::{options, time};
use pfnfs_core::media::Geometry;
use pfnfs_core::meta::inode::{self, Live};
use pfnfs_core::meta::{mkfs, ops};
use pfnfs_sim::plain::{Memory, Plain};

/// When everything was touched, and when the operation is done.
const TOUCHED: i64 = 500;
const THEN: i64 = 1000;
/// Bytes of a block.
const BLOCK: u64 = 4096;

/// A volume with a file of two names in one directory, and other objects.
fn driver() -> (Driver<&'static Plain>, u64, u64) {
    let memory = Memory::new(1 << 20);
    mkfs::format(&memory, &options(2, 8192, 256)).unwrap();
    let geometry = Geometry::read(&memory).unwrap();
    let mut driver = Driver::mount(&*Box::leak(Box::new(Plain::new(memory, &geometry)))).unwrap();
    let name = |name: &str| name.as_bytes().to_vec();
    driver.apply(&Op::Mkdir(ROOT, name("dir"))).unwrap();
    driver.apply(&Op::Mkdir(ROOT, name("other"))).unwrap();
    driver.apply(&Op::Create(ROOT, name("file"))).unwrap();
    let dir = driver.model.entries(ROOT)[&b"dir"[..]];
    let file = driver.model.entries(ROOT)[&b"file"[..]];
    driver.apply(&Op::Write(file, 0, vec![1; 5 * BLOCK as usize])).unwrap();
    driver.apply(&Op::Preallocate(file, 8, 2)).unwrap();
    driver.apply(&Op::Link(dir, name("second"), file)).unwrap();
    driver.apply(&Op::Create(dir, name("small"))).unwrap();
    (driver, dir, file)
}

/// Every operation that makes a record of a file, a directory or both.
fn operations(dir: u64, file: u64) -> Vec<Op> {
    let name = |name: &str| name.as_bytes().to_vec();
    vec![
        Op::Create(dir, name("new")),
        Op::Mkdir(dir, name("new")),
        Op::Symlink(dir, name("new"), name("target")),
        Op::Link(dir, name("new"), file),
        Op::Unlink(dir, name("second")),
        Op::Unlink(dir, name("small")),
        Op::UnlinkOpen(dir, name("small")),
        Op::Unlink(ROOT, name("other")),
        Op::Rename(dir, name("second"), ROOT, name("third")),
        Op::Rename(dir, name("small"), ROOT, name("file")),
        Op::Rename(ROOT, name("other"), dir, name("other")),
        Op::Rename(dir, name("second"), dir, name("third")),
        Op::Write(file, 5 * BLOCK, vec![2; 10]),
        Op::Write(file, 20 * BLOCK, vec![2; 10]),
        Op::Write(file, 8 * BLOCK, vec![2; 10]),
        Op::Truncate(file, 100),
        Op::Extend(file, 30 * BLOCK),
        Op::Preallocate(file, 12, 2),
        Op::Punch(file, BLOCK..2 * BLOCK),
        Op::Chmod(file, 0o600),
        Op::Chmod(dir, 0o700),
    ]
}

fn media(driver: &Driver<&'static Plain>, ino: u64) -> Live {
    inode::load(&driver.volume, ino, None).unwrap()
}

#[test]
fn a_record_takes_along_what_was_touched() {
    let (_, dir, file) = driver();
    let mut records = 0;
    for op in operations(dir, file) {
        let (mut driver, ..) = driver();
        for live in driver.lives.values_mut() {
            live.touch(time(TOUCHED)).unwrap();
            live.accessed(time(TOUCHED - 1)).unwrap();
            assert!(live.is_touched());
        }
        let before: Vec<_> = driver.lives.keys().map(|ino| (*ino, media(&driver, *ino))).collect();
        driver.clock = THEN - 1;
        driver.apply(&op).unwrap();
        let mut recorded = 0;
        for (ino, before) in before {
            let Some(live) = driver.lives.get(&ino) else { continue };
            let after = media(&driver, ino);
            assert!(live.mtime().sec.get() >= TOUCHED && live.ctime().sec.get() >= TOUCHED, "{op:?}: {live:?}");
            assert_eq!(live.atime(), time(TOUCHED - 1), "{op:?}");
            if !matches!(op, Op::Chmod(..)) {
                assert_eq!(after.atime(), before.atime(), "{op:?}: atime makes records larger");
            }
            if after.format().crc == before.format().crc {
                continue;
            }
            recorded += 1;
            assert_eq!((live.mtime(), live.ctime()), (after.mtime(), after.ctime()), "{op:?}");
            assert_eq!(live.ctime(), time(THEN), "{op:?}");
        }
        assert!(recorded > 0, "{op:?} made no record");
        records += recorded;
        for live in driver.lives.values_mut() {
            let _ = ops::set_attr(&driver.volume, live, &ops::SetAttr::default()).unwrap();
            assert!(!live.is_touched());
            let after = inode::load(&driver.volume, live.ino(), None).unwrap();
            let times = |live: &Live| (live.atime(), live.mtime(), live.ctime());
            assert_eq!(times(live), times(&after), "{op:?}");
        }
    }
    // Link, unlink and rename change two to four inodes each.
    assert!(records > 30, "{records}");
}

#[test]
fn what_only_a_name_changes_keeps_its_newer_mtime() {
    for op in [3, 4, 8, 9, 11, 19] {
        let (mut driver, dir, file) = driver();
        driver.lives.get_mut(&file).unwrap().touch(time(TOUCHED)).unwrap();
        driver.clock = THEN - 1;
        driver.apply(&operations(dir, file)[op]).unwrap();
        let live = media(&driver, file);
        assert_eq!((live.mtime(), live.ctime()), (time(TOUCHED), time(THEN)));
    }
}

#[test]
fn times_that_are_set_win_over_those_touched() {
    let (mut driver, _, file) = driver();
    let old = media(&driver, file);
    let live = driver.lives.get_mut(&file).unwrap();
    live.touch(time(TOUCHED)).unwrap();
    live.accessed(time(TOUCHED)).unwrap();
    // To the very values that the media have.
    let set = ops::SetAttr { atime: Some(old.atime()), mtime: Some(old.mtime()), ..Default::default() };
    let _ = ops::set_attr(&driver.volume, live, &set).unwrap();
    assert_eq!((live.atime(), live.mtime(), live.ctime()), (old.atime(), old.mtime(), time(TOUCHED)));
    assert!(!live.is_touched());
    assert_eq!(media(&driver, file).ctime(), time(TOUCHED));
}

#[test]
fn impossible_times_are_refused() {
    let (mut driver, _, file) = driver();
    let live = driver.lives.get_mut(&file).unwrap();
    let never = pfnfs_core::media::format::Time { sec: 1.into(), nsec: 1_000_000_000.into() };
    assert!(live.touch(never).is_err() && live.accessed(never).is_err());
    assert!(!live.is_touched());
}
