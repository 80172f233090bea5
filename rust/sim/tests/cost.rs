// SPDX-License-Identifier: GPL-2.0

//! What operations cost, counted: lines and fences. A change of this table is a change of the product's promise.

mod common;

use common::driver::{Driver, Op, ROOT};
use common::fragile::{words, Cost, Fragile};
use common::options;
use pfnfs_core::media::{Result, BLOCK};
use pfnfs_core::meta::machine::GONE_MAX;
use pfnfs_core::meta::mkfs;
use pfnfs_sim::plain::{Memory, Plain};

/// Lines stored into the log, other lines stored non-temporally, fences, and lines that ordinary stores changed. Checkpoints
/// that fall into the long rows are in their fences, and so are the records that free what was evicted: one for 16 inodes.
const TABLE: &str = "\
operation                                  log  fresh  fences  dirty
create in an empty directory                 4     64       2      8
create, name of 12 bytes                     5      0       1     10
mkdir, name of 12 bytes                      5      0       1     10
symlink of 20 bytes                          5      0       1      9
link                                         3      0       1      7
rename in a directory                        3      0       1      5
rename to another directory                  4      0       1      8
chmod                                        2      0       1      2
append 1 KiB to an empty file                2     16       2      4
append 1 KiB in a block                      1     16       2      1
append 4 KiB                                 2     64       2      4
truncate to 0, one extent                    2      0       1      4
unlink, one link of two                      3      0       1      5
unlink and evict, empty file                 3      0       1      6
unlink and evict, file of 4 KiB              3      0       1      6
rmdir and evict                              3      0       1      6
16 unlinks and evicts, files of 4 KiB       61      0      17     38
3000 creates, splits included            14839  19022    3082  13223
3000 unlinks and evicts                  10747   1994    3233   6219
";

struct Bench {
    machine: &'static Plain<Fragile>,
    driver: Driver<&'static Plain<Fragile>>,
    table: String,
}

impl Bench {
    fn new() -> Self {
        let memory = Memory::new(4 << 20);
        mkfs::format(&memory, &options(1, 65536, 4096)).unwrap();
        let machine = Fragile::machine(words(&memory));
        Bench {
            machine,
            driver: Driver::mount(machine).unwrap(),
            table: TABLE.lines().take(1).map(|line| format!("{line}\n")).collect(),
        }
    }

    /// Counts an operation.
    fn count(&mut self, what: &str, f: impl FnOnce(&mut Driver<&'static Plain<Fragile>>) -> Result) -> Cost {
        self.machine.memory.take_cost();
        f(&mut self.driver).unwrap();
        let cost = self.machine.memory.take_cost();
        let Cost { log, fresh, fences, dirty } = cost;
        self.table += &format!("{what:<40} {log:>5} {fresh:>6} {fences:>7} {dirty:>6}\n");
        cost
    }

    fn op(&mut self, what: &str, op: Op) -> Cost {
        self.count(what, |driver| driver.apply(&op))
    }

    fn ino(&self, name: &str) -> u64 {
        self.driver.model.entries(ROOT)[name.as_bytes()]
    }
}

fn name(text: &str) -> Vec<u8> {
    text.as_bytes().to_vec()
}

fn at_most(what: &str, cost: Cost, log: usize, fences: usize) {
    assert!(cost.log <= log && cost.fences <= fences, "{what}: {cost:?}, not {log} lines and {fences} fences");
}

/// Files whose eviction is over wait for others: an unlink does not pay for it.
fn removals(bench: &mut Bench) {
    let cost = bench.op("unlink, one link of two", Op::Unlink(ROOT, name("second-name-")));
    at_most("unlink", cost, 3, 1);
    let cost = bench.op("unlink and evict, empty file", Op::Unlink(ROOT, name("some-name-3")));
    at_most("unlink and evict", cost, 3, 1);
    let cost = bench.op("unlink and evict, file of 4 KiB", Op::Unlink(ROOT, name("some-name-2")));
    at_most("unlink and evict", cost, 3, 1);
    bench.driver.apply(&Op::Mkdir(ROOT, name("b-directory-"))).unwrap();
    let cost = bench.op("rmdir and evict", Op::Unlink(ROOT, name("b-directory-")));
    at_most("rmdir and evict", cost, 3, 1);
    bench.driver.volume.reclaim().unwrap();
    for index in 0..GONE_MAX {
        bench.driver.apply(&Op::Create(ROOT, name(&format!("to-go-{index:02}")))).unwrap();
        let file = bench.ino(&format!("to-go-{index:02}"));
        bench.driver.apply(&Op::Write(file, 0, vec![1; BLOCK as usize])).unwrap();
    }
    let cost = bench.count("16 unlinks and evicts, files of 4 KiB", |driver| {
        (0..GONE_MAX).try_for_each(|index| driver.apply(&Op::Unlink(ROOT, name(&format!("to-go-{index:02}")))))
    });
    at_most("unlinks and evicts", cost, (3 + 1) * GONE_MAX, GONE_MAX + 1);
}

#[test]
fn costs() {
    let mut bench = Bench::new();
    bench.op("create in an empty directory", Op::Create(ROOT, name("first-name-x")));
    for index in 0..9 {
        bench.driver.apply(&Op::Create(ROOT, name(&format!("some-name-{index}")))).unwrap();
    }
    let cost = bench.op("create, name of 12 bytes", Op::Create(ROOT, name("another-name")));
    at_most("create", cost, 6, 1);
    let cost = bench.op("mkdir, name of 12 bytes", Op::Mkdir(ROOT, name("a-directory-")));
    at_most("mkdir", cost, 6, 1);
    let cost = bench.op("symlink of 20 bytes", Op::Symlink(ROOT, name("a-symlink---"), vec![b'x'; 20]));
    at_most("symlink", cost, 6, 1);
    let cost = bench.op("link", Op::Link(ROOT, name("second-name-"), bench.ino("first-name-x")));
    at_most("link", cost, 6, 1);
    let cost = bench.op("rename in a directory", Op::Rename(ROOT, name("another-name"), ROOT, name("renamed-name")));
    at_most("rename", cost, 6, 1);
    let dir = bench.ino("a-directory-");
    bench.driver.apply(&Op::Create(dir, name("something"))).unwrap();
    let cost =
        bench.op("rename to another directory", Op::Rename(ROOT, name("renamed-name"), dir, name("renamed-name")));
    at_most("rename", cost, 6, 1);
    let cost = bench.op("chmod", Op::Chmod(bench.ino("some-name-0"), 0o600));
    at_most("chmod", cost, 2, 1);

    let file = bench.ino("some-name-1");
    let cost = bench.op("append 1 KiB to an empty file", Op::Write(file, 0, vec![1; 1024]));
    assert_eq!(cost.fresh, 16);
    at_most("append", cost, 3, 2);
    let cost = bench.op("append 1 KiB in a block", Op::Write(file, 1024, vec![1; 1024]));
    assert_eq!(cost.fresh, 16);
    at_most("append", cost, 2, 2);
    let cost = bench.op("append 4 KiB", Op::Write(bench.ino("some-name-2"), 0, vec![1; BLOCK as usize]));
    assert_eq!(cost.fresh, 64);
    at_most("append", cost, 3, 2);
    let cost = bench.op("truncate to 0, one extent", Op::Truncate(file, 0));
    at_most("truncate", cost, 3, 1);

    removals(&mut bench);

    let entries = 3000;
    let total = bench.count("3000 creates, splits included", |driver| {
        (0..entries).try_for_each(|index| driver.apply(&Op::Create(ROOT, name(&format!("file-of-{index:04}")))))
    });
    assert!(total.log <= 6 * entries && total.fresh <= 7 * entries, "{total:?}");
    let total = bench.count("3000 unlinks and evicts", |driver| {
        (0..entries).try_for_each(|index| driver.apply(&Op::Unlink(ROOT, name(&format!("file-of-{index:04}")))))
    });
    assert!(total.log <= 6 * entries, "{total:?}");
    println!("{}", bench.table);
    assert_eq!(bench.table, TABLE, "costs have changed: for better or for worse?");
}

#[test]
fn a_checkpoint_without_work_stores_nothing() {
    let mut bench = Bench::new();
    bench.driver.apply(&Op::Create(ROOT, name("file"))).unwrap();
    bench.driver.apply(&Op::Unlink(ROOT, name("file"))).unwrap();
    let backlog = bench.driver.volume.backlog();
    assert!(backlog.drawn > backlog.cut && backlog.waiting == 1, "{backlog:?}");
    bench.driver.volume.reclaim().unwrap();
    bench.driver.volume.checkpoint().unwrap();
    assert!(bench.driver.volume.backlog().is_empty());
    bench.machine.memory.take_cost();
    bench.driver.volume.reclaim().unwrap();
    bench.driver.volume.checkpoint().unwrap();
    assert_eq!(bench.machine.memory.take_cost(), Cost::default());
}

/// Reads that a mount takes, of a closed volume with so many files.
fn mount_reads(files: usize) -> u64 {
    let memory = Memory::new(8 << 20);
    mkfs::format(&memory, &options(1, 65536, 8192)).unwrap();
    let machine = Fragile::machine(words(&memory));
    let mut driver = Driver::mount(machine).unwrap();
    for index in 0..files {
        driver.apply(&Op::Create(ROOT, name(&format!("file-of-{index:04}")))).unwrap();
    }
    driver.volume.close().unwrap();
    let image = machine.memory.media.borrow().cut(pfnfs_sim::media::Cut::All, &mut pfnfs_sim::random::Random::new(1));
    let machine = Fragile::machine(image);
    let _driver = Driver::mount(machine).unwrap();
    machine.memory.reads.get()
}

#[test]
fn a_mount_reads_no_more_of_many_files_than_their_bits() {
    let (empty, full) = (mount_reads(0), mount_reads(6000));
    let chunks = 6000 / 240;
    println!("{empty} reads of an empty volume, {full} of one with 6000 files in {chunks} chunks more");
    // Of each chunk its header and its orphan bits, and of each extent of the table, at most one a chunk, slot, key and place.
    assert!(full - empty <= 5 * chunks + 4, "{empty} and {full}");
}
