// SPDX-License-Identifier: GPL-2.0

//! What a user sees of mkfs.pfnfs and dump.pfnfs: results, refusals, messages, and that dump never writes.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

const MIB: u64 = 1 << 20;

struct Bench {
    _dir: TempDir,
    image: PathBuf,
}

impl Bench {
    fn new(size: u64) -> Self {
        let dir = TempDir::new().expect("a place for images");
        let image = dir.path().join("image");
        File::create(&image).and_then(|file| file.set_len(size)).expect("an image");
        Self { _dir: dir, image }
    }

    fn formatted() -> Self {
        let bench = Self::new(64 * MIB);
        assert!(call("mkfs.pfnfs", &bench.image, &["-q"]).status.success());
        bench
    }

    fn write(&self, at: u64, bytes: &[u8]) {
        let file = File::options().write(true).open(&self.image).expect("the image");
        file.write_all_at(bytes, at).expect("writing to the image");
    }
}

fn call(name: &str, image: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pfnfs-tools"));
    command.arg0(name);
    if name == "dump.pfnfs" {
        command.arg(image).args(arguments);
    } else {
        command.args(arguments).arg(image);
    }
    command.output().expect("running the program")
}

fn refused(name: &str, image: &Path, arguments: &[&str]) -> String {
    let output = call(name, image, arguments);
    assert!(!output.status.success(), "{name} {arguments:?} went through");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn shown(image: &Path, arguments: &[&str]) -> String {
    let output = call("dump.pfnfs", image, arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_new_volume_has_what_was_asked_for() {
    let bench = Bench::new(64 * MIB);
    let uuid = "0f9e2c84-7d57-4b3c-9c8e-53a1f4c1f0aa";
    let output = call("mkfs.pfnfs", &bench.image, &["-L", "archive", "-U", uuid, "-N", "1000", "--lanes", "2"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stdout).contains(uuid));
    let shown = shown(&bench.image, &[]);
    for part in [uuid, "label          archive", "2 lanes", "at most 1024, root 16", "16384 of 4096 bytes", "clean"] {
        assert!(shown.contains(part), "{part:?} is not in\n{shown}");
    }
}

#[test]
fn an_existing_volume_is_kept_without_force() {
    let bench = Bench::formatted();
    let before = fs::read(&bench.image).expect("the image");
    assert!(refused("mkfs.pfnfs", &bench.image, &[]).contains("holds a pfnfs file system; -f overwrites it"));
    assert!(before == fs::read(&bench.image).expect("the image"), "it was written to");
    assert!(call("mkfs.pfnfs", &bench.image, &["-f", "-q"]).status.success());
}

#[test]
fn a_damaged_volume_is_kept_without_force() {
    let bench = Bench::formatted();
    bench.write(40, &[0xff]);
    bench.write(64 * MIB - 4096 + 40, &[0xff]);
    assert!(refused("mkfs.pfnfs", &bench.image, &[]).contains("a damaged pfnfs file system"));
}

#[test]
fn a_volume_of_another_version_is_kept_and_not_read() {
    let bench = Bench::formatted();
    bench.write(8, &[9]);
    assert!(refused("mkfs.pfnfs", &bench.image, &[]).contains("pfnfs file system"));
    refused("dump.pfnfs", &bench.image, &[]);
}

#[test]
fn other_systems_are_kept_without_force() {
    let others: [(u64, &[u8], &str); 8] = [
        (0x438, &[0x53, 0xef], "ext4"),
        (0, b"XFSB", "xfs"),
        (0x1_0040, b"_BHRfS_M", "btrfs"),
        (4086, b"SWAPSPACE2", "swap"),
        (512, b"EFI PART", "GPT"),
        (4096, b"NVDIMM_PFN_INFO\0", "PFN info block"),
        (4096, b"NVDIMM_DAX_INFO\0", "DAX info block"),
        (4096, b"BTT_ARENA_INFO\0", "BTT info block"),
    ];
    for (at, bytes, name) in others {
        let bench = Bench::new(8 * MIB);
        bench.write(at, bytes);
        assert!(refused("mkfs.pfnfs", &bench.image, &[]).contains(name), "{name}");
        assert!(call("mkfs.pfnfs", &bench.image, &["-f", "-q"]).status.success(), "{name} with -f");
    }
}

#[test]
fn what_makes_no_sense_is_refused() {
    let small = Bench::new(8192);
    assert!(refused("mkfs.pfnfs", &small.image, &[]).contains("size of the device"));
    let bench = Bench::new(8 * MIB);
    assert!(refused("mkfs.pfnfs", &bench.image, &["--lanes", "65"]).contains("number of lanes"));
    assert!(refused("mkfs.pfnfs", &bench.image, &["--half-size", "100"]).contains("size of a lane"));
    assert!(refused("mkfs.pfnfs", &bench.image, &["-L", "a label of more than thirty-two bytes"])
        .contains("at most 32 fit"));
    assert!(refused("mkfs.pfnfs", &bench.image, &["-U", "no uuid"]).contains("--uuid"));
    assert!(refused("mkfs.pfnfs", Path::new("/nonexistent/image"), &[]).contains("cannot open"));
    assert!(refused("mkfs.pfnfs", Path::new("/"), &[]).contains("cannot open"));
    assert!(refused("dump.pfnfs", &bench.image, &[]).contains("no pfnfs file system"));
}

#[test]
fn dump_reads_the_root_and_never_writes() {
    let bench = Bench::formatted();
    let before = fs::read(&bench.image).expect("the image");
    assert!(shown(&bench.image, &["inode", "/"]).contains("mode           040755"));
    assert!(shown(&bench.image, &["inode", "16"]).contains("2 links"));
    assert_eq!(shown(&bench.image, &["dir", "/", "-r"]), "");
    assert!(shown(&bench.image, &["log", "-p"]).contains("slot A"));
    assert!(refused("dump.pfnfs", &bench.image, &["inode", "/none"]).contains("no \"none\""));
    assert!(refused("dump.pfnfs", &bench.image, &["inode", "17"]).contains("not found"));
    assert!(refused("dump.pfnfs", &bench.image, &["extents", "/"]).contains("not a regular file"));
    assert!(before == fs::read(&bench.image).expect("the image"), "it was written to");
}

#[test]
fn one_damaged_superblock_is_survived_and_named() {
    for at in [0, 64 * MIB - 4096] {
        let bench = Bench::formatted();
        bench.write(at + 100, &[0xff; 8]);
        assert!(shown(&bench.image, &[]).contains(&format!("the superblock at byte {at:#x}")));
    }
}

#[test]
fn one_damaged_slot_is_survived_and_named() {
    for (at, name) in [(4096, "slot A"), (4096 + 2048, "slot B")] {
        let bench = Bench::formatted();
        bench.write(at + 8, &[0xff]);
        assert!(shown(&bench.image, &[]).contains(&format!("{name}         DAMAGED")));
    }
}
