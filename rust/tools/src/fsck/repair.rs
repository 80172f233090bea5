// SPDX-License-Identifier: GPL-2.0

//! fsck.pfnfs: repairs, in rounds: those of the lowest rank, then another check, until nothing is left that may be repaired.

use std::collections::{HashMap, HashSet};
use std::io::{stdin, stdout, BufRead, Write};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{anyhow, Context};
use pfnfs_core::media::format::Time;
use pfnfs_core::media::Geometry;
use pfnfs_core::meta::walk::{Fix, Problem};
use pfnfs_core::meta::{dir, repair, Open, Volume};

use super::names::{self, Names};
use super::report::Report;
use super::survey::Survey;
use crate::dump::named;
use crate::image::Image;
use crate::overlay::Overlay;

/// What to do about problems.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Leave all.
    No,
    /// Repair all that can be.
    Yes,
    /// Repair what nobody can lose anything by; give up at all else.
    Safe,
    /// Ask.
    Ask,
}

/// What a round came to.
pub enum Round {
    /// So many repairs were done: check again.
    Repaired(usize),
    /// Nothing more is to be done.
    Over,
    /// A person has to look at it.
    Unexpected,
    /// The user ended it.
    Canceled,
}

/// The repairs of one run.
pub struct Repairs<'a> {
    image: &'a Image,
    geometry: &'a Geometry,
    answer: Answer,
    /// Problems that stay.
    left: HashSet<String>,
    /// How often the same was repaired.
    tried: HashMap<String, u32>,
}

/// As often one problem is repaired: its repair may have to wait for that of another.
const TRIES: u32 = 3;

fn key(problem: &Problem) -> String {
    format!("{problem:?}")
}

impl<'a> Repairs<'a> {
    pub fn new(image: &'a Image, geometry: &'a Geometry, answer: Answer) -> Self {
        Self { image, geometry, answer, left: HashSet::new(), tried: HashMap::new() }
    }

    /// Tells what is wrong, and repairs what is next.
    ///
    /// # Errors
    ///
    /// The image cannot be written.
    pub fn round(&mut self, found: &Survey, report: &mut Report) -> anyhow::Result<Round> {
        // Without the log, or a part of the inode table, everything else only seems to be wrong.
        let blind =
            |problem: &&Problem| matches!(problem.fix, Fix::Log | Fix::Table | Fix::Chunk(_)) && self.is_left(problem);
        if found.problems.iter().any(|problem| blind(&problem)) {
            return Ok(Round::Over);
        }
        let open = |problem: &&Problem| problem.fix != Fix::None && !self.is_left(problem);
        let rank = found.problems.iter().filter(open).map(|problem| problem.fix.rank()).min();
        let here = |problem: &&Problem| open(problem) && Some(problem.fix.rank()) == rank;
        let now: Vec<Problem> = found.problems.iter().filter(here).copied().collect();
        let names = names::find(self.image, self.geometry, &found.problems);
        if self.answer == Answer::Safe {
            if let Some(problem) = found.problems.iter().find(|problem| !problem.fix.safe()) {
                report.problem(problem, &names, None);
                return Ok(Round::Unexpected);
            }
        }
        let mut chosen = Vec::new();
        for problem in now {
            match self.chosen(&problem, &names, report)? {
                Some(true) => chosen.push(problem),
                Some(false) => drop(self.left.insert(key(&problem))),
                None => return Ok(Round::Canceled),
            }
        }
        if chosen.is_empty() {
            return Ok(if rank.is_none() { Round::Over } else { Round::Repaired(0) });
        }
        let done = self.apply(&chosen, &names, report)?;
        Ok(Round::Repaired(done))
    }

    /// Whether a problem stays.
    pub fn is_left(&self, problem: &Problem) -> bool {
        self.left.contains(&key(problem))
    }

    /// Whether to repair it. `None` if there is nobody to ask any more.
    fn chosen(&self, problem: &Problem, names: &Names, report: &mut Report) -> anyhow::Result<Option<bool>> {
        if self.answer != Answer::Ask {
            return Ok(Some(self.answer != Answer::No));
        }
        report.problem(problem, names, None);
        loop {
            print!("  {}? [y/n] ", problem.fix.verb());
            stdout().flush().context("cannot ask")?;
            let mut line = String::new();
            if stdin().lock().read_line(&mut line).context("cannot read the answer")? == 0 {
                println!();
                return Ok(None);
            }
            match line.trim() {
                "y" | "Y" | "yes" => return Ok(Some(true)),
                "n" | "N" | "no" => return Ok(Some(false)),
                _ => {}
            }
        }
    }

    /// Opens the volume for writing, which replays the log, and repairs. What fails is left.
    fn apply(&mut self, chosen: &[Problem], names: &Names, report: &mut Report) -> anyhow::Result<usize> {
        for problem in chosen {
            if let Fix::Super(at) = problem.fix {
                repair::ground::superblock(self.image, self.geometry, at).map_err(|error| named(&error))?;
            }
        }
        let machine = Overlay::through(self.image, self.geometry);
        let log = chosen.iter().any(|problem| problem.fix == Fix::Log);
        let mut tell = |problem: &Problem| if problem.fix == Fix::Log && !log { Err(problem.error) } else { Ok(()) };
        let volume = Volume::open_in_spite(machine, *self.geometry, Open::ReadWrite, &mut tell)
            .map_err(|error| named(&error))
            .context("cannot open the volume for writing")?;
        let mut keys = dir::Scratch::new();
        let time = now()?;
        let mut done = 0;
        for problem in chosen {
            let result = repair::apply(&volume, &problem.fix, &mut keys, time);
            self.image.check_other_than_poison()?;
            done += usize::from(result.is_ok());
            let tried = self.tried.entry(key(problem)).or_default();
            *tried += 1;
            if *tried >= TRIES {
                self.left.insert(key(problem));
            }
            if let Err(error) = result {
                self.left.insert(key(problem));
                report.unrepaired(problem, names, &named(&error));
            } else if self.answer != Answer::Ask {
                report.problem(problem, names, Some(true));
            }
        }
        volume.close().map_err(|error| named(&error)).context("cannot close the volume")?;
        self.image.sync()?;
        Ok(done)
    }
}

fn now() -> anyhow::Result<Time> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_err(|_| anyhow!("the clock is before 1970"))?;
    Ok(Time { sec: i64::try_from(now.as_secs())?.into(), nsec: now.subsec_nanos().into() })
}
