// SPDX-License-Identifier: GPL-2.0

//! Calls of a workload, by path: text that can be read back, and what each is for the driver.

use std::fmt;
use std::str::FromStr;

use pfnfs_core::media::{BLOCK, HUGE};
use pfnfs_core::meta::extent::{self, Extent};
use pfnfs_core::meta::Machine;

use crate::fs::driver::{Driver, Op};
use crate::fs::model::Model;
use crate::random::mix;

macro_rules! classes {
    ($($class:ident $name:literal,)*) => {
        /// What a state is counted as: the operation that the cut met.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Class { $($class,)* }

        impl Class {
            pub const ALL: &'static [Class] = &[$(Class::$class,)*];

            pub fn name(self) -> &'static str {
                match self { $(Class::$class => $name,)* }
            }
        }
    };
}

classes! {
    Create "create",
    Mkdir "mkdir",
    Mknod "mknod",
    Link "link",
    Symlink "symlink",
    Unlink "unlink",
    Rmdir "rmdir",
    Rename "rename, plain",
    Replace "rename, replacing",
    Move "rename, across directories",
    WriteStart "write at 0",
    WriteUnaligned "write, unaligned",
    Append "write, appending",
    WriteHole "write over a hole",
    WriteSteps "write of several steps",
    TruncateDown "truncate down",
    TruncateUp "truncate up",
    Allocate "fallocate",
    Punch "punch a hole",
    Zero "zero a range",
    Fsync "fsync",
    UnlinkOpen "unlink while open",
    Tmpfile "file without a name",
    Attributes "set attributes",
    WriteFault "write fault",
    FaultMany "write fault, many blocks",
    Placed "placed in runs of 2 MiB",
    Checkpoint "checkpoint",
    Remount "remount, reading only and back",
    Mount "mount, recovery",
    Groups "several groups",
    Levels "trees of two and three levels",
    Pieces "files of many extents",
    NoSpace "no space at an allocation",
    Limbo "limbo full",
    Frozen "freeze and thaw",
    ReadOnly "mounts that may not store",
    Lost "lost memory",
    OneDirectory "two CPUs, one directory",
    OneInode "two CPUs, one inode",
    Checked "a checker beside operations",
    Hashes "equal hashes",
    Ends "numbers at their ends",
}

/// A call: verb, one or two paths (`-`: none; `@`: the open file without a name), two numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    pub verb: String,
    pub path: String,
    pub other: String,
    pub a: u64,
    pub b: u64,
}

impl Call {
    pub fn new(verb: &str, path: &str, other: &str, a: u64, b: u64) -> Self {
        Call { verb: verb.into(), path: path.into(), other: other.into(), a, b }
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {} {} {}", self.verb, self.path, self.other, self.a, self.b)
    }
}

impl FromStr for Call {
    type Err = String;

    /// Verb, path, other, a, b; what is left out at the end is `-` or 0.
    fn from_str(text: &str) -> Result<Self, String> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let word = |index: usize| words.get(index).copied().unwrap_or("-");
        let number = |index: usize| match word(index) {
            "-" => Ok(0),
            text => text.parse().map_err(|_| format!("{text} is no number")),
        };
        if words.is_empty() || words.len() > 5 {
            return Err(format!("'{text}' is no call"));
        }
        Ok(Call::new(word(0), word(1), word(2), number(3)?, number(4)?))
    }
}

/// The directory and the name of a path.
fn split<'a>(model: &Model, root: u64, path: &'a str) -> Option<(u64, &'a str)> {
    let (dirs, name) = path.rsplit_once('/')?;
    let mut dir = root;
    for name in dirs.split('/').filter(|name| !name.is_empty()) {
        dir = *model.entries(dir).get(name.as_bytes())?;
        if !model.is_dir(dir) {
            return None;
        }
    }
    Some((dir, name))
}

/// The inode number of a path.
pub fn find(model: &Model, root: u64, path: &str) -> Option<u64> {
    match path {
        "@" => model.unnamed().first().copied(),
        "/" => Some(root),
        path => split(model, root, path).and_then(|(dir, name)| model.entries(dir).get(name.as_bytes()).copied()),
    }
}

/// Bytes that are nowhere else: of this file position and time.
fn bytes(pos: u64, len: u64, tag: u64) -> Vec<u8> {
    (pos..pos + len).map(|at| (mix(tag << 40 ^ at / 8) >> (at % 8 * 8)) as u8 | 1).collect()
}

/// What a call is now: its class, and what the driver does. `None`: it makes no sense with what there is.
pub fn resolve<M: Machine + Clone>(call: &Call, driver: &Driver<M>) -> Option<(Class, Vec<Op>)> {
    let (model, root) = (&driver.model, driver.root);
    let there = || find(model, root, &call.path);
    let file = || there().filter(|ino| model.is_file(*ino));
    let new = |path: &str| split(model, root, path).map(|(dir, name)| (dir, name.as_bytes().to_vec()));
    let (a, b) = (call.a, call.b);
    let entry = |class, op: fn(u64, Vec<u8>) -> Op| {
        let (dir, name) = new(&call.path)?;
        Some((class, vec![op(dir, name)]))
    };
    match call.verb.as_str() {
        "create" => entry(Class::Create, Op::Create),
        "mkdir" => entry(Class::Mkdir, Op::Mkdir),
        "mkfifo" => entry(Class::Mknod, Op::Fifo),
        "unlink" => there().filter(|ino| !model.is_dir(*ino)).and_then(|_| entry(Class::Unlink, Op::Unlink)),
        "rmdir" => there().filter(|ino| model.is_dir(*ino)).and_then(|_| entry(Class::Rmdir, Op::Unlink)),
        "unlinkopen" => file().and_then(|_| entry(Class::UnlinkOpen, Op::UnlinkOpen)),
        "symlink" => {
            let (dir, name) = new(&call.path)?;
            Some((Class::Symlink, vec![Op::Symlink(dir, name, bytes(0, a.max(1), 3))]))
        }
        "link" => {
            let (target, (dir, name)) = (there()?, new(&call.other)?);
            let class = if call.path == "@" { Class::Tmpfile } else { Class::Link };
            Some((class, vec![Op::Link(dir, name, target)]))
        }
        "rename" => rename(call, model, root),
        "tmpfile" => Some((Class::Tmpfile, vec![Op::Tmpfile(root)])),
        "close" => Some((Class::UnlinkOpen, vec![Op::Close(find(model, root, "@")?)])),
        "write" => {
            let ino = file()?;
            let op = Op::Write(ino, a, bytes(a, b.max(1), driver.clock as u64));
            Some((write_class(driver, ino, a, b), vec![op]))
        }
        "store" | "storehuge" => {
            let (ino, bytes) = (file()?, bytes(a, b * 8, driver.clock as u64));
            let class = fault_class(driver, ino, a / BLOCK);
            Some((class, vec![Op::MapStore(ino, a / 8 * 8, bytes, call.verb == "storehuge")]))
        }
        "fsync" => Some((Class::Fsync, vec![Op::Fsync(file()?)])),
        "truncate" => {
            let ino = file()?;
            Some(if a > model.data(ino).len() as u64 {
                (Class::TruncateUp, vec![Op::Extend(ino, a)])
            } else {
                (Class::TruncateDown, vec![Op::Truncate(ino, a)])
            })
        }
        "fallocate" => fallocate(model, file()?, a, b),
        "reserve" => Some((placed(Class::Allocate, a, b), vec![Op::Preallocate(file()?, a, b.max(1) as u32)])),
        "punch" | "zero" | "punchbytes" | "zerobytes" => Some(clear(call, file()?)),
        "chown" => Some((Class::Attributes, vec![Op::Chown(there()?, a as u32, b as u32)])),
        "remount" => Some((Class::Remount, vec![Op::Remount])),
        "freeze" => Some((Class::Frozen, vec![Op::Freeze])),
        "fill" => fill(driver, file()?, a),
        "chmod" => Some((Class::Attributes, vec![Op::Chmod(there()?, a as u16)])),
        "checkpoint" => Some((Class::Checkpoint, vec![Op::Checkpoint])),
        _ => None,
    }
}

/// A range that becomes zeroes: blocks, or bytes.
fn clear(call: &Call, ino: u64) -> (Class, Vec<Op>) {
    let (a, b) = (call.a, call.b);
    let bytes = if call.verb.ends_with("bytes") { a..a + b } else { a * BLOCK..(a + b.max(1)) * BLOCK };
    if call.verb.starts_with("punch") {
        (Class::Punch, vec![Op::Punch(ino, bytes)])
    } else {
        (Class::Zero, vec![Op::Zero(ino, bytes)])
    }
}

/// All free blocks but so many.
fn fill<M: Machine + Clone>(driver: &Driver<M>, ino: u64, but: u64) -> Option<(Class, Vec<Op>)> {
    let free = driver.volume.space().free.checked_sub(but).filter(|free| *free > 0)?;
    Some((Class::Allocate, vec![Op::Preallocate(ino, 0, free as u32)]))
}

/// Whole blocks, and a size behind the last of them where the file ended before.
fn fallocate(model: &Model, ino: u64, from: u64, len: u64) -> Option<(Class, Vec<Op>)> {
    let end = from.checked_add(len)?;
    let count = end.div_ceil(BLOCK) - from / BLOCK;
    let mut ops = vec![Op::Preallocate(ino, from / BLOCK, count as u32)];
    if end > model.data(ino).len() as u64 {
        ops.push(Op::Extend(ino, end));
    }
    Some((placed(Class::Allocate, from / BLOCK, count), ops))
}

/// The class of what takes so many blocks from there on: those of a file's first 2 MiB lie anywhere.
fn placed(class: Class, block: u64, count: u64) -> Class {
    if block + count >= u64::from(HUGE) {
        Class::Placed
    } else {
        class
    }
}

fn rename(call: &Call, model: &Model, root: u64) -> Option<(Class, Vec<Op>)> {
    let ((from, name), (to, other)) = (split(model, root, &call.path)?, split(model, root, &call.other)?);
    find(model, root, &call.path)?;
    let class = match find(model, root, &call.other) {
        Some(_) => Class::Replace,
        None if from != to => Class::Move,
        None => Class::Rename,
    };
    Some((class, vec![Op::Rename(from, name.into(), to, other.into())]))
}

fn write_class<M: Machine + Clone>(driver: &Driver<M>, ino: u64, pos: u64, len: u64) -> Class {
    let found = extent::find(&driver.volume, &driver.lives[&ino], pos / BLOCK);
    match found {
        _ if pos + len > u64::from(HUGE) * BLOCK => Class::Placed,
        _ if len > 1 << 16 => Class::WriteSteps,
        _ if pos >= driver.model.data(ino).len() as u64 => Class::Append,
        Ok(Extent::Data { unwritten: false, .. }) if pos == 0 => Class::WriteStart,
        Ok(Extent::Data { unwritten: false, .. }) => Class::WriteUnaligned,
        _ => Class::WriteHole,
    }
}

fn fault_class<M: Machine + Clone>(driver: &Driver<M>, ino: u64, block: u64) -> Class {
    match extent::find(&driver.volume, &driver.lives[&ino], block) {
        Ok(Extent::Data { len, unwritten: true, .. }) if len > 4 => Class::FaultMany,
        Ok(Extent::Hole { .. }) if driver.model.data(ino).len() as u64 > u64::from(HUGE) * BLOCK => Class::Placed,
        _ => Class::WriteFault,
    }
}
