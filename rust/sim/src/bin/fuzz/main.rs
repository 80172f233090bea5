// SPDX-License-Identifier: GPL-2.0

//! fuzz: makes hostile images by seed and does everything to them that the core can do. Every image is given by the seed and its
//! number, whatever the number of threads; what it found is kept as files of a few lines, which `replay` takes.

mod export;
mod workers;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{bail, Context, Result};
use clap::{Parser, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use pfnfs_sim::fuzz::base::{self, Base};
use pfnfs_sim::fuzz::case::{self, Case};

use workers::{Job, Totals};

#[derive(Parser)]
#[command(about = "Hostile images for the media core of pfnfs")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Replays the corpus, then tries images by seed
    Run {
        /// Images to try; 0: until interrupted
        #[arg(long, default_value_t = 100_000)]
        images: u64,
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Threads; 0: one per CPU
        #[arg(long, default_value_t = 0)]
        jobs: usize,
        /// Directory of cases
        #[arg(long)]
        corpus: PathBuf,
        /// Keep an image there for each reason that no image of the corpus was refused for
        #[arg(long)]
        collect: bool,
        /// File that gets the result as well
        #[arg(long)]
        log: Option<PathBuf>,
    },
    /// Does one image again, and says what came of it
    Replay {
        /// A file of the corpus
        case: Option<PathBuf>,
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Number of the image of the seed
        #[arg(long, conflicts_with = "case")]
        image: Option<u64>,
    },
    /// Writes images for a guest into one file
    Export {
        file: PathBuf,
        #[arg(long, default_value_t = 500)]
        images: u64,
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Directory of cases, which come first
        #[arg(long)]
        corpus: PathBuf,
    },
}

fn main() -> Result<ExitCode> {
    let bases = base::all();
    std::panic::set_hook(Box::new(workers::remember));
    let good = match Arguments::parse().command {
        Command::Run { images, seed, jobs, corpus, collect, log } => {
            let (good, said) = run(&bases, images, seed, jobs, &corpus, collect)?;
            println!("{said}");
            log.map_or(Ok(()), |log| std::fs::write(log, format!("seed {seed}\n{said}\n")))?;
            good
        }
        Command::Replay { case, seed, image } => replay(&bases, case, seed, image)?,
        Command::Export { file, images, seed, corpus } => {
            let mut cases: Vec<Case> = case::load_all(&corpus)?.into_iter().map(|(_, case)| case).collect();
            cases.truncate(images as usize);
            cases.extend((cases.len() as u64..images).map(|image| Case::of_seed(&bases, seed, image)));
            export::write(&file, &bases, &cases)?;
            true
        }
    };
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn progress(images: u64) -> Result<ProgressBar> {
    let template = "{elapsed_precise} {bar:30} {pos} images, {per_sec}, {msg}";
    let bar = if images == 0 { ProgressBar::no_length() } else { ProgressBar::new(images) };
    bar.enable_steady_tick(Duration::from_millis(250));
    Ok(bar.with_style(ProgressStyle::with_template(template)?))
}

fn run(bases: &[Base], images: u64, seed: u64, jobs: usize, corpus: &Path, collect: bool) -> Result<(bool, String)> {
    let jobs = if jobs == 0 { std::thread::available_parallelism()?.get() } else { jobs };
    let cases = case::load_all(corpus)?;
    let (known, bad) = replay_corpus(bases, &cases)?;
    println!("corpus: {} cases, {} not as recorded; {} reasons", cases.len(), bad, known.len());
    println!("seed {seed}, {jobs} threads");
    let totals = Totals::new(known, progress(images)?, jobs);
    let job = Job { bases, seed, images, corpus, collect, totals: &totals };
    std::thread::scope(|scope| {
        for thread in 0..jobs {
            let job = &job;
            scope.spawn(move || job.work(thread));
        }
        totals.watch();
    });
    let (tally, failures) = totals.finish();
    let deep = tally.deep() * 2 >= tally.images;
    let failures = failures + bad;
    let shallow = if deep { "" } else { " (too few)" };
    let said = format!("{tally}{shallow}\nimages fuzzed: {}, failures: {failures}", tally.images + cases.len() as u64);
    Ok((deep && failures == 0, said))
}

/// Replays the corpus: the reasons that its images were refused for, and how many did not come as far as recorded.
fn replay_corpus(bases: &[Base], cases: &[(PathBuf, Case)]) -> Result<(workers::Reasons, u64)> {
    let (mut known, mut bad) = (workers::Reasons::new(), 0);
    for (path, case) in cases {
        match workers::run(case, bases) {
            Ok(outcome) => {
                if case.depth.is_some_and(|depth| depth != outcome.depth) {
                    bad += 1;
                    println!("{}: {:?}, not {:?} as recorded", path.display(), outcome.depth, case.depth);
                }
                known.extend(outcome.reasons);
            }
            Err(why) => {
                bad += 1;
                println!("{}: {why}", path.display());
            }
        }
    }
    Ok((known, bad))
}

fn replay(bases: &[Base], case: Option<PathBuf>, seed: u64, image: Option<u64>) -> Result<bool> {
    let case = match (case, image) {
        (Some(path), _) => Case::load(&path).with_context(|| path.display().to_string())?,
        (None, Some(image)) => Case::of_seed(bases, seed, image),
        (None, None) => bail!("which image? a file of the corpus, or --image"),
    };
    print!("{case}");
    match workers::run(&case, bases) {
        Ok(outcome) => {
            println!("{outcome:#?}");
            Ok(case.depth.is_none_or(|depth| depth == outcome.depth))
        }
        Err(why) => {
            println!("FAILS: {why}");
            Ok(false)
        }
    }
}
