// SPDX-License-Identifier: GPL-2.0

//! Layer fs: file handles.

use kernel::prelude::*;
use kernel::sync::aref::ARef;

use super::inode::{self, Inode};
use super::mount::Pfnfs;
use crate::linux::errno::ESTALE;
use crate::linux::vfs::export::{self, Operations};
use crate::linux::vfs::sb::Super;
use crate::linux::vfs::{self, Ops};

/// The table of the super block.
pub(super) const TABLE: Ops<vfs::ExportTable, Pfnfs> = export::table::<Handles>();

struct Handles;

impl Operations for Handles {
    type Fs = Pfnfs;

    fn find(sb: &Super<Pfnfs>, ino: u64, generation: u32) -> Result<ARef<Inode>> {
        match inode::get(sb, ino, Some(generation)) {
            // Unlinked, and only kept by who has it open: a handle must not bring it back.
            Ok(i) if i.links() == 0 => Err(ESTALE.into()),
            Err(ENOENT) => Err(ESTALE.into()),
            other => other,
        }
    }

    fn parent(dir: &Inode) -> Result<ARef<Inode>> {
        let parent = inode::share(dir).get()?.parent();
        match inode::get(dir.sb(), parent, None) {
            // Both were removed meanwhile.
            Err(ENOENT) => Err(ESTALE.into()),
            other => other,
        }
    }
}
