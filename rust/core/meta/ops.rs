// SPDX-License-Identifier: GPL-2.0

//! Operations: what a system call changes, each as one record, or as a sequence of records of which each leaves a consistent
//! state.
//!
//! `namespace` has those that change directories and attributes, `data` those that give a file blocks or another size, `free` those that take
//! blocks away, `evict` those that free inodes, `orphans` finishes what was interrupted. An operation returns an error with nothing changed, or a [`Durable`]:
//! what it did survives a power cut. The caller holds the lock of each inode it passes as `&mut Live`, alone.
//!
//! [`Durable`]: super::Durable

mod data;
mod evict;
mod free;
mod namespace;
mod orphans;

pub use data::{attach, attach_zeroes, extend, preallocate, unwrite, written};
pub use evict::evict;
pub use free::{finish_truncate, punch, truncate};
pub use namespace::{create, create_as, link, number, rename, rmdir, set_attr, tmpfile, unlink};
pub use namespace::{New, Rename, SetAttr, What};
pub use orphans::{finish_orphan, finish_orphans};

use super::inode::Live;
use super::{Machine, Volume};
use crate::media::format::{self, Inode, Time};
use crate::media::{Error, Result};

/// Sets the times of a changed file.
fn touch(raw: &mut Inode, now: Time) {
    raw.mtime = now;
    raw.ctime = now;
}

/// Refuses operations on file contents for other files.
fn must_be_file(file: &Live) -> Result {
    if file.is_dir() {
        Err(Error::IsDir)
    } else if file.is_file() {
        Ok(())
    } else {
        Err(Error::Invalid("not a regular file"))
    }
}

/// Finishes a truncation that was interrupted: before anything gives the file blocks or another size.
fn settle<M: Machine>(volume: &Volume<M>, file: &mut Live) -> Result {
    if file.raw.orphan == format::ORPHAN_TRUNCATING {
        let _durable = finish_truncate(volume, file)?;
    }
    Ok(())
}
