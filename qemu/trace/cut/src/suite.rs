// SPDX-License-Identifier: GPL-2.0
//! The log of many short workloads (crash-load's `suite`), checked on the host in one pass.
//!
//! Layer: over the media model. [`images`] opens what a cut leaves before every fence and at every return and compares it with the model;
//! [`calls`] demands at every return that all the call stored is durable. [`running`] follows the workload by its markers.

mod calls;
mod images;
mod running;

use crate::input;
use crate::plan::is_fence;
use crate::symbols::Symbols;
use crate::Source;
use anyhow::{ensure, Result};
use calls::Calls;
use crash_load::mark;
use crash_load::suite::Workload;
use images::Images;
use running::Running;
use std::collections::VecDeque;
use std::path::PathBuf;
use store_log::{Event, Mark, Media, Rest};

#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    source: Source,
    /// What the guest said: has the kernel's symbols
    #[arg(long)]
    symbols: PathBuf,
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Keep an image of each workload whose number is a multiple of this
    #[arg(long, default_value_t = 0)]
    every: u64,
    /// Where to keep them: gets NUMBER.img and the file `cuts`
    #[arg(long, default_value = "cuts")]
    out: PathBuf,
}

/// Faults that are told in full.
const TOLD: usize = 12;

/// The log as far as it was read.
struct Suite<'a> {
    media: Media,
    calls: Calls,
    images: Images<'a>,
    running: Option<Running>,
    /// Those that are over, and whose files must stay as they are.
    over: VecDeque<Running>,
    /// Something happened since the last cut.
    changed: bool,
    workloads: u64,
    /// Images of cuts in which several processes were in a call.
    shared: u64,
    faults: Vec<String>,
}

pub fn run(arguments: &Arguments) -> Result<()> {
    let (media, mut events) = input::open(&arguments.source)?;
    let mut suite = Suite {
        calls: Calls::new(&media, Symbols::read(&arguments.symbols)?),
        media,
        images: Images::new(arguments.every, &arguments.out)?,
        running: None,
        over: VecDeque::new(),
        changed: false,
        workloads: 0,
        shared: 0,
        faults: Vec::new(),
    };
    while let Some((position, event)) = events.next()? {
        if is_fence(&event) && suite.changed {
            suite.cut(position, "fence", &[Rest::Dropped, Rest::Kept, Rest::Seeded(position)])?;
            suite.changed = false;
        }
        suite.changed |= matches!(event, Event::Store(_) | Event::Flush { .. });
        suite.calls.see(&event, &mut suite.media);
        input::apply(&mut suite.media, position, &event)?;
        if let Event::Mark(mark) = event {
            suite.mark(position, &mark, arguments.seed)?;
        }
    }
    suite.report()
}

impl Suite<'_> {
    fn mark(&mut self, position: u64, mark: &Mark, seed: u64) -> Result<()> {
        let [first, second] = mark.args;
        match mark.id {
            mark::START => {
                ensure!(self.running.is_none(), "event {position}: a workload starts before the last one ended");
                let workload = Workload { number: first, seed };
                self.over.retain(|old| old.workload.number + crash_load::suite::run::KEPT >= first);
                self.running = Some(Running::new(workload));
                self.changed = true;
            }
            mark::END => {
                self.over.extend(self.running.take());
                self.workloads += 1;
            }
            mark::BEGIN | mark::RETURN => {
                let Some(running) = &mut self.running else { return Ok(()) };
                let process = second & 0xffff_ffff;
                if mark.id == mark::BEGIN {
                    running.begin(process, first)?;
                    self.calls.begin(running.workload.number, process, first);
                    return Ok(());
                }
                running.returned(process, first, (second >> 32) as usize)?;
                self.faults.extend(self.calls.returned(&self.media));
                self.cut(position, "return", &[Rest::Dropped, Rest::Seeded(position)])?;
            }
            _ => {}
        }
        Ok(())
    }

    /// Judges what cuts at this position leave.
    fn cut(&mut self, position: u64, at: &str, rests: &[Rest]) -> Result<()> {
        let Some(running) = &self.running else { return Ok(()) };
        for rest in rests {
            self.shared += u64::from(running.under_way() > 1);
            let judged = self.images.judge(&self.media, *rest, running, &self.over);
            if let Err(why) = judged {
                let place = format!("cut at position {position}, before a {at}, rest {rest:?}");
                self.faults.push(format!("{place}: workload {}: {why:#}", running.state()));
            }
        }
        let why = format!("position={position} at={at}");
        self.images.keep(&self.media, running, position, &why)
    }

    fn report(&self) -> Result<()> {
        self.faults.iter().take(TOLD).for_each(|fault| println!("{fault}"));
        if self.faults.len() > TOLD {
            println!("and {} more", self.faults.len() - TOLD);
        }
        println!(
            "{} workloads, {} calls, {} cut images ({} within calls of several processes), {} kept, violations: {}",
            self.workloads,
            self.calls.count(),
            self.images.judged,
            self.shared,
            self.images.kept,
            self.faults.len()
        );
        ensure!(self.running.is_none() && self.workloads > 0, "the log ends within a workload");
        ensure!(self.faults.is_empty(), "{} violations", self.faults.len());
        Ok(())
    }
}
