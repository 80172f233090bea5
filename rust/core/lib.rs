// SPDX-License-Identifier: GPL-2.0

//! The media core of pfnfs as a cargo library, for the tools and the host tests.
//!
//! The module compiles the same files through `#[path]`, with the kernel's `plat`. So there is nothing here but module
//! lines, and files of the core name each other by `crate::media`, `crate::meta` and `crate::plat`.

#![no_std]
#![forbid(unsafe_code)]
#![deny(missing_docs)]
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod media;
pub mod meta;
pub mod plat;
