// SPDX-License-Identifier: GPL-2.0

//! Does a workload on a simulated machine, with power cuts.

use std::cell::RefCell;
use std::fmt;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::rc::Rc;
use std::str::FromStr;
use std::sync::atomic::Ordering;
use std::sync::Arc;

use pfnfs_core::media::Error;

use super::call::{self, Call, Class};
use super::cpus;
use super::judge::{message, Judge, Kept, Snapshot, Task, Violation};
use super::setup::{Base, Setup};
use super::states::Budget;
use super::tally::Tally;
use crate::fs::driver::Driver;
use crate::fs::model::Model;
use crate::random::mix;
use crate::world::World;

/// One thing after the other: calls, and power cuts in the middle of what stands before, after which the volume is mounted
/// again. A cut at the start, or after another cut, meets the mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    Call(Call),
    /// A call of a second CPU: then each has a directory of its own, and the seed interleaves them.
    Beside(Call),
    /// The snapshot that is cut, and the values of words that are not the last ones: position in the list, 0 is what was
    /// durable.
    Cut(usize, Vec<(usize, u16)>),
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Item::Call(call) => call.fmt(f),
            Item::Beside(call) => write!(f, "| {call}"),
            Item::Cut(snapshot, words) => {
                write!(f, "cut {snapshot}")?;
                words.iter().try_for_each(|(word, value)| write!(f, " {:#x}:{value}", word * 8))
            }
        }
    }
}

impl FromStr for Item {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(call) = text.trim().strip_prefix("| ") {
            return call.parse().map(Item::Beside);
        }
        let Some(words) = text.trim().strip_prefix("cut ") else { return text.parse().map(Item::Call) };
        let bad = || format!("'{text}' is no cut");
        let mut words = words.split_whitespace();
        let snapshot = words.next().and_then(|word| word.parse().ok()).ok_or_else(bad)?;
        let word = |text: &str| {
            let (at, value) = text.strip_prefix("0x")?.split_once(':')?;
            Some((usize::from_str_radix(at, 16).ok()? / 8, value.parse().ok()?))
        };
        Ok(Item::Cut(snapshot, words.map(|text| word(text).ok_or_else(bad)).collect::<Result<_, _>>()?))
    }
}

/// What is to be done.
#[derive(Clone, Debug)]
pub struct Workload {
    pub setup: &'static Setup,
    pub seed: u64,
    pub items: Vec<Item>,
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let items: Vec<String> = self.items.iter().map(Item::to_string).collect();
        write!(f, "{} {}: {}", self.setup.name, self.seed, items.join("; "))
    }
}

impl FromStr for Workload {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (head, items) = text.split_once(':').ok_or("a workload is 'SETUP SEED: CALL; CALL; ...'")?;
        let (name, seed) = head.trim().rsplit_once(' ').ok_or("a workload begins with 'SETUP SEED:'")?;
        let setup = Setup::named(name).ok_or_else(|| format!("there is no setup '{name}'"))?;
        let items = items.split(';').map(str::trim).filter(|item| !item.is_empty());
        let items = items.map(str::parse).collect::<Result<_, _>>()?;
        Ok(Workload { setup, seed: seed.parse().map_err(|_| format!("'{seed}' is no seed"))?, items })
    }
}

/// A violation, and where.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The workload up to where it happened.
    pub workload: Workload,
    /// The state, unless it is the live memory that is wrong, or something panicked.
    pub violation: Option<Violation>,
    pub why: String,
}

/// Which items of a workload are explored, and how.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// The first of them.
    pub from: usize,
    pub budget: Budget,
    /// One of so many states is mounted with cuts, and more work follows: [`Effort::more`]. 0: none.
    pub keep_one_of: u64,
}

/// A machine at work.
pub struct Run<'a> {
    workload: &'a Workload,
    base: &'a Base,
    judge: Rc<RefCell<Judge>>,
    tally: Arc<Tally>,
    world: World,
    driver: Option<Driver<World>>,
    snapshots: Rc<RefCell<Vec<Snapshot>>>,
    /// The mount of this image is what comes next, and it has to be this model.
    image: Vec<u64>,
    model: Model,
    clock: i64,
}

impl<'a> Run<'a> {
    pub fn new(workload: &'a Workload, base: &'a Base, tally: &Arc<Tally>) -> Self {
        let judge = Judge::new(tally.clone(), &base.geometry, workload.seed);
        Run {
            workload,
            base,
            judge: Rc::new(RefCell::new(judge)),
            tally: tally.clone(),
            world: World::new(Vec::new(), 1, 0),
            driver: None,
            snapshots: Rc::default(),
            image: base.image.clone(),
            model: base.model.clone(),
            clock: 1000,
        }
    }

    /// Does it all; what it kept of the states that it explored.
    pub fn go(mut self, effort: &Effort) -> Result<Vec<Kept>, Failure> {
        self.judge.borrow_mut().keep_one_of = effort.keep_one_of;
        let mut done = 0;
        if self.workload.items.iter().any(|item| matches!(item, Item::Beside(_))) {
            let outcome = self.cpus(&effort.budget);
            return outcome.map(|()| Vec::new()).map_err(|why| Failure {
                workload: self.workload.clone(),
                violation: None,
                why,
            });
        }
        let outcome = catch_unwind(AssertUnwindSafe(|| self.items(effort, &mut done)));
        let why = match outcome {
            Ok(Ok(())) => {
                self.tally.workloads.fetch_add(1, Ordering::Relaxed);
                return Ok(std::mem::take(&mut self.judge.borrow_mut().kept));
            }
            Ok(Err(why)) => why,
            Err(panic) => message(&*panic),
        };
        let violation = self.judge.try_borrow_mut().ok().and_then(|mut judge| judge.violation.take());
        let mut workload = self.workload.clone();
        workload.items.truncate(done);
        Err(Failure { workload, violation, why })
    }

    /// The calls of two CPUs, at once.
    fn cpus(&self, budget: &Budget) -> Result<(), String> {
        let [mut one, mut two] = <[Vec<Call>; 2]>::default();
        for item in &self.workload.items {
            match item {
                Item::Call(call) => one.push(call.clone()),
                Item::Beside(call) => two.push(call.clone()),
                Item::Cut(..) => return Err("a cut is nothing that a second CPU does".into()),
            }
        }
        cpus::run(self.base, [&one, &two], self.workload.seed, *budget, &self.tally)
    }

    fn items(&mut self, effort: &Effort, done: &mut usize) -> Result<(), String> {
        let items = &self.workload.items;
        let mut index = 0;
        let mut mounting = true;
        while mounting || index < items.len() {
            let cut = |at: usize| match items.get(at) {
                Some(Item::Cut(snapshot, words)) => Some(Task::Pick(*snapshot, words.clone())),
                _ => None,
            };
            // What stands behind the phase decides what is done with its snapshots.
            let behind = if mounting { index } else { index + 1 };
            *done = behind;
            let explored = behind >= effort.from.max(1) || effort.from == 0;
            let task = cut(behind).unwrap_or(if explored { Task::Explore(effort.budget) } else { Task::Pass });
            if mounting {
                self.mount(behind, task)?;
                mounting = false;
            } else {
                if let Some(Item::Call(call)) = items.get(index) {
                    self.call(behind, call, task)?;
                }
                index += 1;
            }
            if cut(index).is_some() {
                *done = index + 1;
                self.power_cut()?;
                (index, mounting) = (index + 1, true);
            }
            if self.tally.stopped() {
                break;
            }
        }
        Ok(())
    }

    /// Gives the snapshots taken so far to the judge.
    fn show(&self, models: &[&Model]) {
        let snapshots = self.snapshots.take();
        let mut judge = self.judge.borrow_mut();
        snapshots.into_iter().for_each(|snapshot| judge.see(snapshot, models));
    }

    fn verdict(&self) -> Result<(), String> {
        self.judge.borrow().violation.as_ref().map_or(Ok(()), |violation| Err(violation.why.clone()))
    }

    /// Mounts the image; what cuts leave of the mount is what the image was.
    fn mount(&mut self, items: usize, task: Task) -> Result<(), String> {
        let world = World::new(self.image.clone(), 1, mix(self.workload.seed ^ self.clock as u64));
        world.prepare(&self.base.geometry);
        self.judge.borrow_mut().begin(items, Class::Mount, task);
        let looks = self.judge.borrow().looks();
        let snapshots = self.snapshots.clone();
        let watch = move |world: &World, fence| {
            if fence {
                snapshots.borrow_mut().push(Snapshot::of(&world.media.borrow()));
            }
        };
        world.watch(if looks { Some(Box::new(watch)) } else { None });
        let mut driver = Driver::mount(world.clone()).map_err(|error: Error| format!("mount: {error:?}"))?;
        if looks {
            self.snapshots.borrow_mut().push(Snapshot::of(&world.media.borrow()));
        }
        world.watch(None);
        self.show(&[&self.model]);
        driver.adopt(self.model.clone(), self.clock);
        (self.world, self.driver) = (world, Some(driver));
        self.verdict()
    }

    /// Does a call, and compares the live memory.
    fn call(&mut self, items: usize, call: &Call, task: Task) -> Result<(), String> {
        let mut driver = self.driver.take().ok_or("not mounted")?;
        let Some((class, ops)) = call::resolve(call, &driver) else {
            self.driver = Some(driver);
            return Ok(());
        };
        self.judge.borrow_mut().begin(items, class, task);
        if self.judge.borrow().looks() {
            self.look_on(&mut driver);
        }
        let refused = ops.iter().find_map(|op| driver.apply(op).err().map(|error| (op, error)));
        let mut result = Ok(());
        if !matches!(self.workload.items.get(items), Some(Item::Call(_))) {
            // What was evicted waits for company, unless this is the end: of all, or of this generation, so that a state met
            // at the end is met again when something follows it.
            result = result.and(driver.volume.reclaim().map(drop));
        }
        self.world.watch(None);
        driver.observer = None;
        self.show(&[&driver.model]);
        self.clock = driver.clock;
        result.map_err(|error| format!("{call}: {error:?}"))?;
        refused.map_or(Ok(()), |(op, error)| driver.refused(op, error, true))?;
        self.verdict()?;
        let pending = self.world.media.borrow().pending();
        if pending > 0 {
            return Err(format!("{call}: {pending} stores that nobody has waited for"));
        }
        self.tally.live.fetch_add(1, Ordering::Relaxed);
        driver.verify().map_err(|why| format!("live memory after {call}: {why}"))?;
        self.driver = Some(driver);
        Ok(())
    }

    /// Takes snapshots before fences, and judges them when the model is known.
    fn look_on(&self, driver: &mut Driver<World>) {
        let taken = self.snapshots.clone();
        self.world.watch(Some(Box::new(move |world, fence| {
            if fence {
                taken.borrow_mut().push(Snapshot::of(&world.media.borrow()));
            }
        })));
        let (judge, world, snapshots) = (self.judge.clone(), self.world.clone(), self.snapshots.clone());
        driver.observer = Some(Box::new(move |during, after| {
            let mut judge = judge.borrow_mut();
            snapshots.take().into_iter().for_each(|snapshot| judge.see(snapshot, during));
            judge.see(Snapshot::of(&world.media.borrow()), &[after]);
        }));
    }

    /// The power is cut: what was picked is mounted next.
    fn power_cut(&mut self) -> Result<(), String> {
        let kept = self.judge.borrow_mut().kept.pop();
        let Kept { image, found, .. } = kept.ok_or("there is no such state")?;
        self.tally.generations.fetch_add(1, Ordering::Relaxed);
        self.driver = None;
        (self.image, self.model, self.clock) = (image, found, self.clock + 1);
        Ok(())
    }
}
