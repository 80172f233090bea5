// SPDX-License-Identifier: GPL-2.0

//! What the tests share, beside the driver and the model of `pfnfs_sim::fs`.

#![allow(dead_code, unused_imports, reason = "each test uses a part")]

pub mod fragile;
pub mod lossy;

pub use pfnfs_sim::fs::{driver, model, options, time, Rng};
pub use pfnfs_sim::fuzz::fix_sum;
