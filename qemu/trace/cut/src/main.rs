// SPDX-License-Identifier: GPL-2.0
//! store-cut: reads a store log. Checks it against the final image, builds the images that power cuts leave, counts costs.
//!
//! Layer: command line. Each subcommand is a module; the model of the media is [`store_log::media`].
#![forbid(unsafe_code)]

mod cost;
mod images;
mod input;
mod journal;
mod plan;
mod proof;
mod replay;
mod returns;
mod suite;
mod symbols;
mod volume;

use anyhow::Result;
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;
use store_log::Domain;

#[derive(Parser)]
#[command(version, about = "Reads the store log of a guest's NVDIMM")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Args)]
struct Source {
    /// The NVDIMM's file as it was before the guest started
    #[arg(long)]
    start: PathBuf,
    /// The store log
    #[arg(long)]
    log: PathBuf,
    /// What counts as a fence
    #[arg(long, value_enum, default_value = "explicit")]
    domain: DomainName,
}

#[derive(Clone, Copy, ValueEnum)]
enum DomainName {
    /// sfence and mfence
    Explicit,
    /// Locked and serialising instructions too
    Hardware,
}

impl From<DomainName> for Domain {
    fn from(name: DomainName) -> Self {
        match name {
            DomainName::Explicit => Domain::Explicit,
            DomainName::Hardware => Domain::Hardware,
        }
    }
}

#[derive(Subcommand)]
enum Command {
    /// Replays the whole log and compares with the final image, byte for byte
    Replay {
        #[command(flatten)]
        source: Source,
        /// The NVDIMM's file after the guest ended
        #[arg(long = "final")]
        end: PathBuf,
    },
    /// Builds the image of one cut
    Cut {
        #[command(flatten)]
        source: Source,
        #[command(flatten)]
        point: plan::Point,
        /// What becomes of stores that nothing made safe: dropped, kept, or a number that seeds a choice
        #[arg(long, default_value = "dropped", value_parser = plan::parse_rest)]
        rest: store_log::Rest,
        #[arg(long)]
        out: PathBuf,
    },
    /// Builds the images of many cuts between the first and the last step, and a list of them
    Images {
        #[command(flatten)]
        source: Source,
        /// Where to; gets 0.img, 1.img, ... and the file `cuts`
        #[arg(long)]
        out: PathBuf,
        #[arg(long, default_value_t = 32)]
        count: usize,
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// Checks the cut image of scripts/trace/proof.c
    Proof {
        #[command(flatten)]
        source: Source,
    },
    /// Checks at the return of each step that nothing stored past the cache lacks its fence
    Returns {
        #[command(flatten)]
        source: Source,
        /// Nothing at all may be unsafe, as after a write to a device node
        #[arg(long)]
        all: bool,
    },
    /// Checks many workloads: what a cut before each fence leaves, and that all a call stored is durable when it returns
    Suite(suite::Arguments),
    /// Prints what each operation between markers cost
    Cost {
        #[arg(long)]
        log: PathBuf,
    },
}

fn main() -> Result<()> {
    match Cli::parse().command {
        Command::Replay { source, end } => replay::run(&source, &end),
        Command::Cut { source, point, rest, out } => images::one(&source, point, rest, &out),
        Command::Images { source, out, count, seed } => images::many(&source, &out, count, seed),
        Command::Suite(arguments) => suite::run(&arguments),
        Command::Proof { source } => proof::run(&source),
        Command::Returns { source, all } => returns::run(&source, all),
        Command::Cost { log } => cost::run(&log),
    }
}
