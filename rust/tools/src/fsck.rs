// SPDX-License-Identifier: GPL-2.0

//! fsck.pfnfs: checks a volume, with its log replayed in memory, and repairs it if told to. Options and exit codes are those
//! of e2fsck. Nothing is ever written before the question was answered, by a person or by an option.

mod names;
mod progress;
mod repair;
mod report;
mod survey;

use std::io::{stdin, IsTerminal};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{bail, Context};
use clap::Args;
use pfnfs_core::media::Geometry;

use crate::dump::named;
use crate::image::Image;
use progress::Progress;
use repair::{Answer, Repairs, Round};
use report::Report;
use survey::Survey;

/// No errors.
const CLEAN: u8 = 0;
/// Errors were repaired.
const REPAIRED: u8 = 1;
/// Errors are left.
const LEFT: u8 = 4;
/// The check could not be done.
const FAILED: u8 = 8;
/// Wrong options.
pub const USAGE: u8 = 16;
/// Ended by the user.
const CANCELED: u8 = 32;
/// Checks and repairs that follow each other at most.
const ROUNDS: u32 = 100;

/// What fsck.pfnfs takes.
#[derive(Args)]
pub struct Arguments {
    /// Device node (/dev/pfnfs0) or image file; not mounted
    device: PathBuf,
    /// Change nothing: answer every question with no
    #[arg(short = 'n', long, group = "answer")]
    no_change: bool,
    /// Repair what nobody can lose anything by, without questions; stop at all else
    #[arg(short = 'p', long, short_alias = 'a', group = "answer")]
    preen: bool,
    /// Repair everything: answer every question with yes
    #[arg(short = 'y', long, group = "answer")]
    yes: bool,
    /// Ask before each repair: the default
    #[arg(short = 'r', long, group = "answer")]
    ask: bool,
    /// With -p: check even if the volume was unmounted in order
    #[arg(short, long)]
    force: bool,
    /// Show a progress bar; fsck(8) adds a file descriptor
    #[arg(short = 'C', long, value_name = "FD", num_args = 0..=1, default_missing_value = "0")]
    progress: Option<i32>,
    /// Say more
    #[arg(short, long)]
    verbose: bool,
    /// Write one JSON object per line
    #[arg(long)]
    json: bool,
}

/// Runs fsck.pfnfs.
pub fn run(arguments: &Arguments) -> ExitCode {
    let mut report = Report::new(arguments.json, arguments.verbose, &arguments.device);
    let code = match check(arguments, &mut report) {
        Ok(code) => code,
        Err(error) => {
            report.failed(&error);
            FAILED
        }
    };
    report.end(code);
    ExitCode::from(code)
}

impl Arguments {
    fn answer(&self) -> Answer {
        if self.no_change {
            Answer::No
        } else if self.yes {
            Answer::Yes
        } else if self.preen {
            Answer::Safe
        } else {
            Answer::Ask
        }
    }
}

fn check(arguments: &Arguments, report: &mut Report) -> anyhow::Result<u8> {
    let answer = arguments.answer();
    if answer == Answer::Ask && (arguments.json || !stdin().is_terminal() && !arguments.ask) {
        bail!("nobody to ask: use -n, -p or -y");
    }
    let image = Image::alone(&arguments.device, answer != Answer::No)?;
    let progress = Progress::new(arguments.progress.is_some() && !arguments.json)?;
    let geometry = Geometry::read(&image).map_err(|error| named(&error)).context("superblock");
    image.check_other_than_poison()?;
    let geometry = geometry?;
    if answer == Answer::Safe && !arguments.force && survey::unmounted(&image, &geometry) {
        report.skipped();
        return Ok(CLEAN);
    }
    let mut repairs = Repairs::new(&image, &geometry, answer);
    let mut code = CLEAN;
    for _ in 0..ROUNDS {
        let found = survey::survey(&image, &geometry, &progress);
        progress.clear();
        image.check_other_than_poison()?;
        let Some(found) = found.map_err(|error| named(&error))? else { return Ok(code | CANCELED) };
        let round = if answer == Answer::No { Round::Over } else { repairs.round(&found, report)? };
        match round {
            Round::Repaired(done) => code |= if done > 0 { REPAIRED } else { CLEAN },
            Round::Canceled => return Ok(code | LEFT | CANCELED),
            Round::Unexpected => {
                report.unexpected();
                return Ok(code | LEFT);
            }
            Round::Over => {
                finish(&image, &geometry, &repairs, &found, report);
                return Ok(code | if found.problems.is_empty() { CLEAN } else { LEFT });
            }
        }
    }
    bail!("still problems after {ROUNDS} rounds");
}

/// Tells what was not told before, and what there is.
fn finish(image: &Image, geometry: &Geometry, repairs: &Repairs<'_>, found: &Survey, report: &mut Report) {
    let names = names::find(image, geometry, &found.problems);
    for problem in found.problems.iter().filter(|problem| !repairs.is_left(problem)) {
        report.problem(problem, &names, None);
    }
    report.summary(found);
}
