// SPDX-License-Identifier: GPL-2.0
//! Does the steps to a real tree.
//!
//! Layer: system calls; [`mapped`] has those with memory that needs care. What a step needs open is opened before its first marker, so that between the markers lies the step alone.

use crate::mapped;
use crate::mark;
use crate::persist;
use crate::step::{bytes, Plan, Step};
use anyhow::{bail, Context, Result};
use memmap2::MmapOptions;
use rustix::fs::{fallocate, open, syncfs, FallocateFlags, Mode, OFlags};
use rustix::io::Errno;
use std::fs::{self, DirBuilder, File, FileTimes, OpenOptions, Permissions};
use std::ops::RangeInclusive;
use std::os::unix::fs::{symlink, DirBuilderExt, FileExt, MetadataExt, PermissionsExt};
use std::path::Path;
use std::time::{Duration, SystemTime};

/// Does the steps with these numbers; those before are taken as done.
pub fn all(dir: &Path, steps: RangeInclusive<u64>, seed: u64, sync: bool) -> Result<()> {
    let root = File::open(dir).with_context(|| dir.display().to_string())?;
    rustix::process::umask(Mode::empty());
    for (number, (_, step)) in (1..=*steps.end()).zip(Plan::new(seed)).filter(|(n, _)| steps.contains(n)) {
        let markers = Markers { number, who: 0, root: sync.then_some(&root) };
        one(dir, &step, &markers).with_context(|| format!("step {number}, {step:?}"))?;
    }
    Ok(())
}

/// Puts the markers around a system call.
pub struct Markers<'a> {
    pub number: u64,
    /// The process, for workloads of several.
    pub who: u64,
    /// Where to syncfs before the step counts as returned.
    pub root: Option<&'a File>,
}

impl Markers<'_> {
    fn around<T>(&self, call: impl FnOnce() -> Result<T>) -> Result<T> {
        self.counted(|| Ok((call()?, 0)))
    }

    /// `call` also gives a number that the log is to know.
    fn counted<T>(&self, call: impl FnOnce() -> Result<(T, usize)>) -> Result<T> {
        mark::mark(mark::BEGIN, self.number, self.who);
        let (done, result) = call()?;
        if let Some(root) = self.root {
            syncfs(root)?;
        }
        mark::mark(mark::RETURN, self.number, self.who | (result as u64) << 32);
        Ok(done)
    }
}

/// Until the process ends.
fn keep_open<T>(file: T) {
    std::mem::forget(file);
}

/// Does a step. Returns the bytes that a [`Step::Faulty`] wrote, 0 for the others.
pub fn one(dir: &Path, step: &Step, markers: &Markers) -> Result<usize> {
    let at = |path: &str| dir.join(path);
    let writable = |path: &str| OpenOptions::new().read(true).write(true).open(at(path));
    match step {
        Step::Create { path, mode } => {
            let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY;
            markers.around(|| Ok(open(at(path), flags, Mode::from_raw_mode(*mode))?))?;
        }
        Step::Mkdir { path, mode } => markers.around(|| Ok(DirBuilder::new().mode(*mode).create(at(path))?))?,
        Step::Symlink { path, target } => markers.around(|| Ok(symlink(target, at(path))?))?,
        Step::Unlink { path } => {
            // A third of the files is unlinked while open, a third while mapped: what is stored then must show up nowhere.
            let file = (markers.number % 3 > 0).then(|| writable(path).ok()).flatten();
            let map = file.as_ref().filter(|_| markers.number % 3 > 1).and_then(|file| mapped::Whole::of(file).ok());
            markers.around(|| Ok(fs::remove_file(at(path))?))?;
            if file.as_ref().is_some_and(|file| file.metadata().is_ok_and(|meta| meta.nlink() == 0)) {
                map.iter().for_each(mapped::Whole::scribble);
            }
            keep_open((file, map));
        }
        Step::Rmdir { path } => markers.around(|| Ok(fs::remove_dir(at(path))?))?,
        Step::Link { from, to } => markers.around(|| Ok(fs::hard_link(at(from), at(to))?))?,
        Step::Rename { from, to } => markers.around(|| Ok(fs::rename(at(from), at(to))?))?,
        Step::Chmod { path, mode } => {
            markers.around(|| Ok(fs::set_permissions(at(path), Permissions::from_mode(*mode))?))?;
        }
        Step::Touch { path, mtime } => {
            let (file, time) = (writable(path)?, SystemTime::UNIX_EPOCH + Duration::from_nanos(*mtime));
            markers.around(|| Ok(file.set_times(FileTimes::new().set_modified(time))?))?;
        }
        Step::Fsync { path } => {
            let file = writable(path)?;
            markers.around(|| Ok(file.sync_all()?))?;
        }
        Step::Sync => {
            let root = File::open(dir)?;
            markers.around(|| Ok(syncfs(&root)?))?;
        }
        _ => return contents(dir, step, markers),
    }
    Ok(0)
}

/// The steps that change what is in a file.
fn contents(dir: &Path, step: &Step, markers: &Markers) -> Result<usize> {
    let writable = |path: &str| OpenOptions::new().read(true).write(true).open(dir.join(path));
    match step {
        Step::Write { path, at: offset, len, pattern } => {
            let (file, data) = (writable(path)?, bytes(*pattern, *offset, *len));
            markers.around(|| Ok(file.write_all_at(&data, *offset as u64)?))?;
        }
        Step::Faulty { path, at: offset, good, pattern, .. } => {
            let (file, data) = (writable(path)?, mapped::Faulty::new(&bytes(*pattern, *offset, *good))?);
            return markers.counted(|| data.write(&file, *offset as u64).map(|n| (n, n)));
        }
        Step::Store { path, at: offset, len, pattern } => {
            let (file, data) = (writable(path)?, bytes(*pattern, *offset, *len));
            // SAFETY: nothing else changes the file while it is mapped.
            let mut map = unsafe { MmapOptions::new().map_mut(&file)? };
            markers.around(|| {
                let range = map.get_mut(*offset..*offset + len).context("the file is shorter than the step wants")?;
                range.copy_from_slice(&data);
                Ok(map.flush_range(*offset, *len)?)
            })?;
        }
        Step::Persist { path, at: offset, len, pattern } => {
            let (file, data) = (writable(path)?, bytes(*pattern, *offset, *len));
            let map = persist::Map::new(&file, *offset + *len)?;
            markers.around(|| map.store(*offset, &data))?;
        }
        Step::Nameless { len, pattern } => {
            let data = bytes(*pattern, 0, *len);
            markers.around(|| match open(dir, OFlags::TMPFILE | OFlags::RDWR, Mode::from_raw_mode(0o600)) {
                Err(Errno::OPNOTSUPP) => Ok(()),
                opened => {
                    let file = File::from(opened?);
                    file.write_all_at(&data, 0)?;
                    keep_open(file);
                    Ok(())
                }
            })?;
        }
        Step::Truncate { path, len } => {
            let file = writable(path)?;
            // Every other file is mapped meanwhile, and stays so.
            let map = (markers.number % 2 > 0).then(|| mapped::Whole::of(&file).ok()).flatten();
            markers.around(|| Ok(file.set_len(*len as u64)?))?;
            map.iter().for_each(|map| map.dirty(*len));
            keep_open(map);
        }
        Step::Preallocate { path, len } => {
            let file = writable(path)?;
            markers.around(|| Ok(fallocate(&file, FallocateFlags::empty(), 0, *len as u64)?))?;
        }
        _ => bail!("not a step that changes contents"),
    }
    Ok(0)
}
