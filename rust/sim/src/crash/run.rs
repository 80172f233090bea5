// SPDX-License-Identifier: GPL-2.0

//! Does a workload on a simulated machine, with power cuts.

use std::cell::RefCell;
use std::fmt;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::rc::Rc;
use std::str::FromStr;
use std::sync::atomic::Ordering;
use std::sync::Arc;

use pfnfs_core::media::format::SEQ_END;
use pfnfs_core::media::Error;

use super::call::{self, Call, Class};
use super::cpus;
use super::frozen;
use super::judge::{message, Judge, Kept, Snapshot, Task, Violation};
use super::losses::{self, Lost};
use super::setup::{Base, Setup};
use super::shared;
use super::states::Budget;
use super::tally::Tally;
use crate::fs::driver::{Driver, Op};
use crate::fs::model::Model;
use crate::image::Image;
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
    image: Image,
    model: Model,
    clock: i64,
    /// The last call was refused.
    refused: bool,
    /// Memory that was lost.
    lost: Option<Lost>,
}

impl<'a> Run<'a> {
    pub fn new(workload: &'a Workload, base: &'a Base, tally: &Arc<Tally>) -> Self {
        let judge = Judge::new(tally.clone(), &base.geometry, workload.seed);
        Run {
            workload,
            base,
            judge: Rc::new(RefCell::new(judge)),
            tally: tally.clone(),
            world: World::new(Image::default(), 1, 0),
            driver: None,
            snapshots: Rc::default(),
            image: base.image.clone(),
            model: base.model.clone(),
            clock: base.clock,
            refused: false,
            lost: None,
        }
    }

    /// Does it all; what it kept of the states that it explored.
    pub fn go(mut self, effort: &Effort) -> Result<Vec<Kept>, Failure> {
        self.all(effort)
    }

    /// Does it all; whether the last call was refused.
    pub fn tell(mut self, effort: &Effort) -> Result<bool, Failure> {
        self.all(effort)?;
        Ok(self.refused)
    }

    fn all(&mut self, effort: &Effort) -> Result<Vec<Kept>, Failure> {
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
        let (base, seed, calls) = (self.base, self.workload.seed, [&one[..], &two[..]]);
        match self.workload.setup.class {
            Some(class @ (Class::OneDirectory | Class::OneInode)) => {
                shared::run(base, class, calls, seed, *budget, &self.tally)
            }
            class => cpus::run(base, class, calls, seed, *budget, &self.tally),
        }
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
        let class = self.workload.setup.class.unwrap_or(Class::Mount);
        self.judge.borrow_mut().begin(items, class, task);
        world.shift(self.workload.setup.cpu);
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
        driver.know(self.base.generations.clone());
        (self.world, self.driver) = (world, Some(driver));
        self.verdict()
    }

    /// Does a call, and compares the live memory.
    fn call(&mut self, items: usize, call: &Call, task: Task) -> Result<(), String> {
        let mut driver = self.driver.take().ok_or("not mounted")?;
        if call.verb == "lose" {
            self.lost = losses::lose(&self.world, &driver, &call.path, mix(call.a));
            self.judge.borrow_mut().lost.clone_from(&self.lost);
            self.driver = Some(driver);
            return Ok(());
        }
        let Some((class, ops)) = call::resolve(call, &driver) else {
            self.driver = Some(driver);
            return Ok(());
        };
        let class = self.workload.setup.class.unwrap_or(class);
        self.judge.borrow_mut().begin(items, class, task);
        if self.judge.borrow().looks() {
            self.look_on(&mut driver);
        }
        let numbers = driver.volume.backlog();
        let about = if self.lost.is_some() { shared::objects(&ops, &driver.model) } else { Default::default() };
        let mut refused = ops.iter().find_map(|op| driver.apply(op).err().map(|error| (op, error)));
        self.refused = refused.is_some();
        if let (Some(lost), Some((_, error))) = (&mut self.lost, &refused) {
            // Before the snapshots of the call are judged.
            if lost.met(&driver, *error, about)? {
                refused = None;
            }
        }
        let mut result = Ok(());
        if !matches!(self.workload.items.get(items), Some(Item::Call(_))) {
            // What was evicted waits for company, unless this is the end: of all, or of this generation, so that a state met
            // at the end is met again when something follows it.
            result = result.and(driver.volume.reclaim().map(drop));
        }
        self.world.watch(None);
        driver.observer = None;
        if self.lost.is_some() {
            return self.after_loss(driver, refused);
        }
        self.show(&[&driver.model]);
        self.clock = driver.clock;
        let now = driver.volume.backlog();
        if numbers.cut >= SEQ_END && (now.drawn > numbers.drawn || call.verb == "remount" && !self.refused) {
            return Err(format!("{call}: there are no sequence numbers: {now:?}"));
        }
        // At the end of the numbers orphans stay.
        let result = result.or_else(|error| if driver.is_at_the_end(error) { Ok(()) } else { Err(error) });
        result.map_err(|error| format!("{call}: {error:?}"))?;
        refused.map_or(Ok(()), |(op, error)| driver.refused(op, error, true))?;
        self.ended(call, driver)
    }

    /// A call has ended as it had to: what its snapshots, and the live memory, are.
    fn ended(&mut self, call: &Call, driver: Driver<World>) -> Result<(), String> {
        if call.verb == "freeze" {
            frozen::look(&self.world, &driver)?;
            self.snapshots.borrow_mut().push(Snapshot::of(&self.world.media.borrow()));
            self.show(&[&driver.model]);
        }
        self.verdict()?;
        let pending = self.world.media.borrow().pending();
        if pending > 0 {
            return Err(format!("{call}: {pending} stores that nobody has waited for"));
        }
        self.tally.live.fetch_add(1, Ordering::Relaxed);
        // Of a long way to a full limbo only the end.
        if self.workload.setup.class != Some(Class::Limbo) || self.judge.borrow().looks() {
            driver.verify().map_err(|why| format!("live memory after {call}: {why}"))?;
        }
        self.model.clone_from(&driver.model);
        self.driver = Some(driver);
        Ok(())
    }

    /// A call has ended on a volume that has lost memory: what its snapshots and the live memory
    /// are is judged now that it is known which inodes it left uncertain.
    fn after_loss(&mut self, driver: Driver<World>, refused: Option<(&Op, Error)>) -> Result<(), String> {
        self.judge.borrow_mut().lost.clone_from(&self.lost);
        self.snapshots.borrow_mut().push(Snapshot::of(&self.world.media.borrow()));
        let before = std::mem::replace(&mut self.model, driver.model.clone());
        self.show(&[&before, &driver.model]);
        self.clock = driver.clock;
        // A lost block that was free is free no more.
        let refused = refused.filter(|(_, error)| !matches!(error, Error::NoSpace | Error::ReadOnly));
        refused.map_or(Ok(()), |(op, error)| driver.refused(op, error, true))?;
        self.verdict()?;
        if let Some(lost) = &self.lost {
            lost.live(&driver).map_err(|why| format!("live memory after a loss: {why}"))?;
        }
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
        (self.image, self.model, self.clock) = (image, found, self.clock.saturating_add(1));
        Ok(())
    }
}
