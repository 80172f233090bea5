// SPDX-License-Identifier: GPL-2.0

//! Layer fs: what the media core calls an error becomes an errno; what is wrong with the media goes to the log, with
//! the device and the inode, and not more often than a reader can bear.

use kernel::prelude::*;

use super::mount::Mounted;
use crate::linux::{errno, ratelimit};
use crate::media::Error as Media;
use crate::meta::file::Failure;

/// The errno, without a word.
pub(super) fn errno(e: Media) -> Error {
    match e {
        Media::Poison { .. } | Media::LostFree { .. } => EIO,
        Media::Corrupt { .. } | Media::Damaged(_) => errno::EUCLEAN.into(),
        Media::NotPfnfs | Media::Version(_) | Media::Feature(_) | Media::WrongSize { .. } => EINVAL,
        Media::NoSpace | Media::NoInodes => ENOSPC,
        Media::ReadOnly => EROFS,
        Media::Exists => EEXIST,
        Media::NotFound => ENOENT,
        Media::NotDir => ENOTDIR,
        Media::IsDir => EISDIR,
        Media::NotEmpty => errno::ENOTEMPTY.into(),
        Media::TooManyLinks => EMLINK,
        Media::NameTooLong => errno::ENAMETOOLONG.into(),
        Media::TooBig => EFBIG,
        Media::Invalid(_) => EINVAL,
    }
}

impl Mounted {
    /// The errno for an error that an operation on inode `ino` met; says in the log what is wrong with the media. If
    /// metadata is wrong or lost, nothing is changed any more.
    pub(super) fn fail(&self, ino: u64, e: Media) -> Error {
        if self.is_dead() {
            return EIO;
        }
        match e {
            Media::Poison { at } | Media::LostFree { at } if ratelimit::allows() => {
                pr_err!("{}: inode {}: memory at byte {:#x} cannot be read\n", self.name(), ino, at);
            }
            Media::Corrupt { at, why } if ratelimit::allows() => {
                pr_err!("{}: inode {}: corrupt at byte {:#x}: {}\n", self.name(), ino, at, why);
            }
            _ => (),
        }
        if self.gate().failed(e) {
            self.stop();
        }
        errno(e)
    }

    /// The same for a step on the data of inode `ino`.
    pub(super) fn failed(&self, ino: u64, failure: Failure<Error>) -> Error {
        match failure {
            Failure::Core(e) => self.fail(ino, e),
            Failure::Carrier(e) => e,
        }
    }
}
