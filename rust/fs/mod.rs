// SPDX-License-Identifier: GPL-2.0

//! Layer fs: the file system. The one place where the media core (`meta`, `media`), which knows bytes and no kernel,
//! meets the kernel, which knows inodes and no media.
//!
//! Every operation of the VFS becomes one call of the core under the inode's `meta` lock ([`inode::State`]); when the
//! core says that it is durable, the VFS's copy of the inode is set to the same. Data goes between user memory and the
//! media without the core ([`file`]); mappings are filled by [`map`].
//!
//! What stores needs a witness that the volume may be stored to now: [`gate`].
//!
//! Locks, outermost first: `i_rwsem` > `mmap_lock` > `invalidate_lock` > populate > `meta` (a directory before what is
//! in it, then by inode number) > the core's ([`machine`]).

#![forbid(unsafe_code)]

mod attr;
mod carrier;
pub(crate) mod debug;
mod dir;
mod error;
mod export;
mod file;
mod gate;
mod inode;
mod machine;
mod map;
mod medium;
mod mount;
mod namei;
mod tidy;
mod write;

use crate::linux::vfs;

pub(crate) use self::mount::Pfnfs;

/// The file system type, registered as long as this lives.
pub(crate) type Registration = vfs::Registration<Pfnfs>;
