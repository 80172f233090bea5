// SPDX-License-Identifier: GPL-2.0
//! Many short workloads: each in a directory of its own, of one process or of several that share it, each with a kind of step that it is about.
//!
//! Layer: the table of workloads and their oracle, by number and seed alone; [`run`] does them in the guest.

pub mod run;
pub mod symbols;

use crate::check::{in_flight, same, Found};
use crate::model::Tree;
use crate::observe;
use crate::step::{Plan, Step, Theme, DRAWS};
use anyhow::{bail, ensure, Context, Error, Result};
use std::path::Path;
use std::str::FromStr;

/// A workload of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Workload {
    pub number: u64,
    pub seed: u64,
}

impl Workload {
    /// Its directory.
    pub fn dir(&self) -> String {
        format!("w{}", self.number)
    }

    pub fn processes(&self) -> u64 {
        match self.number % 6 {
            4 => 2,
            5 => 3,
            _ => 1,
        }
    }

    /// Steps of each process.
    pub fn steps(&self) -> u64 {
        if self.processes() > 1 {
            8
        } else {
            12
        }
    }

    /// What all names of a process at the top of the directory begin with.
    pub fn prefix(process: u64) -> String {
        format!("p{process}-")
    }

    pub fn plan(&self, process: u64) -> Plan {
        let focus = DRAWS.get((self.number % DRAWS.len() as u64) as usize).map(|(draw, _)| *draw);
        let seed = self.seed.wrapping_mul(1_000_003).wrapping_add(self.number * 16 + process);
        Plan::of(seed, Theme { prefix: Self::prefix(process), focus, longest: 40_000 })
    }
}

/// How far a process had come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Steps that have returned.
    pub done: u64,
    /// Steps that have begun: `done`, or one more.
    pub begun: u64,
    /// What steps returned that could not be known: their number and the result.
    pub results: Vec<(u64, usize)>,
}

/// How far a workload had come: `NUMBER;DONE:BEGUN[:STEP=RESULT...];...`, in the order of the processes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    pub number: u64,
    pub processes: Vec<Progress>,
}

impl std::fmt::Display for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.number)?;
        for p in &self.processes {
            write!(f, ";{}:{}", p.done, p.begun)?;
            p.results.iter().try_for_each(|(step, result)| write!(f, ":{step}={result}"))?;
        }
        Ok(())
    }
}

impl FromStr for State {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let mut parts = text.split(';');
        let number = parts.next().context("no number")?.parse()?;
        let process = |part: &str| {
            let mut words = part.split(':');
            let mut word = || words.next().context("no number of steps");
            let (done, begun) = (word()?.parse()?, word()?.parse()?);
            let result = |word: &str| -> Result<(u64, usize)> {
                let (step, result) = word.split_once('=').context("no result")?;
                Ok((step.parse()?, result.parse()?))
            };
            Ok(Progress { done, begun, results: words.map(result).collect::<Result<_>>()? })
        };
        Ok(State { number, processes: parts.map(process).collect::<Result<_>>()? })
    }
}

/// What the files of one process must be.
pub struct Part<'a> {
    pub process: u64,
    /// After the last step that returned.
    pub before: &'a Tree,
    /// The step under way.
    pub step: Option<&'a Step>,
}

/// Compares `found`, a workload's directory, with what its processes have done.
pub fn judge(found: &Tree, parts: &[Part<'_>]) -> Result<Vec<Found>> {
    let mut trees: Vec<(String, Tree)> =
        parts.iter().map(|part| (Workload::prefix(part.process), Tree::default())).collect();
    for (path, ino) in &found.names {
        let owner = trees.iter_mut().find(|(prefix, _)| path.starts_with(prefix.as_str()));
        match (owner, found.inodes.get(ino)) {
            (Some((_, tree)), Some(inode)) => tree.add_found(path.clone(), *ino, inode.clone()),
            _ => bail!("{path} should not be there"),
        }
    }
    let one = |(part, (_, real)): (&Part<'_>, &(String, Tree))| match part.step {
        None => same(part.before, real).map(|()| Found::Before),
        Some(step) => in_flight(part.before, step, real).with_context(|| format!("under way: {step:?}")),
    };
    let each = parts.iter().zip(&trees);
    each.map(|pair| one(pair).with_context(|| format!("process {}", pair.0.process))).collect()
}

/// Compares the file system at `root` with what the workload had done.
pub fn check(root: &Path, state: &State, seed: u64) -> Result<()> {
    let workload = Workload { number: state.number, seed };
    ensure!(state.processes.len() as u64 == workload.processes(), "the workload has other processes");
    let mut known = Vec::new();
    for (process, progress) in (0..).zip(&state.processes) {
        let mut plan = workload.plan(process);
        for number in 1..=progress.done {
            plan.next();
            if let Some((_, bytes)) = progress.results.iter().find(|(step, _)| *step == number) {
                plan.wrote(*bytes);
            }
        }
        let before = plan.after().clone();
        let step = (progress.begun > progress.done).then(|| plan.next()).flatten();
        known.push((process, before, step.map(|(_, step)| step)));
    }
    let parts: Vec<Part<'_>> =
        known.iter().map(|(process, before, step)| Part { process: *process, before, step: step.as_ref() }).collect();
    let found = judge(&observe::tree(&root.join(workload.dir()))?, &parts)?;
    println!("{found:?}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn a_state_is_read_back() {
        let results = vec![(2, 100), (4, 7)];
        let processes =
            vec![Progress { done: 5, begun: 6, results }, Progress { done: 3, begun: 3, results: Vec::new() }];
        let state = State { number: 12, processes };
        assert_eq!(state.to_string(), "12;5:6:2=100:4=7;3:3");
        assert_eq!(state.to_string().parse::<State>().unwrap(), state);
        assert!("12;5".parse::<State>().is_err());
    }

    #[test]
    fn every_kind_of_step_is_what_some_workload_is_about() {
        let of = |number| Workload { number, seed: 1 };
        let mut kinds = BTreeMap::new();
        for workload in (1..=200).map(of) {
            for (_, step) in workload.plan(0).take(workload.steps() as usize) {
                let kind = format!("{step:?}").split(' ').next().unwrap_or("").to_owned();
                *kinds.entry(kind).or_insert(0) += 1;
            }
        }
        assert!(kinds.len() == 18 && kinds.values().all(|count| *count >= 20), "{kinds:?}");
        assert_eq!((0..6).map(|n| of(n).processes()).collect::<Vec<_>>(), [1, 1, 1, 1, 2, 3]);
    }

    /// What two processes have done to one directory.
    fn both(first: &Tree, second: &Tree) -> Tree {
        let mut all = first.clone();
        for (path, ino) in &second.names {
            if let Some(inode) = second.inodes.get(ino) {
                all.add_found(path.clone(), ino + 1000, inode.clone());
            }
        }
        all
    }

    #[test]
    fn each_process_is_judged_by_itself() {
        let workload = Workload { number: 4, seed: 3 };
        let mut plans = [workload.plan(0), workload.plan(1)];
        plans.iter_mut().for_each(|plan| drop(plan.nth(7)));
        let [a, b] = plans.each_mut().map(|plan| plan.after().clone());
        let (before, step) = plans[1].find(|(_, step)| matches!(step, Step::Create { .. })).unwrap();
        let (a, after) = (&a, plans[1].after().clone());
        let part = |process, before, step| Part { process, before, step };
        let found = |second: &Tree, step| judge(&both(a, second), &[part(0, a, None), part(1, &before, step)]);
        assert_eq!(found(&before, Some(&step)).unwrap(), [Found::Before, Found::Before]);
        assert_eq!(found(&after, Some(&step)).unwrap(), [Found::Before, Found::After]);
        assert!(found(&after, None).is_err(), "the step had not begun");
        assert!(judge(&both(a, &b), &[part(0, a, None)]).is_err(), "files of nobody");
        assert!(judge(a, &[part(0, a, None), part(1, &after, None)]).is_err(), "files are lost");
    }
}
