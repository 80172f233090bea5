// SPDX-License-Identifier: GPL-2.0

//! What the checker says is wrong, and what would make it right: where the tests of fsck.pfnfs,
//! whose volumes are small, do not come to.

mod common;

use common::driver::{Driver, Op, ROOT};
use common::options;
use pfnfs_core::media::{format, Error, Geometry, Pmem, PmemMut, Result, BLOCK};
use pfnfs_core::meta::walk::{Fix, Problem, Visitor};
use pfnfs_core::meta::{dir, mkfs, walk};
use pfnfs_sim::plain::{Memory, Plain};

/// Notes problems.
#[derive(Default)]
struct Notes(Vec<Problem>);

impl Visitor for Notes {
    fn problem(&mut self, problem: &Problem) -> Result {
        self.0.push(*problem);
        Ok(())
    }
}

fn problems(driver: &Driver<&'static Plain>) -> Vec<Problem> {
    let mut blocks = vec![0; walk::Scratch::block_words(driver.volume.geometry())];
    let mut links = vec![0; walk::Scratch::link_words(&driver.volume)];
    let mut keys = dir::Scratch::new();
    let mut notes = Notes::default();
    let mut scratch = walk::Scratch { blocks: &mut blocks, links: &mut links, keys: &mut keys };
    walk::check(&driver.volume, &mut scratch, &mut notes).unwrap();
    notes.0
}

/// A volume whose inode table has more pieces than its inode has room for, so that they are in a
/// tree.
fn torn_table() -> Driver<&'static Plain> {
    let memory = Memory::new(8 << 20);
    mkfs::format(&memory, &options(1, 4096, 2048)).unwrap();
    let geometry = Geometry::read(&memory).unwrap();
    let mut driver = Driver::mount(&*Box::leak(Box::new(Plain::new(memory, &geometry)))).unwrap();
    driver.apply(&Op::Create(ROOT, b"between".to_vec())).unwrap();
    let between = driver.model.entries(ROOT)[&b"between"[..]];
    for number in 0..1800 {
        driver.apply(&Op::Create(ROOT, format!("f{number}").into_bytes())).unwrap();
        if number % 240 == 100 {
            // So that the next chunk cannot follow the last one.
            driver.apply(&Op::Preallocate(between, number, 20)).unwrap();
        }
    }
    driver
}

fn table(driver: &Driver<&'static Plain>) -> format::Inode {
    driver.volume.media().read(format::TABLE_BLOCK * BLOCK).unwrap()
}

#[test]
fn damage_of_the_inode_tables_tree_is_the_tables() {
    let driver = torn_table();
    assert!(
        table(&driver).flags.get() & format::INODE_TREE != 0,
        "the table is in more pieces than fit into its inode"
    );
    assert_eq!(problems(&driver), []);
    let root = table(&driver).root.get() * BLOCK;
    // The sum of the node: everything can be read, and the node is not what it says.
    let mut byte = [0];
    driver.machine.read_bytes(root + 56, &mut byte).unwrap();
    driver.machine.store(root + 56, &[byte[0] ^ 1]).unwrap();
    let found = problems(&driver);
    assert!(!found.is_empty());
    for problem in &found {
        assert!(matches!(problem.error, Error::Corrupt { .. }), "{problem:?}");
        assert_eq!((problem.ino, problem.fix), (Some(format::TABLE_INO), Fix::Table));
    }
    // A node of a file is not.
    driver.machine.store(root + 56, &byte).unwrap();
    let root = driver.lives[&ROOT].format().root.get() * BLOCK;
    driver.machine.read_bytes(root + 56, &mut byte).unwrap();
    driver.machine.store(root + 56, &[byte[0] ^ 1]).unwrap();
    let found = problems(&driver);
    assert!(matches!(found[..], [Problem { ino: Some(ROOT), fix: Fix::Sum(ROOT, _), .. }]), "{found:?}");
}
