// SPDX-License-Identifier: GPL-2.0

//! Limits: names, links, depths, targets, sizes; full volumes and full inode tables; names of the same hash.

mod common;

use common::driver::{Driver, Op, ROOT};
use common::{options, time};
use pfnfs_core::media::{check, Error, Geometry, Pmem, PmemMut, BLOCK};
use pfnfs_core::meta::inode::{self, S_IFDIR, S_IFIFO, S_IFLNK, S_IFREG};
use pfnfs_core::meta::ops::{self, New, What};
use pfnfs_core::meta::{dir, extent, mkfs, Open, Volume};
use pfnfs_sim::plain::{Memory, Plain};
use zerocopy::IntoBytes;

fn plain(size: usize, inodes: u64) -> &'static Plain {
    let memory = Memory::new(size);
    mkfs::format(&memory, &options(2, 8192, inodes)).unwrap();
    let geometry = Geometry::read(&memory).unwrap();
    Box::leak(Box::new(Plain::new(memory, &geometry)))
}

fn driver(size: usize, inodes: u64) -> Driver<&'static Plain> {
    Driver::mount(plain(size, inodes)).unwrap()
}

fn new(mode: u16, what: What<'_>) -> New<'_> {
    New { mode, uid: 0, gid: 0, now: time(9), what }
}

#[test]
fn names_have_1_to_255_bytes_without_slash_and_zero() {
    let mut driver = driver(1 << 20, 256);
    driver.apply(&Op::Create(ROOT, vec![b'a'; 255])).unwrap();
    driver.apply(&Op::Create(ROOT, vec![0xff])).unwrap();
    assert_eq!(driver.apply(&Op::Create(ROOT, vec![b'a'; 256])), Err(Error::NameTooLong));
    for name in [&b""[..], b".", b"..", b"a/b", b"a\0"] {
        assert_eq!(driver.apply(&Op::Create(ROOT, name.to_vec())), Err(Error::Invalid("name")));
    }
    let root = driver.lives[&ROOT].clone();
    assert_eq!(dir::lookup(&driver.volume, &root, &[b'a'; 256]), Err(Error::NameTooLong));
    assert_eq!(dir::lookup(&driver.volume, &root, &[b'a'; 254]), Ok(None));
    driver.compare();
}

#[test]
fn a_directory_lies_in_a_hundred_others() {
    let mut driver = driver(4 << 20, 512);
    let mut at = ROOT;
    for _ in 0..120 {
        driver.apply(&Op::Mkdir(at, b"below".to_vec())).unwrap();
        at = driver.model.entries(at)[&b"below"[..]];
    }
    driver.compare();
    assert_eq!(driver.apply(&Op::Unlink(ROOT, b"below".to_vec())), Err(Error::NotEmpty));
}

#[test]
fn links_end_at_their_limit() {
    let mut driver = driver(16 << 20, 512);
    driver.apply(&Op::Create(ROOT, b"file".to_vec())).unwrap();
    let file = driver.model.files()[0];
    let mut root = driver.lives.remove(&ROOT).unwrap();
    let mut live = driver.lives.remove(&file).unwrap();
    for index in 1..inode::LINKS_MAX {
        let _ = ops::link(&driver.volume, &mut root, format!("{index}").as_bytes(), &mut live, time(2)).unwrap();
    }
    let error = ops::link(&driver.volume, &mut root, b"one more", &mut live, time(2)).map(drop);
    assert_eq!(error, Err(Error::TooManyLinks));
    assert_eq!(live.nlink(), 65_000);
    driver.check().unwrap();
}

/// A volume with `/dir` and `/dir/below`, of which `/dir` says that it has so many links.
fn miscounted(links: u32) -> (Driver<&'static Plain>, u64, u64) {
    let plain = plain(1 << 20, 256);
    let mut driver = Driver::mount(plain).unwrap();
    driver.apply(&Op::Mkdir(ROOT, b"dir".to_vec())).unwrap();
    let dir = driver.model.entries(ROOT)[&b"dir"[..]];
    driver.apply(&Op::Mkdir(dir, b"below".to_vec())).unwrap();
    let below = driver.model.entries(dir)[&b"below"[..]];
    let (at, mut raw) = (driver.lives[&dir].at(), *driver.lives[&dir].format());
    driver.volume.close().unwrap();
    raw.nlink = links.into();
    raw.crc = check::inode_crc(driver.volume.geometry().uuid(), &raw).into();
    plain.memory.store(at, raw.as_bytes()).unwrap();
    (Driver::mount(plain).unwrap(), dir, below)
}

#[test]
fn a_directory_in_use_never_loses_its_own_links() {
    for links in [1, 2] {
        let (driver, dir, below) = miscounted(links);
        let load = |ino| inode::load(&driver.volume, ino, None).unwrap();
        let (mut root, mut parent, mut child) = (load(ROOT), load(dir), load(below));
        let wrong = |done: Result<(), Error>| {
            assert!(matches!(done, Err(Error::Corrupt { why: "number of links", .. })), "{done:?}");
        };
        let volume = &driver.volume;
        wrong(ops::rmdir(volume, &mut parent, b"below", &mut child, time(3)).map(drop));
        let moved = ops::rename(
            &driver.volume,
            ops::Rename {
                from: &mut parent,
                from_name: b"below",
                to: Some(&mut root),
                to_name: b"above",
                moved: &mut child,
                victim: None,
                now: time(3),
            },
        );
        wrong(moved.map(drop));
        assert_eq!((load(dir).nlink(), load(below).nlink()), (links, 2), "nothing was changed");
    }
}

#[test]
fn symlinks_have_up_to_4095_bytes() {
    let mut driver = driver(1 << 20, 256);
    for len in [1, 120, 121, 4095] {
        driver.apply(&Op::Symlink(ROOT, format!("link {len}").into_bytes(), vec![b'x'; len])).unwrap();
    }
    let too_long = Op::Symlink(ROOT, b"link".to_vec(), vec![b'x'; 4096]);
    assert_eq!(driver.apply(&too_long), Err(Error::NameTooLong));
    let empty = Op::Symlink(ROOT, b"link".to_vec(), Vec::new());
    assert_eq!(driver.apply(&empty), Err(Error::Invalid("target of a symlink")));
    driver.compare();
    for len in [1, 120, 121, 4095] {
        driver.apply(&Op::Unlink(ROOT, format!("link {len}").into_bytes())).unwrap();
    }
    driver.compare();
}

#[test]
fn modes_and_types_have_to_agree() {
    let mut driver = driver(1 << 20, 256);
    let mut root = driver.lives.remove(&ROOT).unwrap();
    let wrong = [
        new(S_IFDIR, What::File),
        new(S_IFREG, What::Dir),
        new(S_IFREG, What::Symlink(b"x")),
        new(S_IFLNK, What::Node(1)),
        new(0, What::File),
        New {
            now: pfnfs_core::media::format::Time { sec: 0.into(), nsec: 1_000_000_000.into() },
            ..new(S_IFREG, What::File)
        },
    ];
    let space = driver.volume.space();
    for new in wrong {
        assert!(matches!(ops::create(&driver.volume, &mut root, b"x", &new), Err(Error::Invalid(_))));
    }
    assert_eq!(driver.volume.space(), space, "errors give back what was reserved");
    let _ = ops::create(&driver.volume, &mut root, b"x", &new(S_IFIFO, What::Node(0))).unwrap();
}

#[test]
fn inodes_that_there_is_no_space_for_do_not_count_as_free() {
    let mut driver = driver(1 << 20, 4096);
    driver.apply(&Op::Create(ROOT, b"file".to_vec())).unwrap();
    let file = driver.model.files()[0];
    let before = driver.volume.space();
    assert!(before.free_inodes > 3000, "{before:?}");
    for index in 0.. {
        if driver.apply(&Op::Write(file, index * BLOCK, vec![1; BLOCK as usize])).is_err() {
            break;
        }
    }
    let full = driver.volume.space();
    // One chunk of the table, in which two numbers are taken, and no space for another.
    assert_eq!((full.free, full.free_inodes), (0, 238));
}

/// Creates until nothing goes, frees a bit, goes on; at the end all comes back.
fn fill(size: usize, inodes: u64, expected: Error, bytes: usize) {
    let mut driver = driver(size, inodes);
    driver.apply(&Op::Mkdir(ROOT, b"dir".to_vec())).unwrap();
    let dir = driver.model.entries(ROOT)[&b"dir"[..]];
    let mut made = 0;
    for round in 0..3 {
        let error = loop {
            let name = format!("{round} {made} {}", "z".repeat(made % 200)).into_bytes();
            let result = driver.apply(&Op::Create(dir, name.clone())).and_then(|()| {
                let ino = driver.model.entries(dir)[&name];
                driver.apply(&Op::Write(ino, 0, vec![5; bytes]))
            });
            match result {
                Ok(()) => made += 1,
                Err(error) => break error,
            }
        };
        assert_eq!(error, expected);
        driver.compare();
        let names: Vec<Vec<u8>> = driver.model.entries(dir).keys().step_by(3 - round).cloned().collect();
        assert!(names.len() > 5);
        for name in names {
            driver.apply(&Op::Unlink(dir, name)).expect("removing never needs space");
        }
        driver.compare();
    }
    driver.apply(&Op::Unlink(ROOT, b"dir".to_vec())).unwrap();
    driver.volume.reclaim().unwrap();
    let summary = driver.check().unwrap();
    assert_eq!((summary.inodes, summary.entries), (1, 0));
    let nodes = driver.lives[&ROOT].blocks();
    assert_eq!(nodes, 0);
}

#[test]
fn a_full_volume_takes_removals_and_then_files_again() {
    fill(512 << 10, 4096, Error::NoSpace, 3 * BLOCK as usize);
    fill(512 << 10, 4096, Error::NoSpace, 0);
    fill(200 << 10, 512, Error::NoSpace, 100);
}

#[test]
fn a_full_inode_table_takes_removals_and_then_files_again() {
    fill(2 << 20, 512, Error::NoInodes, 0);
}

#[test]
fn preallocated_blocks_can_be_written_when_the_volume_is_full() {
    let mut driver = driver(4 << 20, 256);
    let file = |driver: &mut Driver<_>, name: &str| {
        driver.apply(&Op::Create(ROOT, name.into())).unwrap();
        driver.model.entries(ROOT)[name.as_bytes()]
    };
    // What is preallocated does not have zeroes in it.
    let old = file(&mut driver, "old");
    driver.apply(&Op::Write(old, 0, vec![0xee; 700 * BLOCK as usize])).unwrap();
    driver.apply(&Op::Unlink(ROOT, b"old".to_vec())).unwrap();
    // One whose extents are about to need a tree, and one that has a leaf full of them.
    let (small, large) = (file(&mut driver, "small"), file(&mut driver, "large"));
    driver.apply(&Op::Preallocate(small, 0, 32)).unwrap();
    for extent in 0..150 {
        driver.apply(&Op::Preallocate(large, extent * 4, 3)).unwrap();
    }
    let rest = file(&mut driver, "rest");
    let full =
        (0..).map(|at| driver.apply(&Op::Write(rest, at * 2 * BLOCK, vec![1; BLOCK as usize]))).find(Result::is_err);
    assert_eq!((full, driver.volume.space().free), (Some(Err(Error::NoSpace)), 0));
    for block in (1..32).step_by(2) {
        driver.apply(&Op::Write(small, block * BLOCK, vec![2; 100])).unwrap();
    }
    for extent in 0..150 {
        driver.apply(&Op::Write(large, (extent * 4 + 1) * BLOCK, vec![3; 100])).unwrap();
    }
    driver.compare();
    driver.check().unwrap();
}

#[test]
fn files_end_at_their_limit() {
    let mut driver = driver(1 << 20, 256);
    driver.apply(&Op::Create(ROOT, b"file".to_vec())).unwrap();
    let mut live = driver.lives.values().find(|live| live.is_file()).unwrap().clone();
    let _ = ops::extend(&driver.volume, &mut live, inode::SIZE_MAX, time(3)).unwrap();
    assert_eq!(ops::extend(&driver.volume, &mut live, inode::SIZE_MAX + 1, time(3)).map(drop), Err(Error::TooBig));
    let last = inode::SIZE_MAX / BLOCK - 1;
    let blocks = driver.volume.reserve(0, 1, false).unwrap().write_with(|_, _| Ok(())).unwrap();
    let _ = ops::attach(&driver.volume, &mut live, last, blocks, None, time(3)).unwrap();
    let free = driver.volume.space().free;
    let blocks = driver.volume.reserve(0, 1, false).unwrap().write_with(|_, _| Ok(())).unwrap();
    let beyond = ops::attach(&driver.volume, &mut live, last + 1, blocks, None, time(3)).map(drop);
    assert_eq!(beyond, Err(Error::TooBig));
    let blocks = driver.volume.reserve(0, 1, false).unwrap().write_with(|_, _| Ok(())).unwrap();
    let taken = ops::attach(&driver.volume, &mut live, last, blocks, None, time(3)).map(drop);
    assert_eq!(taken, Err(Error::Invalid("no hole")));
    assert_eq!(driver.volume.space().free, free, "errors give blocks back");
    let _ = ops::truncate(&driver.volume, &mut live, 0, time(4)).unwrap();
    assert_eq!(live.blocks(), 0);
    driver.check().unwrap();
}

#[test]
fn a_read_only_volume_refuses_every_change() {
    let machine = plain(1 << 20, 256);
    drop(Driver::mount(machine).unwrap());
    let before = machine.memory.0.borrow().clone();
    let geometry = Geometry::read(&machine).unwrap();
    let volume = Volume::open(machine, geometry, Open::NoRecovery).unwrap();
    let mut root = inode::load(&volume, ROOT, None).unwrap();
    let error = ops::create(&volume, &mut root, b"x", &new(S_IFREG, What::File)).map(drop);
    assert_eq!(error, Err(Error::ReadOnly));
    let attr = ops::SetAttr { uid: Some(1), ..Default::default() };
    assert_eq!(ops::set_attr(&volume, &mut root, &attr).map(drop), Err(Error::ReadOnly));
    assert_eq!(*machine.memory.0.borrow(), before);
}

#[test]
fn stale_generations_are_not_found() {
    let mut driver = driver(1 << 20, 256);
    driver.apply(&Op::Create(ROOT, b"a".to_vec())).unwrap();
    let old = driver.lives.values().find(|live| live.is_file()).unwrap().clone();
    driver.apply(&Op::Unlink(ROOT, b"a".to_vec())).unwrap();
    assert_eq!(inode::find(&driver.volume, old.ino(), None).map(drop), Err(Error::NotFound), "it waits to be freed");
    driver.volume.reclaim().unwrap();
    assert_eq!(inode::load(&driver.volume, old.ino(), None).map(drop), Err(Error::NotFound));
    driver.apply(&Op::Create(ROOT, b"b".to_vec())).unwrap();
    let live = driver.lives.values().find(|live| live.is_file()).unwrap().clone();
    assert_eq!(live.ino(), old.ino(), "the number is used again");
    assert!(inode::load(&driver.volume, live.ino(), Some(live.generation())).is_ok());
    assert_eq!(inode::load(&driver.volume, live.ino(), Some(old.generation())).map(drop), Err(Error::NotFound));
}

/// What waits to be freed comes back when it is needed: blocks, inode numbers; and at the latest when the volume is closed.
#[test]
fn orphans_that_wait_are_freed_when_somebody_needs_what_they_have() {
    let machine = plain(200 << 10, 4096);
    let mut driver = Driver::mount(machine).unwrap();
    driver.apply(&Op::Create(ROOT, b"victim".to_vec())).unwrap();
    driver.apply(&Op::Create(ROOT, b"taker".to_vec())).unwrap();
    let [victim, taker] = [b"victim".to_vec(), b"taker".to_vec()].map(|name| driver.model.entries(ROOT)[&name]);
    driver.apply(&Op::Write(victim, 0, vec![1; BLOCK as usize])).unwrap();
    let mut size = 0;
    while driver.apply(&Op::Write(taker, size, vec![2; BLOCK as usize])).is_ok() {
        size += BLOCK;
    }
    driver.apply(&Op::Unlink(ROOT, b"victim".to_vec())).unwrap();
    assert_eq!(driver.volume.orphans(0), Ok(Some(victim)), "it waits");
    assert_eq!(driver.volume.space().free, 1);
    driver.apply(&Op::Write(taker, size, vec![2; BLOCK as usize])).unwrap();
    assert_eq!(driver.volume.orphans(0), Ok(None));
    driver.compare();

    driver.apply(&Op::Truncate(taker, 0)).unwrap();
    driver.apply(&Op::Create(ROOT, b"again".to_vec())).unwrap();
    let again = driver.model.entries(ROOT)[&b"again".to_vec()];
    driver.apply(&Op::Unlink(ROOT, b"again".to_vec())).unwrap();
    assert_eq!(driver.volume.orphans(0), Ok(Some(again)));
    driver.volume.close().unwrap();
    let geometry = Geometry::read(&machine).unwrap();
    assert_eq!(Volume::open(machine, geometry, Open::ReadWrite).unwrap().orphans(0), Ok(None), "closing frees it");
}

/// Those that fill the queue are all freed, however many of them one record takes.
#[test]
fn many_orphans_are_freed() {
    let mut driver = driver(2 << 20, 4096);
    let before = driver.volume.space();
    let names = (0..40).map(|number| format!("{number}").into_bytes()).collect::<Vec<_>>();
    for (number, name) in names.iter().enumerate() {
        driver.apply(&Op::Create(ROOT, name.clone())).unwrap();
        let ino = driver.model.entries(ROOT)[name];
        driver.apply(&Op::Write(ino, 0, vec![1; number % 3 * BLOCK as usize])).unwrap();
    }
    for name in names {
        driver.apply(&Op::Unlink(ROOT, name)).unwrap();
    }
    driver.volume.reclaim().unwrap();
    assert_eq!(driver.volume.orphans(0), Ok(None));
    assert_eq!(driver.volume.space(), before);
    driver.compare();
}

/// The table has one chunk, and its numbers are given out again before it grows.
#[test]
fn numbers_that_wait_are_used_before_the_table_grows() {
    let mut driver = driver(2 << 20, 4096);
    while driver.model.nodes.len() < 240 {
        driver.apply(&Op::Create(ROOT, format!("{}", driver.model.nodes.len()).into_bytes())).unwrap();
    }
    let free = driver.volume.space().free;
    for round in 0..5 {
        driver.apply(&Op::Unlink(ROOT, format!("{}", round + 1).into_bytes())).unwrap();
        driver.apply(&Op::Create(ROOT, format!("{}", round + 300).into_bytes())).unwrap();
    }
    assert!(free - driver.volume.space().free < 10, "a chunk has 16 blocks");
    driver.compare();
}

/// An extent can be larger than what one record frees: 60 groups have 7.5 GiB.
#[test]
fn an_extent_over_many_groups_is_freed() {
    let mut driver = driver(9 << 30, 256);
    for op in [Op::Truncate as fn(u64, u64) -> Op, |ino, _| Op::Unlink(ROOT, format!("{ino}").into_bytes())] {
        let before = driver.volume.space();
        driver.apply(&Op::Create(ROOT, b"file".to_vec())).unwrap();
        let ino = driver.model.entries(ROOT)[&b"file".to_vec()];
        driver.apply(&Op::Rename(ROOT, b"file".to_vec(), ROOT, format!("{ino}").into_bytes())).unwrap();
        driver.apply(&Op::Preallocate(ino, 0, 2_200_000)).unwrap();
        let Ok(extent::Extent::Data { len, .. }) = extent::find(&driver.volume, &driver.lives[&ino], 0) else {
            panic!()
        };
        assert!(len > 61 * 32768, "one extent of {len} blocks");
        driver.apply(&op(ino, 0)).unwrap();
        driver.volume.reclaim().unwrap();
        assert_eq!(driver.volume.space().free, before.free - if driver.lives.contains_key(&ino) { 1 } else { 0 });
        let _ = driver.apply(&Op::Unlink(ROOT, format!("{ino}").into_bytes()));
    }
}

/// An entry gets another name, so that it has the hash of the name it had: then that name is created again, and so on. The
/// names that collide live side by side.
#[test]
fn names_of_the_same_hash_live_side_by_side() {
    let machine = plain(1 << 20, 256);
    let mut driver = Driver::mount(machine).unwrap();
    driver.apply(&Op::Create(ROOT, b"other".to_vec())).unwrap();
    let mut root = driver.lives[&ROOT].clone();
    for round in 0..5u8 {
        let live = ops::create(&driver.volume, &mut root, b"collides", &new(S_IFREG, What::File)).unwrap().reply();
        let found = dir::lookup(&driver.volume, &root, b"collides").unwrap().unwrap();
        assert_eq!(found.ino, live.ino());
        rename_in_place(machine, root.format().root.get(), b"collides", &[b"collide", &[b'0' + round][..]].concat());
        assert_eq!(dir::lookup(&driver.volume, &root, b"collides").unwrap(), None);
    }
    let mut live = ops::create(&driver.volume, &mut root, b"collides", &new(S_IFREG, What::File)).unwrap().reply();
    let mut scratch = dir::Scratch::new();
    let mut positions = Vec::new();
    dir::read(&driver.volume, &root, 0, &mut scratch, &mut |entry| {
        positions.push((entry.pos, entry.name.to_vec()));
        true
    })
    .unwrap();
    assert_eq!(positions.len(), 7);
    let same = positions.iter().filter(|(_, name)| name.starts_with(b"collide"));
    let hashes: std::collections::BTreeSet<u64> = same.map(|(pos, _)| pos >> 8).collect();
    assert_eq!(hashes.len(), 1, "all have one hash");
    let _ = ops::unlink(&driver.volume, &mut root, b"collides", &mut live, time(8)).unwrap();
    assert_eq!(dir::lookup(&driver.volume, &root, b"collides").unwrap(), None);
    assert!(matches!(driver.check(), Err(Error::Corrupt { why: "hash of a name", .. })), "the forgery is seen");
}

/// Changes a name of the same length in a leaf, and its sum.
fn rename_in_place(machine: &Plain, block: u64, old: &[u8], new: &[u8]) {
    let mut bytes = machine.memory.0.borrow_mut();
    let node = &mut bytes[(block * BLOCK) as usize..][..BLOCK as usize];
    let at = node.windows(old.len()).position(|window| window == old).unwrap();
    node[at..at + new.len()].copy_from_slice(new);
    common::fix_sum(node);
}

#[test]
fn a_device_without_a_volume_is_told_apart() {
    let memory = Memory::new(1 << 20);
    assert_eq!(Geometry::read(&memory).map(drop), Err(Error::NotPfnfs));
    mkfs::format(&memory, &options(2, 8192, 256)).unwrap();
    let mut byte = [0; 1];
    memory.read_bytes(8, &mut byte).unwrap();
    memory.store(8, &[byte[0] + 1]).unwrap();
    memory.store((1 << 20) - BLOCK + 8, &[byte[0] + 1]).unwrap();
    assert_eq!(Geometry::read(&memory).map(drop), Err(Error::Version(u32::from(byte[0]) + 1)));
    assert!(matches!(mkfs::format(&Memory::new(64 << 10), &options(2, 8192, 256)), Err(Error::Invalid(_))));
}
