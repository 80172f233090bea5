// SPDX-License-Identifier: GPL-2.0

//! The log under power cuts and many CPUs, on the rows workload: three generations of work, cut and mount per seed. Slots rot on
//! the way, mounts are cut as well.

use pfnfs_sim::effort;
use pfnfs_sim::explore::{every, free_within_checkpoint, generations, Operation, Seen};
use pfnfs_sim::oracle::{Config, Kind};

/// Three CPUs share two lanes; few blocks, so that they change owners quickly; halves as small as can be.
const SMALL: Config = Config { cpus: 3, lanes: 2, half_size: 2048, free: 8, rows: 7, operations: 24, checkpoints: 16 };

/// Runs these seeds, or more if so asked.
fn seeds(config: Config, seeds: std::ops::Range<u64>) -> Seen {
    let mut seen = Seen::default();
    for seed in seeds.start..seeds.start + (seeds.end - seeds.start) * effort() {
        match generations(config, seed, 3, 40) {
            Ok(more) => seen.add(more),
            Err(error) => panic!("seed {seed}: {error}"),
        }
    }
    println!("{seen:?}");
    seen
}

#[test]
fn three_cpus_on_two_lanes() {
    let seen = seeds(SMALL, 0..60);
    assert!(seen.cuts > 4000 && seen.operations > 4000, "{seen:?}");
}

#[test]
fn two_cpus_on_one_lane() {
    seeds(Config { cpus: 2, lanes: 1, ..SMALL }, 100..130);
}

#[test]
fn four_cpus_with_a_lane_each() {
    seeds(Config { cpus: 4, lanes: 4, free: 12, ..SMALL }, 200..230);
}

/// More CPUs than lanes, and generations with one CPU between: lanes do not belong to CPUs.
#[test]
fn sixty_four_cpus_on_three_lanes() {
    let config = Config { cpus: 64, lanes: 3, half_size: 4096, free: 80, rows: 70, operations: 3, checkpoints: 4 };
    let seen = seeds(config, 600..604);
    assert!(seen.operations > 1000, "{seen:?}");
}

/// A volume of two free blocks: every other operation needs what was just freed, and limbo must not make it fail.
#[test]
fn two_free_blocks() {
    let seen = seeds(Config { cpus: 1, lanes: 1, free: 2, rows: 3, operations: 60, ..SMALL }, 300..330);
    assert!(seen.refused > 100, "{seen:?}");
    let seen = seeds(Config { cpus: 2, lanes: 2, free: 2, rows: 4, operations: 40, ..SMALL }, 400..430);
    assert!(seen.refused > 100, "{seen:?}");
}

/// Lanes fill up before anybody runs a checkpoint.
#[test]
fn full_lanes() {
    let config = Config { cpus: 2, lanes: 1, free: 40, rows: 12, operations: 70, checkpoints: 1, ..SMALL };
    seeds(config, 500..520);
    seeds(Config { lanes: 2, cpus: 3, ..config }, 520..535);
}

#[test]
fn block_freed_within_a_checkpoint() {
    let config = Config { cpus: 3, lanes: 4, free: 3, rows: 5, ..SMALL };
    free_within_checkpoint(config).unwrap();
}

/// A block is freed and allocated again: all interleavings with up to two preemptions.
#[test]
fn every_interleaving_of_a_free_and_an_allocation() {
    use Operation::{Checkpoint, Clear, Fill};
    let config = Config { cpus: 2, lanes: 2, half_size: 2048, free: 2, rows: 3, operations: 0, checkpoints: 0 };
    let before = [Fill(0, Kind::Data), Fill(1, Kind::Data), Checkpoint];
    let seen = every(config, &before, &[&[Clear(1)], &[Fill(2, Kind::Data)]], 2).unwrap();
    assert!(seen.operations > 50, "{seen:?}");
}

/// All interleavings, up to a number of preemptions, of two operations and a checkpoint.
#[test]
fn every_interleaving_of_small_cases() {
    use Operation::{Checkpoint, Clear, Fill, Overwrite, Patch, Swap};
    let config = Config { cpus: 3, lanes: 2, half_size: 2048, free: 3, rows: 3, operations: 0, checkpoints: 0 };
    let before = [Fill(0, Kind::Meta), Patch(0), Fill(1, Kind::Data)];
    let cases: [&[&[Operation]]; 4] = [
        &[&[Clear(0), Fill(2, Kind::Data)], &[Fill(1, Kind::Meta)], &[Checkpoint]],
        &[&[Patch(0), Clear(0)], &[Fill(2, Kind::Data), Overwrite(2)], &[Checkpoint]],
        &[&[Swap(0, 1)], &[Patch(0), Patch(1)], &[Checkpoint]],
        &[&[Fill(0, Kind::Data)], &[Fill(1, Kind::Meta), Patch(1)], &[Checkpoint, Checkpoint]],
    ];
    let mut seen = Seen::default();
    for case in cases {
        match every(config, &before, case, 1) {
            Ok(more) => seen.add(more),
            Err(error) => panic!("{case:?}: {error}"),
        }
    }
    println!("{seen:?} (operations: interleavings)");
    assert!(seen.operations > 100, "{seen:?}");
}
