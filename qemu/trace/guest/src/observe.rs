// SPDX-License-Identifier: GPL-2.0
//! Reads a real tree into a [`Tree`].
//!
//! Layer: system calls, reading only. Also checks what a tree on its own must satisfy: link counts, and `.` and `..` by way of stat.

use crate::model::{Inode, Kind, Tree};
use anyhow::{bail, ensure, Context, Result};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// What mkfs makes.
const SKIPPED: &str = "lost+found";

pub fn tree(root: &Path) -> Result<Tree> {
    let mut found = Tree::default();
    let mut links = Vec::new();
    directory(root, "", &mut found, &mut links)?;
    for (path, ino, nlink) in links {
        let names = found.links(ino) as u64;
        ensure!(nlink == names, "{path}: link count {nlink}, but {names} names");
    }
    Ok(found)
}

fn directory(root: &Path, prefix: &str, found: &mut Tree, links: &mut Vec<(String, u64, u64)>) -> Result<()> {
    let dir = root.join(prefix);
    let mut subdirs = 0;
    for entry in fs::read_dir(&dir).with_context(|| dir.display().to_string())? {
        let entry = entry.with_context(|| dir.display().to_string())?;
        let name = entry.file_name().into_string().map_err(|n| anyhow::anyhow!("strange name {n:?} in {prefix}"))?;
        let path = if prefix.is_empty() { name.clone() } else { format!("{prefix}/{name}") };
        if path == SKIPPED {
            subdirs += 1;
            continue;
        }
        ensure!(!found.names.contains_key(&path), "{path} is listed twice");
        let meta = fs::symlink_metadata(entry.path()).with_context(|| path.clone())?;
        ensure!(entry.file_type()?.is_dir() == meta.is_dir(), "{path}: readdir and stat disagree on the type");
        let (ino, inode) = (meta.ino(), one(&entry.path(), &meta).with_context(|| path.clone())?);
        let is_dir = inode.kind == Kind::Dir;
        found.add_found(path.clone(), ino, inode);
        if is_dir {
            subdirs += 1;
            directory(root, &path, found, links)?;
        } else {
            links.push((path, ino, meta.nlink()));
        }
    }
    let nlink = fs::metadata(&dir)?.nlink();
    // 1: the file system does not count the links of directories.
    ensure!(nlink == subdirs + 2 || nlink == 1, "{prefix}/: link count {nlink} with {subdirs} directories in it");
    Ok(())
}

fn one(path: &Path, meta: &fs::Metadata) -> Result<Inode> {
    let kind = if meta.is_dir() {
        Kind::Dir
    } else if meta.is_symlink() {
        let target = fs::read_link(path)?;
        ensure!(target.as_os_str().len() as u64 == meta.len(), "a symlink's size is not its target's length");
        Kind::Symlink(target.to_string_lossy().into_owned())
    } else if meta.is_file() {
        let content = fs::read(path)?;
        ensure!(content.len() as u64 == meta.len(), "read gives {} bytes, stat {}", content.len(), meta.len());
        Kind::File(content.into())
    } else {
        bail!("neither file, directory nor symlink");
    };
    let mode = (!meta.is_symlink()).then_some(meta.mode() & 0o7777);
    let mtime = (meta.mtime() as u64).wrapping_mul(1_000_000_000).wrapping_add(meta.mtime_nsec() as u64);
    Ok(Inode { kind, mode, mtime: Some(mtime) })
}
