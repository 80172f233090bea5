// SPDX-License-Identifier: GPL-2.0
//! The oracle must not be content with anything less.

use super::*;
use std::path::PathBuf;

/// Trees after each of `count` steps, and the steps.
fn history(count: usize) -> (Vec<Tree>, Vec<Step>) {
    let mut trees = vec![Tree::default()];
    let mut steps = Vec::new();
    for (mut tree, step) in Plan::new(9).take(count) {
        tree.apply(&step);
        trees.push(tree);
        steps.push(step);
    }
    (trees, steps)
}

#[test]
fn before_and_after_are_told_apart() {
    let (trees, steps) = history(200);
    for (n, step) in steps.iter().enumerate() {
        if trees[n] == trees[n + 1] {
            continue;
        }
        let mtime_only = same(&trees[n], &trees[n + 1]).is_ok();
        if !mtime_only {
            assert_eq!(in_flight(&trees[n], step, &trees[n + 1]).unwrap(), Found::After, "{step:?}");
        }
        assert_eq!(in_flight(&trees[n], step, &trees[n]).unwrap(), Found::Before, "{step:?}");
    }
}

#[test]
fn a_state_two_steps_old_or_new_is_refused() {
    let (trees, steps) = history(200);
    let mut refused = 0;
    for n in 1..steps.len() - 1 {
        let known = |real: &Tree| {
            same(&trees[n], real).is_ok()
                || same(&trees[n + 1], real).is_ok()
                || !changes_names(&steps[n - 1], &steps[n + 1])
        };
        for real in [&trees[n - 1], &trees[n + 2]] {
            if !known(real) {
                assert!(in_flight(&trees[n], &steps[n], real).is_err(), "{:?}", steps[n]);
                refused += 1;
            }
        }
    }
    assert!(refused > 50, "{refused}");
}

/// Two steps on the same file can leave what one torn step leaves; those that change names cannot.
fn changes_names(a: &Step, b: &Step) -> bool {
    [a, b].iter().all(|s| {
        !matches!(
            s,
            Step::Write { .. }
                | Step::Store { .. }
                | Step::Persist { .. }
                | Step::Truncate { .. }
                | Step::Preallocate { .. }
        )
    })
}

fn file(content: &[u8]) -> Tree {
    let mut tree = Tree::default();
    let inode = Inode { kind: Kind::File(content.to_vec().into()), mode: Some(0o600), mtime: None };
    tree.add_found("f".into(), 1, inode);
    tree
}

fn write(at: usize, len: usize) -> Step {
    Step::Write { path: "f".into(), at, len, pattern: 5 }
}

#[test]
fn an_overwrite_may_be_torn_an_append_within_a_block_may_not() {
    let old = file(&[2; 8192]);
    let part = |len: usize, upto: usize, size: usize| {
        let mut after = old.clone();
        after.apply(&write(8192 - 64, len));
        let mut seen = after.content("f").unwrap()[..size].to_vec();
        seen[8192 - 64..8192 - 64 + upto].copy_from_slice(&vec![2; upto]);
        in_flight(&old, &write(8192 - 64, len), &file(&seen))
    };
    assert_eq!(part(64, 8, 8192).unwrap(), Found::Torn);
    assert_eq!(part(100_000, 8, 49_152).unwrap(), Found::Torn);
    assert!(part(100_000, 8, 50_000).is_err(), "a piece that does not end with a block");
    assert!(part(1000, 8, 8500).is_err(), "a small append in part");
}

#[test]
fn stale_bytes_are_refused_everywhere() {
    let old = file(&[2; 8192]);
    let step = write(8192, 50_000);
    let mut after = old.clone();
    after.apply(&step);
    let mut seen = after.content("f").unwrap()[..20_480].to_vec();
    assert_eq!(in_flight(&old, &step, &file(&seen)).unwrap(), Found::Torn);
    seen[20_479] = 0;
    assert!(in_flight(&old, &step, &file(&seen)).is_err(), "an appended byte is zero");
    seen[20_479] = after.content("f").unwrap()[20_479];
    seen[0] = 3;
    assert!(in_flight(&old, &step, &file(&seen)).is_err(), "a byte outside the write changed");
}

#[test]
fn links_modes_and_times_count() {
    let mut a = file(b"x");
    a.apply(&Step::Link { from: "f".into(), to: "g".into() });
    let mut split = file(b"x");
    split.add_found("g".into(), 2, split.get("f").unwrap().clone());
    assert!(same(&a, &split).is_err());
    assert!(same(&split, &a).is_err());
    let mut other = a.clone();
    other.apply(&Step::Chmod { path: "f".into(), mode: 0o644 });
    assert!(same(&a, &other).is_err());
    let mut touched = a.clone();
    touched.apply(&Step::Touch { path: "f".into(), mtime: 77 });
    assert!(same(&touched, &a).is_err());
    assert!(same(&a, &touched).is_ok(), "a time nobody set");
}

/// A directory that is removed with its owner.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_real_tree_is_read_back_as_the_model_says() {
    let scratch = Scratch(std::env::temp_dir().join(format!("crash-load-{}", std::process::id())));
    std::fs::create_dir(&scratch.0).unwrap();
    let changes = |(before, step): (Tree, Step)| {
        let mut after = before.clone();
        after.apply(&step);
        after != before
    };
    // Before and after that one are told apart.
    let steps: Vec<bool> = Plan::new(4).take(180).map(changes).collect();
    let last = 1 + steps.iter().rposition(|changes| *changes).unwrap() as u64;
    run::all(&scratch.0, 1..=120, 4, false).unwrap();
    assert_eq!(all(&scratch.0, 120, 120, 4, last - 120).unwrap(), "Before");
    assert!(all(&scratch.0, 120, 120, 4, 0).is_err(), "it has gone on");
    assert_eq!(all(&scratch.0, last - 1, last, 4, 0).unwrap(), "After");
}
