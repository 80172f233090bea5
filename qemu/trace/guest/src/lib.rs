// SPDX-License-Identifier: GPL-2.0
//! A workload whose every step is known, and the check of what a power cut left of it.
//!
//! Layer: [`step`] draws the steps from a seed, [`model`] says what they do to a tree, [`run`] does them to a real one between markers for the
//! store trace, [`observe`] reads a tree back, and [`check`] compares. [`suite`] is many short workloads, also of several processes.
//! In the guest by way of `main`; on the host the reader of the log draws the same steps and compares what it finds in images.
#![deny(unsafe_op_in_unsafe_fn)]

pub mod check;
mod mapped;
pub mod mark;
pub mod model;
pub mod observe;
mod persist;
pub mod run;
pub mod step;
pub mod suite;
