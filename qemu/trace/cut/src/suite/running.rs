// SPDX-License-Identifier: GPL-2.0
//! A workload as its markers tell it: which step each process is in, and what its files must be.
//!
//! Layer: the plans of crash-load, advanced event by event.

use anyhow::{ensure, Context, Result};
use crash_load::model::Tree;
use crash_load::step::{Plan, Step};
use crash_load::suite::{Part, Progress, State, Workload};

struct Process {
    plan: Plan,
    before: Tree,
    step: Option<Step>,
    progress: Progress,
}

pub struct Running {
    pub workload: Workload,
    processes: Vec<Process>,
}

impl Running {
    pub fn new(workload: Workload) -> Self {
        let process = |number| Process {
            plan: workload.plan(number),
            before: Tree::default(),
            step: None,
            progress: Progress::default(),
        };
        Running { workload, processes: (0..workload.processes()).map(process).collect() }
    }

    fn process(&mut self, number: u64) -> Result<&mut Process> {
        self.processes.get_mut(number as usize).context("a marker of a process that the workload does not have")
    }

    /// A step begins.
    pub fn begin(&mut self, process: u64, number: u64) -> Result<()> {
        let process = self.process(process)?;
        ensure!(process.step.is_none() && number == process.progress.done + 1, "step {number} begins out of order");
        process.step = process.plan.next().map(|(_, step)| step);
        process.progress.begun = number;
        Ok(())
    }

    /// It has returned; `result` is what a [`Step::Faulty`] wrote.
    pub fn returned(&mut self, process: u64, number: u64, result: usize) -> Result<()> {
        let process = self.process(process)?;
        ensure!(number == process.progress.begun, "step {number} returns out of order");
        if let Some(Step::Faulty { .. }) = process.step.take() {
            process.plan.wrote(result);
            process.progress.results.push((number, result));
        }
        process.before = process.plan.after().clone();
        process.progress.done = number;
        Ok(())
    }

    /// What its files must be.
    pub fn parts(&self) -> Vec<Part<'_>> {
        (0..).zip(&self.processes).map(|(number, process)| process.part(number)).collect()
    }

    /// Calls that have begun and not returned.
    pub fn under_way(&self) -> usize {
        self.processes.iter().filter(|process| process.step.is_some()).count()
    }

    pub fn state(&self) -> State {
        let processes = self.processes.iter().map(|process| process.progress.clone()).collect();
        State { number: self.workload.number, processes }
    }
}

impl Process {
    fn part(&self, process: u64) -> Part<'_> {
        Part { process, before: &self.before, step: self.step.as_ref() }
    }
}
