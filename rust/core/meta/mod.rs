// SPDX-License-Identifier: GPL-2.0

//! Metadata: the redo log, which alone writes it, and the structures in it.
//!
//! `log` owns the media. `span` and `alloc` hand out blocks and inode numbers. `machine` is what all of it needs of its
//! surroundings: locks with the state they protect, and a random number. `tree` is the one B+tree; `inode`, `extent`, `dir` and
//! `table` (of the inodes) are what lies in inodes and trees; `change` is a record under construction as these see it; `ops` are
//! the operations. `mkfs` makes a volume, `walk` checks one, `repair` repairs what that found.

#![forbid(unsafe_code)]
#![allow(unreachable_pub, reason = "also a cargo library")]

pub mod alloc;
mod bitmap;
mod change;
pub mod dir;
pub mod extent;
pub mod file;
pub mod inode;
pub mod log;
pub mod machine;
pub mod mkfs;
pub mod ops;
pub mod repair;
pub mod span;
mod table;
mod tree;
pub mod walk;

pub use log::{Durable, Open, Volume};
pub use machine::Machine;
