// SPDX-License-Identifier: GPL-2.0

//! Layer fs: reading directories. Positions are the keys of entries, which do not change while others
//! come and go; programs of 32 bits get the upper bits of them ([`Narrow`]).

use kernel::prelude::*;

use super::inode::{self, Inode};
use super::mount::Pfnfs;
use crate::linux::vfs::file::{self, Entries, Reader};
use crate::linux::vfs::{self, Ops};
use crate::meta::dir::{self, Narrow};

/// A directory's table.
pub(super) const TABLE: Ops<vfs::FileTable, Pfnfs> = file::dir_table::<Directory>();

/// An open directory.
struct Directory;

impl Entries for Directory {
    type Fs = Pfnfs;

    fn iterate(i: &Inode, out: &mut Reader<'_>) -> Result {
        let mounted = i.sb().data();
        mounted.alive()?;
        if !out.dots() {
            return Ok(());
        }
        let mut scratch = KBox::new(dir::Scratch::new(), GFP_KERNEL)?;
        // `i_rwsem` keeps the directory as it is, and the reader's memory may need any other lock.
        let live = inode::share(i).get()?.clone();
        let (mut narrow, mut from) = (None, out.pos());
        if out.is_narrow() {
            let (positions, first) = Narrow::start(from);
            (narrow, from) = (Some(positions), first);
        }
        let mut full = false;
        mounted
            .gate()
            .entries(&live, from, &mut scratch, &mut |e| {
                out.set_pos(narrow.as_mut().map_or(e.pos, |narrow| narrow.of(e.pos)));
                full = !out.emit(e.name, e.ino, u16::from(e.kind) << 12);
                if !full && narrow.is_none() {
                    out.set_pos(e.pos.saturating_add(1));
                }
                !full
            })
            .map_err(|e| mounted.fail(i.ino(), e))?;
        if !full {
            out.set_pos(if narrow.is_some() { Narrow::END } else { i64::MAX as u64 });
        }
        Ok(())
    }

    fn fsync(i: &Inode, _datasync: bool) -> Result {
        // Names are durable since the call that made them; times of the VFS may wait.
        i.sync_metadata()
    }
}
