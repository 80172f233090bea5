// SPDX-License-Identifier: GPL-2.0
//! Does workloads to a real tree.
//!
//! Layer: processes and directories around [`crate::run::one`]. Markers tell where a workload starts and ends; its directory is made before and
//! stays while the next ones run, so that there is always something that a power cut must leave alone.

use super::Workload;
use crate::check::same;
use crate::mark::{self, mark};
use crate::observe;
use crate::run::{one, Markers};
use anyhow::{ensure, Context, Result};
use std::fs;
use std::ops::RangeInclusive;
use std::path::Path;
use std::process::{Child, Command};

/// Workloads that stay when they are over.
pub const KEPT: u64 = 2;

pub fn all(root: &Path, numbers: RangeInclusive<u64>, seed: u64) -> Result<()> {
    for number in numbers {
        workload(root, Workload { number, seed }).with_context(|| format!("workload {number}"))?;
    }
    Ok(())
}

fn workload(root: &Path, workload: Workload) -> Result<()> {
    let Workload { number, seed } = workload;
    if let Some(old) = number.checked_sub(KEPT + 1) {
        let old = root.join(Workload { number: old, seed }.dir());
        if old.exists() {
            fs::remove_dir_all(old)?;
        }
    }
    let dir = root.join(workload.dir());
    fs::create_dir(&dir)?;
    mark(mark::START, number, 0);
    let started = (0..workload.processes()).map(|process| start(&dir, workload, process));
    let children = started.collect::<Result<Vec<_>>>()?;
    for (process, mut child) in children.into_iter().enumerate() {
        ensure!(child.wait()?.success(), "process {process} failed");
    }
    mark(mark::END, number, 0);
    Ok(())
}

fn start(dir: &Path, workload: Workload, process: u64) -> Result<Child> {
    let numbers = [workload.number, process, workload.seed].map(|n| n.to_string());
    Ok(Command::new("/proc/self/exe").arg("process").arg(dir).args(numbers).spawn()?)
}

/// The steps of one process in its workload's directory.
pub fn process(dir: &Path, number: u64, process: u64, seed: u64) -> Result<()> {
    let workload = Workload { number, seed };
    let mut plan = workload.plan(process);
    rustix::process::umask(rustix::fs::Mode::empty());
    for step_number in 1..=workload.steps() {
        let (_, step) = plan.next().context("the plan ends")?;
        let markers = Markers { number: step_number, who: process, root: None };
        let wrote = one(dir, &step, &markers).with_context(|| format!("step {step_number}, {step:?}"))?;
        plan.wrote(wrote);
    }
    if workload.processes() == 1 {
        same(plan.after(), &observe::tree(dir)?)?;
    }
    Ok(())
}
