// SPDX-License-Identifier: GPL-2.0

//! Opens what a power cut leaves, and tells whether that may be.

use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::atomic::Ordering;
use std::sync::Arc;

use pfnfs_core::media::Geometry;

use super::call::Class;
use super::losses::Lost;
use super::open::{self, Memory};
use super::states::{self, Budget};
use super::tally::Tally;
use crate::canvas::Canvas;
use crate::fs::model::Model;
use crate::image::Image;
use crate::media::{Media, Risk};
use crate::plain::Plain;
use crate::random::{mix, Random};

/// What a power cut would meet: what is durable, and the words in flight.
pub struct Snapshot {
    pub image: Image,
    pub risks: Vec<Risk>,
}

impl Snapshot {
    pub fn of(media: &Media) -> Self {
        Self { image: media.durable().clone(), risks: media.risks() }
    }
}

/// A state that must not be.
#[derive(Clone, Debug)]
pub struct Violation {
    /// Which snapshot of the call it is.
    pub snapshot: usize,
    /// Each word in flight, and which of its values it has: the position in the list, and the length of that.
    pub choice: Vec<(usize, u16, u16)>,
    /// What was found.
    pub why: String,
}

/// What is to be done with snapshots.
#[derive(Clone, Debug)]
pub enum Task {
    /// Nothing.
    Pass,
    /// Open what a cut may leave.
    Explore(Budget),
    /// Open one state: of this snapshot, with these values of words; the others have all that was stored.
    Pick(usize, Vec<(usize, u16)>),
}

/// A state that work may go on with.
pub struct Kept {
    /// Items of the workload before the cut.
    pub items: usize,
    pub snapshot: usize,
    pub choice: Vec<(usize, u16)>,
    pub image: Image,
    pub found: Model,
}

/// The judge of one job.
pub struct Judge {
    tally: Arc<Tally>,
    geometry: Geometry,
    machine: Memory,
    pub random: Random,
    pub task: Task,
    pub class: Class,
    /// Items of the workload so far.
    items: usize,
    /// Of so many states opened keep one; 0: none.
    pub keep_one_of: u64,
    pub kept: Vec<Kept>,
    pub violation: Option<Violation>,
    /// Memory that was lost, if any.
    pub lost: Option<Lost>,
    /// Snapshots of this call so far.
    pub snapshot: usize,
}

/// What a panic said.
pub fn message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| text.to_string()));
    format!("panic: {}", text.unwrap_or_default())
}

/// A word's part of the hash of an image.
fn part(word: usize, value: u64) -> u64 {
    mix(value ^ mix(word as u64 + 1))
}

impl Judge {
    pub fn new(tally: Arc<Tally>, geometry: &Geometry, seed: u64) -> Self {
        Self {
            tally,
            geometry: *geometry,
            machine: Plain::new(Canvas::default(), geometry),
            random: Random::new(seed),
            task: Task::Pass,
            class: Class::Mount,
            items: 0,
            keep_one_of: 0,
            kept: Vec::new(),
            violation: None,
            lost: None,
            snapshot: 0,
        }
    }

    /// Opens what the memory holds now.
    fn open(&self, models: &[&Model], remount: bool) -> Result<Model, String> {
        match self.class {
            Class::Lost => {
                let lost = self.lost.clone().unwrap_or_default();
                lost.open(&self.machine, self.geometry, models).map(|()| Model::default())
            }
            Class::ReadOnly => open::first_to_read(&self.machine, self.geometry, models, remount),
            Class::Ends => open::at_the_end(&self.machine, self.geometry),
            _ => open::usual(&self.machine, self.geometry),
        }
    }

    /// Another call begins, with which there are so many items.
    pub fn begin(&mut self, items: usize, class: Class, task: Task) {
        (self.items, self.class, self.task, self.snapshot) = (items, class, task, 0);
    }

    /// Whether snapshots are wanted.
    pub fn looks(&self) -> bool {
        !matches!(self.task, Task::Pass)
    }

    /// What a cut now may leave has to be one of these models.
    pub fn see(&mut self, snapshot: Snapshot, models: &[&Model]) {
        self.snapshot += 1;
        if self.violation.is_some() || self.tally.stopped() {
            return;
        }
        match std::mem::replace(&mut self.task, Task::Pass) {
            Task::Explore(budget) => {
                self.explore(snapshot, models, &budget);
                self.task = Task::Explore(budget);
            }
            Task::Pick(number, choice) if number == self.snapshot => self.pick(snapshot, models, &choice),
            task => self.task = task,
        }
    }

    fn explore(&mut self, snapshot: Snapshot, models: &[&Model], budget: &Budget) {
        let Snapshot { image, risks } = snapshot;
        let base = image.stored().fold(0, |hash, (word, value)| hash ^ part(word, value));
        let parts: Vec<Vec<u64>> = (risks.iter())
            .map(|risk| {
                risk.values.iter().map(|value| part(risk.word, risk.values[0]) ^ part(risk.word, *value)).collect()
            })
            .collect();
        let allowed = models.iter().fold(1, |hash, model| mix(hash ^ model.digest()));
        self.machine.memory.mount(image);
        let mut random = self.random.clone();
        states::choices(&risks, budget, &mut random, &mut |choice| {
            let hash = parts.iter().zip(choice).fold(base, |hash, (parts, choice)| hash ^ parts[*choice as usize]);
            if self.tally.is_new(mix(hash), allowed, self.class) {
                self.try_one(&risks, choice, models);
            }
            self.violation.is_none() && !self.tally.stopped()
        });
        self.random = random;
    }

    fn try_one(&mut self, risks: &[Risk], choice: &[u16], models: &[&Model]) {
        let memory = &self.machine.memory;
        memory.paint(risks.iter().zip(choice).map(|(risk, value)| (risk.word, risk.values[*value as usize])));
        let remount = self.tally.opened.load(Ordering::Relaxed) % 2 == 0;
        let outcome = catch_unwind(AssertUnwindSafe(|| self.open(models, remount)));
        let outcome = outcome.unwrap_or_else(|panic| Err(message(&*panic)));
        self.machine.writable.set(true);
        memory.wipe();
        let judged = self.class == Class::Lost;
        let outcome = outcome.and_then(|found| {
            if judged {
                return Ok(found);
            }
            Model::one_of(models, &found).map(|()| found)
        });
        match outcome {
            Ok(found) if self.keep_one_of > 0 && self.random.below(self.keep_one_of as usize) == 0 => {
                let last = |(risk, value): &(&Risk, &u16)| usize::from(**value) + 1 < risk.values.len();
                let choice: Vec<(usize, u16)> =
                    risks.iter().zip(choice).filter(last).map(|(risk, value)| (risk.word, *value)).collect();
                let values = risks.iter().zip(choice_of(risks, &choice));
                memory.paint(values.map(|(risk, value)| (risk.word, risk.values[value as usize])));
                let image = memory.words();
                memory.wipe();
                self.kept.push(Kept { items: self.items, snapshot: self.snapshot, choice, image, found });
            }
            Ok(_) => {}
            Err(why) => {
                let all = risks.iter().zip(choice);
                let choice = all.map(|(risk, value)| (risk.word, *value, risk.values.len() as u16)).collect();
                self.violation = Some(Violation { snapshot: self.snapshot, choice, why });
            }
        }
    }

    /// One state, to go on with.
    fn pick(&mut self, snapshot: Snapshot, models: &[&Model], choice: &[(usize, u16)]) {
        let Snapshot { image, risks } = snapshot;
        self.machine.memory.mount(image);
        let choice = choice_of(&risks, choice);
        let keep_one_of = std::mem::replace(&mut self.keep_one_of, 1);
        self.tally.opened.fetch_add(1, Ordering::Relaxed);
        self.try_one(&risks, &choice, models);
        self.keep_one_of = keep_one_of;
    }
}

/// The value of each word: those named have theirs, the others all that was stored.
fn choice_of(risks: &[Risk], named: &[(usize, u16)]) -> Vec<u16> {
    let last = |risk: &Risk| (risk.values.len() - 1) as u16;
    let value = |risk: &Risk| named.iter().find(|(word, _)| *word == risk.word).map(|(_, value)| *value);
    risks.iter().map(|risk| value(risk).unwrap_or(last(risk)).min(last(risk))).collect()
}
