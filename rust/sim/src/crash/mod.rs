// SPDX-License-Identifier: GPL-2.0

//! The crash explorer: every state that a power cut may leave of a workload is opened, recovered, walked, and compared with
//! the model.
//!
//! `call` says what a workload does, and reads and prints it; `plan` has the workloads (`data` some more), `setup` the volumes that they begin
//! with. `run` does one on a simulated machine (`cpus` on two CPUs at once) and takes a snapshot before every fence and after every step; `states` are the ways in which a cut may leave a
//! snapshot; `judge` opens them. What a cut between two fences may leave is among what a cut before the second may leave: a
//! word's possible values only become more until a fence. `tally` counts for all jobs; `shrink` makes a failure small.

pub mod call;
mod checker;
mod classes;
pub mod cpus;
mod data;
mod frozen;
pub mod judge;
mod losses;
mod open;
mod operations;
pub mod plan;
mod readers;
pub mod run;
pub mod setup;
mod shared;
pub mod shrink;
pub mod states;
pub mod tally;
mod trees;
