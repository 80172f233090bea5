// SPDX-License-Identifier: GPL-2.0

//! fsck.pfnfs: every kind of object is damaged, found, named and repaired; what was not damaged survives byte for byte.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a test that cannot go on fails")]

mod cuts;
mod damage;
mod objects;
mod options;
mod sample;
mod structure;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Output};

use sample::Sample;
use tempfile::TempDir;

/// A way to damage the sample, and what follows.
pub struct Damage {
    pub name: &'static str,
    pub apply: fn(&mut Sample),
    /// Parts of what the check says.
    pub says: &'static [&'static str],
    /// Names whose files have other contents afterwards, or are gone; with a / at the end, all below.
    pub hurt: &'static [&'static str],
    /// Names that are gone while the contents are in lost+found; likewise.
    pub moved: &'static [&'static str],
    /// Nobody can lose anything by the repair: -p does it.
    pub safe: bool,
}

impl Damage {
    pub const fn new(name: &'static str, says: &'static [&'static str], apply: fn(&mut Sample)) -> Self {
        Self { name, apply, says, hurt: &[], moved: &[], safe: false }
    }

    pub const fn safe(self) -> Self {
        Self { safe: true, ..self }
    }

    pub const fn hurts(self, hurt: &'static [&'static str]) -> Self {
        Self { hurt, ..self }
    }

    pub const fn moves(self, moved: &'static [&'static str]) -> Self {
        Self { moved, ..self }
    }
}

/// An image on disk.
pub struct Bench {
    _dir: TempDir,
    pub image: PathBuf,
}

impl Bench {
    pub fn new(sample: &Sample) -> Self {
        let dir = TempDir::new().expect("a place for images");
        let image = dir.path().join("image");
        fs::write(&image, &sample.bytes).expect("an image");
        Self { _dir: dir, image }
    }

    pub fn fsck(&self, options: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pfnfs-tools"));
        command.arg0("fsck.pfnfs").args(options).arg(&self.image).output().expect("running the program")
    }

    /// Runs it, and tells the exit code and all that was said.
    pub fn said(&self, options: &[&str]) -> (i32, String) {
        let output = self.fsck(options);
        let text = [output.stdout, output.stderr].concat();
        (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&text).into_owned())
    }

    pub fn bytes(&self) -> Vec<u8> {
        fs::read(&self.image).expect("the image")
    }
}

fn covers(list: &[&str], path: &str) -> bool {
    list.iter().any(|item| path == *item || item.ends_with('/') && path.starts_with(item))
}

/// Compares what a repair left with what there was before the damage.
fn survived(damage: &Damage, before: &Sample, after: &Sample) {
    let (old, new) = (before.tree(), after.tree());
    let contents: BTreeSet<&Vec<u8>> = new.values().collect();
    for (path, data) in &old {
        if covers(damage.hurt, path) {
            continue;
        }
        if covers(damage.moved, path) {
            assert!(contents.contains(data), "{}: the contents of {path} are nowhere", damage.name);
        } else {
            assert!(new.get(path) == Some(data), "{}: {path} is not what it was", damage.name);
        }
    }
    for path in new.keys().filter(|path| !path.starts_with("/lost+found")) {
        assert!(old.contains_key(path), "{}: {path} is new", damage.name);
    }
}

fn test(damage: &Damage, sound: &Sample) {
    let name = damage.name;
    let mut sample = sound.clone();
    (damage.apply)(&mut sample);
    assert!(sample.bytes != sound.bytes, "{name}: nothing was changed");
    let bench = Bench::new(&sample);
    let (code, said) = bench.said(&["-n"]);
    assert_eq!(code, 4, "{name}: {said}");
    for part in damage.says {
        assert!(said.contains(part), "{name}: {part:?} is not in\n{said}");
    }
    assert!(bench.bytes() == sample.bytes, "{name}: -n wrote");
    let (code, said) = bench.said(&["-p", "-f"]);
    assert_eq!(code, if damage.safe { 1 } else { 4 }, "{name} with -p: {said}");
    let (code, said) = bench.said(&["-y"]);
    assert_eq!(code, if damage.safe { 0 } else { 1 }, "{name} with -y: {said}");
    let (code, said) = bench.said(&["-n"]);
    assert_eq!(code, 0, "{name}, second check: {said}");
    survived(damage, sound, &Sample { bytes: bench.bytes(), ..sound.clone() });
}

/// Tests all of a table, and says how many there were.
pub fn run(damages: &[Damage], sound: &Sample) {
    for damage in damages {
        println!("{}", damage.name);
        test(damage, sound);
    }
    let names: BTreeSet<&str> = damages.iter().map(|damage| damage.name).collect();
    assert_eq!(names.len(), damages.len(), "names are told apart");
}
