// SPDX-License-Identifier: GPL-2.0

//! Machines on which the tests run the media core.
//!
//! `plain` forgets nothing and has one CPU. `world` has several CPUs over `media`, which loses in a power cut whatever it
//! may; `rows` is a workload on it, close to the log, whose outcome `oracle` knows; `explore` runs it. `fs` is a file system in
//! plain collections and a driver that does the same to it and to a volume; `crash` cuts the power of that. `fuzz` is about
//! images that somebody damaged or forged.

pub mod canvas;
pub mod crash;
pub mod explore;
pub mod fs;
pub mod fuzz;
pub mod image;
pub mod media;
pub mod oracle;
pub mod plain;
pub mod random;
pub mod rows;
pub mod scheduler;
pub mod world;

/// How many times as many seeds to try: PFNFS_EFFORT in the environment, or 10 in a full check (PFNFS_FULL), or 1.
pub fn effort() -> u64 {
    let full = std::env::var("PFNFS_FULL").is_ok_and(|full| !full.is_empty());
    let effort = std::env::var("PFNFS_EFFORT").ok().and_then(|effort| effort.parse().ok());
    effort.unwrap_or(if full { 10 } else { 1 })
}
