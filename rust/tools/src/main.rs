// SPDX-License-Identifier: GPL-2.0

//! Tools for pfnfs volumes in one program, told apart by the name it is called with: mkfs.pfnfs and dump.pfnfs. They are thin
//! shells over the media core, which the kernel module runs as well.

#![forbid(unsafe_code)]

mod dump;
mod foreign;
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

fn main() -> ExitCode {
    let called = PathBuf::from(std::env::args_os().next().unwrap_or_default());
    let (name, done) = match called.file_name().and_then(OsStr::to_str) {
        Some("mkfs.pfnfs") => ("mkfs.pfnfs", mkfs::run(&Mkfs::parse().arguments)),
        Some("dump.pfnfs") => ("dump.pfnfs", dump::run(&Dump::parse().arguments)),
        _ => {
            eprintln!("pfnfs-tools: call it by the name mkfs.pfnfs or dump.pfnfs");
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
