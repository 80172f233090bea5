// SPDX-License-Identifier: GPL-2.0
//! Store logs: what a guest did to its NVDIMM, in order, in a compact binary form.
//!
//! Layer: the format, shared by the QEMU plugin (writer) and the host tools (reader). Owns no file.
//! Data goes on to [`media::Media`], which knows what of it a power cut leaves.
#![forbid(unsafe_code)]

pub mod event;
pub mod media;
pub mod stream;

pub use event::{Event, Fence, Flush, Mark, Store, StoreKind, TASK_MARK};
pub use media::{Domain, Media, Open, Rest};
pub use stream::{Decoder, Encoder, Header};

/// Bytes of a cache line.
pub const LINE: u64 = 64;
