// SPDX-License-Identifier: GPL-2.0

//! Two CPUs at work at once, each in a directory of its own, with every other seed beside somebody who reads: what they share (lanes, bitmaps, limbo, inode numbers, lines of
//! the inode table) must not mix them up, live or after a cut at any step.
//!
//! They interleave at every access to the media and at every lock. What a cut may leave depends on which calls have returned, so
//! snapshots are kept, and judged when the run is over and everybody's models are known.

use std::cell::{Cell, RefCell};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::sync::Arc;

use super::call::{self, Call, Class};
use super::checker;
use super::judge::{message, Judge, Snapshot, Task};
use super::readers::Reader;
use super::setup::Base;
use super::states::Budget;
use super::tally::Tally;
use crate::fs::driver::{Driver, ROOT};
use crate::fs::model::Model;
use crate::random::{mix, Random};
use crate::world::{Lock, Policy, Program, World};

/// What a CPU's directory was and became: after how many turns of the CPUs, what a cut during the step that ended then may
/// leave, and what one after it may.
#[derive(Default)]
struct History {
    settled: Vec<(u64, Vec<Model>, Model)>,
    class: Vec<(u64, Class)>,
}

/// A CPU's part: its driver, its calls, and where it tells what it did.
struct Part {
    cpu: u32,
    driver: Driver<World>,
    calls: Vec<Call>,
    history: Rc<RefCell<History>>,
    /// Turns so far.
    turns: Rc<Cell<u64>>,
    done: Rc<RefCell<Vec<Driver<World>>>>,
}

impl History {
    /// What a cut after so many turns may leave.
    fn at(&self, turns: u64, first: &Model) -> Vec<Model> {
        let next = self.settled.iter().position(|settled| settled.0 >= turns);
        let done = next.unwrap_or(self.settled.len()).checked_sub(1).map_or(first, |last| &self.settled[last].2);
        // The next step may have begun: what it leaves includes what was before, if it says so.
        let mut models = vec![done.clone()];
        models.extend(next.iter().flat_map(|next| self.settled[*next].1.clone()));
        models
    }

    fn class_at(&self, turns: u64) -> Option<Class> {
        self.class.iter().rev().find(|class| class.0 <= turns).map(|class| class.1)
    }
}

/// How CPUs interleave.
pub(super) fn policy(readers: bool, random: &mut Random) -> Policy {
    match random.below(3) {
        // A reader that had the highest priority would be done before anybody begins.
        _ if readers => Policy::Chance([64, 128, 200][random.below(3)]),
        0 => Policy::Chance(128),
        1 => Policy::Chance(224),
        _ => Policy::Priority((0..4).map(|_| random.below(120) as u64).collect()),
    }
}

/// Does the calls of two CPUs, interleaved as the seed says, and cuts on the way. Returns what was wrong, if anything.
pub fn run(
    base: &Base,
    class: Option<Class>,
    calls: [&[Call]; 2],
    seed: u64,
    budget: Budget,
    tally: &Arc<Tally>,
) -> Result<(), String> {
    let outcome = catch_unwind(AssertUnwindSafe(|| interleave(base, class, calls, seed, budget, tally)));
    outcome.unwrap_or_else(|panic| Err(message(&*panic)))
}

/// One CPU's calls.
fn program(part: Part) {
    let Part { cpu, mut driver, calls, history, turns, done } = part;
    let world = driver.machine.clone();
    let (settled, now) = (history.clone(), turns.clone());
    driver.observer = Some(Box::new(move |during, after| {
        let during = during.iter().map(|model| (*model).clone()).collect();
        settled.borrow_mut().settled.push((now.get(), during, after.clone()));
    }));
    for call in &calls {
        // Nobody works while a volume becomes read-only.
        if let Some((class, ops)) = call::resolve(call, &driver).filter(|(class, _)| *class != Class::Remount) {
            history.borrow_mut().class.push((turns.get(), class));
            // What the volume refuses leaves the model as it was.
            world.locked(Lock::Object(cpu), || {
                let refused = ops.iter().find_map(|op| driver.apply(op).err().map(|error| (op, error)));
                refused.map_or(Ok(()), |(op, error)| driver.refused(op, error, false)).unwrap();
            });
        }
    }
    driver.observer = None;
    done.borrow_mut().push(driver);
}

fn interleave(
    base: &Base,
    class: Option<Class>,
    calls: [&[Call]; 2],
    seed: u64,
    budget: Budget,
    tally: &Arc<Tally>,
) -> Result<(), String> {
    // With every other seed somebody reads meanwhile; or somebody checks.
    let readers = class.is_none() && seed % 2 == 1;
    let world = World::new(base.image.clone(), if readers || class.is_some() { 3 } else { 2 }, seed);
    world.prepare(&base.geometry);
    let mut driver = Driver::mount(world.clone()).map_err(|error| format!("mount: {error:?}"))?;
    driver.adopt(base.model.clone(), 1000);
    let dirs: Vec<u64> = driver.model.entries(ROOT).values().copied().collect();
    let (histories, done) = (<[Rc<RefCell<History>>; 2]>::default(), Rc::<RefCell<Vec<_>>>::default());
    let turns = Rc::new(Cell::new(0));
    let programs = [0, 1].map(|cpu| {
        let part = Part {
            cpu: cpu as u32,
            driver: driver.below(dirs[cpu], 2000 + 1000 * cpu as i64),
            calls: calls[cpu].to_vec(),
            history: histories[cpu].clone(),
            turns: turns.clone(),
            done: done.clone(),
        };
        Box::new(move || program(part)) as Program
    });
    let mut programs = Vec::from(programs);
    let mut random = Random::new(seed);
    if readers {
        programs.push(reader(base, &world, &driver, &dirs, seed));
    }
    if class.is_some() {
        let (world, geometry, rounds) = (world.clone(), base.geometry, 1 + random.below(2));
        programs.push(Box::new(move || checker::meanwhile(&world, &geometry, rounds)));
    }
    let policy = policy(readers || class.is_some(), &mut random);
    let mut snapshots = Vec::new();
    world.run(programs, policy, &mut |world, fenced| {
        turns.set(turns.get() + 1);
        if random.chance(if fenced { 128 } else { 10 }) {
            snapshots.push((turns.get(), Snapshot::of(&world.media.borrow())));
        }
    });
    let first = dirs[..2].iter().map(|dir| base.model.below(*dir)).collect::<Vec<_>>();
    let mut judge = Judge::new(tally.clone(), &base.geometry, mix(seed));
    for (turn, snapshot) in snapshots {
        let [one, two] = [0, 1].map(|cpu| histories[cpu].borrow().at(turn, &first[cpu]));
        let models: Vec<Model> = one.iter().flat_map(|one| two.iter().map(|two| root(base, one, two))).collect();
        let met = histories[random.below(2)].borrow().class_at(turn).unwrap_or(Class::Mount);
        judge.begin(0, class.unwrap_or(met), Task::Explore(budget));
        judge.see(snapshot, &models.iter().collect::<Vec<_>>());
        if let Some(violation) = &judge.violation {
            return Err(format!("turn {turn}: {}", violation.why));
        }
    }
    live(base, driver, done.take(), tally)?;
    checker::at_last(&world, &base.geometry)
}

/// Reads meanwhile, without locks.
fn reader(base: &Base, world: &World, driver: &Driver<World>, dirs: &[u64], seed: u64) -> Program {
    let (world, volume) = (world.clone(), driver.volume.clone());
    let next = base.model.nodes.keys().last().map_or(ROOT, |last| last + 1);
    let dirs = [(dirs[0], Lock::Object(0)), (dirs[1], Lock::Object(1))];
    let reader = Reader { world, volume, dirs, next, fixed: true, random: Random::new(mix(seed)) };
    Box::new(move || reader.run())
}

/// The whole volume: the root directory, and what the CPUs have.
fn root(base: &Base, one: &Model, two: &Model) -> Model {
    let mut root = Model::default();
    root.nodes.insert(ROOT, base.model.nodes[&ROOT].clone());
    root.with(one).with(two)
}

/// The live memory, when all is done.
fn live(base: &Base, mut driver: Driver<World>, done: Vec<Driver<World>>, tally: &Arc<Tally>) -> Result<(), String> {
    let [one, two] = &done[..] else { return Err("a CPU did not come to its end".into()) };
    driver.model = root(base, &one.model, &two.model);
    driver.lives.retain(|ino, _| *ino == ROOT);
    let lives = [one, two].into_iter().flat_map(|cpu| cpu.lives.iter());
    driver.lives.extend(lives.map(|(ino, live)| (*ino, live.clone())));
    tally.live.fetch_add(1, Ordering::Relaxed);
    tally.workloads.fetch_add(1, Ordering::Relaxed);
    driver.volume.reclaim().map_err(|error| format!("orphans: {error:?}"))?;
    driver.verify().map_err(|why| format!("live memory: {why}"))
}
