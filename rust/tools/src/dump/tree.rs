// SPDX-License-Identifier: GPL-2.0

//! dump.pfnfs: inodes, directories, extents.

use anyhow::{bail, Context};
use pfnfs_core::media::format::Time;
use pfnfs_core::meta::dir::{self, Scratch};
use pfnfs_core::meta::extent::{self, Extent, FILE_BLOCKS};
use pfnfs_core::meta::inode::{self, Live};

use super::{named, View};

/// Deepest path that is followed: a loop of directories is damage.
const DEPTH_MAX: usize = 1024;

/// A time as seconds and nanoseconds since 1970.
pub fn time(time: Time) -> String {
    format!("{}.{:09}", time.sec.get(), time.nsec.get())
}

/// The inode that `text` names: a number, or a path from the root.
fn find(view: &View<'_>, text: &str) -> anyhow::Result<Live> {
    if let Ok(ino) = text.parse() {
        return load(view, ino);
    }
    if !text.starts_with('/') {
        bail!("{text:?} is neither a number nor a path that begins with /");
    }
    let mut live = load(view, view.geometry().root())?;
    for name in text.split('/').filter(|name| !name.is_empty()) {
        let found =
            dir::lookup(view, &live, name.as_bytes()).map_err(|error| named(&error)).context(text.to_owned())?;
        let Some(found) = found else { bail!("{text}: no {name:?}") };
        live = load(view, found.ino)?;
    }
    Ok(live)
}

fn load(view: &View<'_>, ino: u64) -> anyhow::Result<Live> {
    inode::load(view, ino, None).map_err(|error| named(&error)).with_context(|| format!("inode {ino}"))
}

/// Prints one inode.
///
/// # Errors
///
/// There is none, or it is damaged.
pub fn inode(view: &View<'_>, text: &str) -> anyhow::Result<()> {
    let live = find(view, text)?;
    println!("inode          {} at byte {:#x}, generation {}", live.ino(), live.at(), live.generation());
    println!("mode           {:06o}, owner {}:{}, {} links", live.mode(), live.uid(), live.gid(), live.nlink());
    println!("size           {} bytes, {} blocks", live.size(), live.blocks());
    println!("flags          {:#x}, orphan {:?}", live.format().flags.get(), live.orphan());
    if live.is_dir() {
        println!("parent         {}", live.parent());
    }
    if live.rdev() != 0 {
        println!("device         {:#x}", live.rdev());
    }
    if live.is_symlink() {
        let mut target = vec![0; inode::SYMLINK_MAX];
        let mut len = 0;
        while let Some(rest) = target.get_mut(len..).filter(|_| (len as u64) < live.size()) {
            let some = inode::read_link(view, &live, len as u64, rest).map_err(|error| named(&error))?;
            if some == 0 {
                break;
            }
            len += some;
        }
        println!("target         {}", target.get(..len).unwrap_or_default().escape_ascii());
    }
    for (name, value) in
        [("btime", live.btime()), ("atime", live.atime()), ("mtime", live.mtime()), ("ctime", live.ctime())]
    {
        println!("{name}          {}", time(value));
    }
    Ok(())
}

/// Prints the entries of a directory: position, inode, type, name.
///
/// # Errors
///
/// It is none, or damaged.
pub fn directory(view: &View<'_>, text: &str, recursive: bool) -> anyhow::Result<()> {
    let live = find(view, text)?;
    let prefix = if text.starts_with('/') { text.trim_end_matches('/') } else { text };
    let mut todo = vec![(live, prefix.to_owned(), 0)];
    while let Some((live, prefix, depth)) = todo.pop() {
        if depth > DEPTH_MAX {
            bail!("{prefix}: directories nested deeper than {DEPTH_MAX}");
        }
        let mut below = Vec::new();
        let read = dir::read(view, &live, 0, &mut Scratch::new(), &mut |entry| {
            let path = format!("{prefix}/{}", entry.name.escape_ascii());
            println!("{:016x} {:>8} {:>2} {path}", entry.pos, entry.ino, entry.kind);
            below.push((entry.ino, path));
            true
        });
        read.map_err(|error| named(&error)).with_context(|| format!("directory {}", live.ino()))?;
        if recursive {
            for (ino, path) in below.into_iter().rev() {
                let child = load(view, ino)?;
                if child.is_dir() {
                    todo.push((child, path, depth + 1));
                }
            }
        }
    }
    Ok(())
}

/// Prints the extents of a file, holes between them left out: file blocks, device blocks, state.
///
/// # Errors
///
/// It has none by its kind, or is damaged.
pub fn extents(view: &View<'_>, text: &str) -> anyhow::Result<()> {
    let live = find(view, text)?;
    if !live.is_file() {
        bail!("{text} is not a regular file");
    }
    let mut at = 0;
    while at < FILE_BLOCKS {
        match extent::find(view, &live, at).map_err(|error| named(&error))? {
            Extent::Hole { len } => at += len.max(1),
            Extent::Data { block, len, unwritten, .. } => {
                let state = if unwritten { " unwritten" } else { "" };
                println!("file {at} +{len} device {block}{state}");
                at += u64::from(len);
            }
        }
    }
    Ok(())
}
