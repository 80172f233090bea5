// SPDX-License-Identifier: GPL-2.0
//! crash-load: the workloads of the library, as commands.
//!
//! Layer: command line; runs in the guest, statically linked.
#![forbid(unsafe_code)]

use anyhow::Result;
use clap::{Parser, Subcommand};
use crash_load::{check, run, step, suite};
use std::path::PathBuf;

#[derive(Parser)]
#[command(version, about = "A workload for power cuts, and its check")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Does the steps FIRST to STEPS in DIR, with markers
    Run {
        dir: PathBuf,
        #[arg(long)]
        steps: u64,
        #[arg(long, default_value_t = 1)]
        first: u64,
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// syncfs after each step, for file systems whose system calls are not durable by themselves
        #[arg(long)]
        sync: bool,
    },
    /// Compares DIR with what steps 1 to DONE leave, or BEGUN if that one was under way
    Check {
        dir: PathBuf,
        #[arg(long)]
        done: u64,
        #[arg(long)]
        begun: u64,
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Then does so many further steps and compares again
        #[arg(long, default_value_t = 0)]
        further: u64,
    },
    /// Does the workloads FIRST to LAST in DIR, each in a directory and by processes of its own, with markers
    Suite {
        dir: PathBuf,
        #[arg(long)]
        first: u64,
        #[arg(long)]
        last: u64,
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// One process of a workload; started by `suite`
    #[command(hide = true)]
    Process { dir: PathBuf, number: u64, process: u64, seed: u64 },
    /// Compares DIR with what the processes of a workload had done
    CheckSuite {
        dir: PathBuf,
        /// As store-cut lists it
        state: suite::State,
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// Prints the functions that store to persistent memory, and tells the store trace about tasks
    Symbols,
    /// Prints the steps
    List {
        #[arg(long)]
        steps: u64,
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
}

fn main() -> Result<()> {
    match Cli::parse().command {
        Command::Run { dir, steps, first, seed, sync } => run::all(&dir, first..=steps, seed, sync),
        Command::Check { dir, done, begun, seed, further } => {
            println!("{}", check::all(&dir, done, begun, seed, further)?);
            Ok(())
        }
        Command::Suite { dir, first, last, seed } => suite::run::all(&dir, first..=last, seed),
        Command::Process { dir, number, process, seed } => suite::run::process(&dir, number, process, seed),
        Command::CheckSuite { dir, state, seed } => suite::check(&dir, &state, seed),
        Command::Symbols => suite::symbols::print(),
        Command::List { steps, seed } => {
            for (number, (_, step)) in step::Plan::new(seed).take(steps as usize).enumerate() {
                println!("{} {step:?}", number + 1);
            }
            Ok(())
        }
    }
}
