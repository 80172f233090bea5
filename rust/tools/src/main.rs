// SPDX-License-Identifier: GPL-2.0

//! Tools for pfnfs volumes in one program, told apart by the name it is called with: mkfs.pfnfs, dump.pfnfs and fsck.pfnfs. They are thin
//! shells over the media core, which the kernel module runs as well.

#![forbid(unsafe_code)]

mod dump;
mod foreign;
mod fsck;
mod image;
mod mkfs;
mod overlay;

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

/// Make a pfnfs file system
#[derive(Parser)]
#[command(name = "mkfs.pfnfs", version)]
struct Mkfs {
    #[command(flatten)]
    arguments: mkfs::Arguments,
}

/// Show what lies on a pfnfs file system; never writes
#[derive(Parser)]
#[command(name = "dump.pfnfs", version)]
struct Dump {
    #[command(flatten)]
    arguments: dump::Arguments,
}

/// Check and repair a pfnfs file system
#[derive(Parser)]
#[command(name = "fsck.pfnfs", version)]
struct Fsck {
    #[command(flatten)]
    arguments: fsck::Arguments,
}

/// fsck.pfnfs has exit codes of its own, also for its options.
fn fsck() -> ExitCode {
    match Fsck::try_parse() {
        Ok(fsck) => fsck::run(&fsck.arguments),
        Err(error) => {
            // To a terminal that is gone, if it fails.
            let _ = error.print();
            if error.use_stderr() {
                ExitCode::from(fsck::USAGE)
            } else {
                ExitCode::SUCCESS
            }
        }
    }
}

fn main() -> ExitCode {
    let called = PathBuf::from(std::env::args_os().next().unwrap_or_default());
    let (name, done) = match called.file_name().and_then(OsStr::to_str) {
        Some("mkfs.pfnfs") => ("mkfs.pfnfs", mkfs::run(&Mkfs::parse().arguments)),
        Some("dump.pfnfs") => ("dump.pfnfs", dump::run(&Dump::parse().arguments)),
        Some("fsck.pfnfs") => return fsck(),
        _ => {
            eprintln!("pfnfs-tools: call it by the name mkfs.pfnfs, dump.pfnfs or fsck.pfnfs");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{name}: {error:#}");
            ExitCode::FAILURE
        }
    }
}
