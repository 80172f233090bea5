// SPDX-License-Identifier: GPL-2.0

//! Exit codes, questions, and the forms of the output.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use super::sample::Sample;
use super::{survived, Bench, Damage};

#[test]
fn a_sound_volume_is_clean() {
    let bench = Bench::new(&Sample::new(false));
    for options in [&["-n"][..], &["-y"], &["-p"], &["-p", "-f"], &["-n", "-v"]] {
        let (code, said) = bench.said(options);
        assert_eq!((code, said.contains("clean")), (0, true), "{said}");
    }
}

#[test]
fn a_log_to_be_replayed_is_no_damage() {
    let sample = Sample::new(true);
    let bench = Bench::new(&sample);
    let (code, said) = bench.said(&["-n", "-v"]);
    assert_eq!((code, said.contains("replayed in memory")), (0, true), "{said}");
    assert_eq!(bench.said(&["-y"]).0, 0);
    assert!(bench.bytes() == sample.bytes, "it was written to");
}

#[test]
fn a_damaged_log_is_thrown_away() {
    let sound = Sample::new(true);
    let mut sample = sound.clone();
    let start = sample.geometry.half_at(0, 0);
    // The first record of the half that has more behind it.
    sample.rot(start + 30);
    let bench = Bench::new(&sample);
    let (code, said) = bench.said(&["-n"]);
    assert_eq!((code, said.contains("record behind a damaged one")), (4, true), "{said}");
    assert_eq!(bench.said(&["-p"]).0, 4);
    assert!(bench.bytes() == sample.bytes, "it was written to");
    assert_eq!(bench.said(&["-y"]).0, 1);
    assert_eq!(bench.said(&["-n"]).0, 0);
    let repaired = Sample { bytes: bench.bytes(), ..sound.clone() };
    survived(&Damage::new("log", &[], |_| ()), &sound, &repaired);
}

#[test]
fn wrong_use_and_wrong_images_have_their_codes() {
    let mut sample = Sample::new(false);
    assert_eq!(Bench::new(&sample).said(&["--nonsense"]).0, 16);
    assert_eq!(Bench::new(&sample).said(&["-n", "-y"]).0, 16);
    assert_eq!(Bench::new(&sample).said(&["--help"]).0, 0);
    let nobody = Bench::new(&sample).said(&[]);
    assert_eq!((nobody.0, nobody.1.contains("nobody to ask")), (8, true));
    let bench = Bench::new(&sample);
    std::fs::remove_file(&bench.image).unwrap();
    assert_eq!(bench.said(&["-n"]).0, 8);
    for block in [0, super::damage::LAST as usize] {
        sample.bytes[block..block + 256].fill(0);
    }
    let (code, said) = Bench::new(&sample).said(&["-y"]);
    assert_eq!((code, said.contains("no pfnfs file system")), (8, true), "{said}");
}

/// Runs it with answers to its questions.
fn answered(bench: &Bench, answers: &str) -> (i32, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pfnfs-tools"));
    command.arg0("fsck.pfnfs").arg("-r").arg(&bench.image).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().expect("running the program");
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(answers.as_bytes()).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    (output.status.code().unwrap(), String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn questions_are_asked_and_answers_heeded() {
    let mut sample = Sample::new(false);
    sample.inode("/other", |inode| inode.nlink = 7.into());
    sample.inode("/fifo", |inode| inode.nlink = 9.into());
    let bench = Bench::new(&sample);
    let (code, said) = answered(&bench, "n\nn\n");
    assert_eq!((code, said.matches("[y/n]").count()), (4, 2), "{said}");
    assert!(bench.bytes() == sample.bytes, "it was written to");
    assert_eq!(answered(&bench, "").0, 4 | 32);
    assert!(bench.bytes() == sample.bytes, "it was written to");
    assert_eq!(answered(&bench, "n\ny\n").0, 1 | 4);
    assert_eq!(answered(&bench, "y\n").0, 1);
    assert_eq!(bench.said(&["-n"]).0, 0);
}

#[test]
fn json_is_one_object_per_line() {
    let mut sample = Sample::new(false);
    sample.inode("/a/b/c/deep", |inode| inode.nlink = 7.into());
    let ino = sample.ino("/a/b/c/deep");
    let output = Bench::new(&sample).fsck(&["-n", "--json"]);
    let lines: Vec<serde_json::Value> = String::from_utf8_lossy(&output.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).expect("a line of JSON"))
        .collect();
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert_eq!(lines[0]["event"], "problem");
    assert_eq!(lines[0]["inode"], ino);
    assert_eq!(lines[0]["path"], "/a/b/c/deep");
    assert_eq!(lines[0]["what"], "number of links");
    assert_eq!(lines[0]["at"], sample.slot("/a/b/c/deep"));
    assert_eq!(lines[1]["event"], "summary");
    assert_eq!(lines[1]["problems"], 1);
    assert_eq!(lines[2]["code"], 4);
}
