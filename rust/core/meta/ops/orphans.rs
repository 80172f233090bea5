// SPDX-License-Identifier: GPL-2.0

//! What a power cut has left half done: truncations are finished, and what has no name is freed. At
//! mount, and when the volume becomes writable.

use crate::media::{Error, Result};
use crate::meta::inode::{self, Orphan};
use crate::meta::{ops, Machine, Volume};

/// Finishes all orphans. `truncate` has to [`finish_truncate`](ops::finish_truncate) a file, which
/// somebody may have in memory already; `tell` is told of the error of an inode, and the others
/// need not suffer from it unless it says so by an error of its own.
///
/// # Errors
///
/// Those of `tell`; that of the search for orphans was told to it, of inode 0, and ends it.
pub fn finish_orphans<M: Machine>(
    volume: &Volume<M>,
    truncate: &mut dyn FnMut(u64) -> Result,
    tell: &mut dyn FnMut(u64, Error) -> Result,
) -> Result {
    let mut from = 0;
    loop {
        let ino = match volume.orphans(from) {
            Ok(Some(ino)) => ino,
            Ok(None) => return Ok(()),
            Err(error) => return tell(0, error),
        };
        finish_orphan(volume, ino, truncate).or_else(|error| tell(ino, error))?;
        from = ino.saturating_add(1);
    }
}

/// Frees an orphan that nobody uses, or finishes its truncation.
///
/// # Errors
///
/// Those of `truncate` and of [`evict`](ops::evict); `Corrupt` if its inode says that nothing is
/// left to do.
pub fn finish_orphan<M: Machine>(volume: &Volume<M>, ino: u64, truncate: &mut dyn FnMut(u64) -> Result) -> Result {
    match left(volume, ino)? {
        Orphan::Truncating => truncate(ino),
        _ => free(volume, ino),
    }
}

/// What is left to do. The inode should not be on the stack of a caller that goes on to do it.
#[inline(never)]
fn left<M: Machine>(volume: &Volume<M>, ino: u64) -> Result<Orphan> {
    let live = inode::load(volume, ino, None)?;
    match live.orphan() {
        Orphan::None => Err(Error::Corrupt { at: live.at(), why: "mark of an orphan" }),
        left => Ok(left),
    }
}

/// Frees an inode. Apart, as [`left`].
#[inline(never)]
fn free<M: Machine>(volume: &Volume<M>, ino: u64) -> Result {
    ops::evict(volume, inode::load(volume, ino, None)?)
}
