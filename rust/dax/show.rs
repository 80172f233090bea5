// SPDX-License-Identifier: GPL-2.0

//! Layer: dax. The entries of a file in readable form, for debugfs.

use kernel::fmt;

use crate::linux::mm::{Entry, Mapping};

/// Writes a line for each entry: inode, index, `hole`, `copy` or page frame number, pages, and `dirty` or `clean`; `dirty+` has been
/// written since a cleaner last looked.
pub(crate) fn show(mapping: &Mapping, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let ino = mapping.ino();
    let mut from = 0;
    while let Some(seen) = mapping.next_entry(from) {
        from = seen.end();
        let index = seen.index;
        let state = match (seen.dirty, seen.to_write) {
            (false, _) => "clean",
            (true, false) => "dirty",
            (true, true) => "dirty+",
        };
        match seen.entry {
            Entry::Pfn(frame) => {
                let pages = frame.order.pages();
                writeln!(f, "{ino} {index} {:#x} {pages} {state}", frame.pfn)?;
            }
            Entry::Hole => writeln!(f, "{ino} {index} hole 1 {state}")?,
            Entry::Copy => writeln!(f, "{ino} {index} copy 1 {state}")?,
            Entry::Empty | Entry::Foreign => writeln!(f, "{ino} {index} foreign 1 {state}")?,
        }
    }
    Ok(())
}
