// SPDX-License-Identifier: GPL-2.0

//! Layer: linux. Raw declarations of the C side: those of the kernel crate and, generated at build time from `helper.h`
//! and `shim.h`, what that crate does not cover. Only files below `rust/linux` may name anything in here.
//!
//! Generated structures shadow the kernel crate's where it has only a forward declaration (`fs_context`, `badblocks`):
//! a pointer to such a structure that comes out of a kernel crate structure needs `.cast()`.

#![allow(
    clippy::all,
    clippy::cast_lossless,
    clippy::ptr_as_ptr,
    clippy::ref_as_ptr,
    clippy::undocumented_unsafe_blocks,
    clashing_extern_declarations,
    dead_code,
    hidden_glob_reexports,
    improper_ctypes,
    missing_docs,
    non_camel_case_types,
    non_snake_case,
    non_upper_case_globals,
    unreachable_pub,
    unsafe_op_in_unsafe_fn,
    unused_imports
)]

pub(crate) use kernel::bindings::*;
use kernel::ffi;
use pin_init::MaybeZeroable;

include!(env!("PFNFS_BINDINGS"));
