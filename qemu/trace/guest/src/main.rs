// SPDX-License-Identifier: GPL-2.0
//! crash-load: a workload whose every step is known, and the check of what a power cut left of it.
//!
//! Layer: command line; runs in the guest, statically linked. [`step`] draws the steps from a seed, [`model`] says what they do to a tree,
//! [`run`] does them to a real one between markers for the store trace, [`observe`] reads a tree back, and [`check`] compares.
#![deny(unsafe_op_in_unsafe_fn)]

mod check;
mod mark;
mod model;
mod observe;
mod persist;
mod run;
mod step;

use anyhow::Result;
use clap::{Parser, Subcommand};
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
        Command::List { steps, seed } => {
            for (number, (_, step)) in step::Plan::new(seed).take(steps as usize).enumerate() {
                println!("{} {step:?}", number + 1);
            }
            Ok(())
        }
    }
}
