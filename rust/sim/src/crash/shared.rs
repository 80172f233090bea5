// SPDX-License-Identifier: GPL-2.0

//! Two CPUs at work in one directory, or on one inode. As in the kernel each call holds the locks
//! of the inodes that it is about, so the calls of one inode come one after the other; what their
//! records, fences, evictions and checkpoints have in common interleaves at every access to the
//! media and at every lock.
//!
//! A CPU takes copies of the inodes that it has locked, and tells after each step what became of
//! them. What a cut may leave is what the finished steps left, with those under way as they were
//! before, or during it.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::sync::Arc;

use super::call::{self, Call, Class};
use super::cpus::policy;
use super::judge::{message, Judge, Snapshot, Task};
use super::readers::Reader;
use super::setup::Base;
use super::states::Budget;
use super::tally::Tally;
use crate::fs::driver::{Driver, Op, ROOT};
use crate::fs::model::{Kind, Model, Node};
use crate::random::{mix, Random};
use crate::world::{Lock, Program, World};

/// What became of some inodes.
#[derive(Clone)]
struct Change {
    nodes: BTreeMap<u64, Option<Node>>,
    loose: BTreeMap<(u64, u64), Vec<[u8; 8]>>,
}

impl Change {
    /// What made `after` of `before`.
    fn between(before: &Model, after: &Model) -> Self {
        let both: BTreeSet<u64> = before.nodes.keys().chain(after.nodes.keys()).copied().collect();
        let changed = both.into_iter().map(|ino| (ino, after.nodes.get(&ino).cloned()));
        Self { nodes: changed.collect(), loose: after.loose.clone() }
    }

    fn apply(&self, model: &mut Model) {
        model.loose.retain(|(ino, _), _| !self.nodes.contains_key(ino));
        for (ino, node) in &self.nodes {
            match node {
                Some(node) => drop(model.nodes.insert(*ino, node.clone())),
                None => drop(model.nodes.remove(ino)),
            }
        }
        model.loose.extend(self.loose.iter().map(|(word, values)| (*word, values.clone())));
    }
}

/// A step of a call: from which turn on it may have been under way, and when it had returned.
struct Event {
    cpu: usize,
    begin: u64,
    end: u64,
    during: Vec<Change>,
    after: Change,
}

/// What the CPUs have in common, beside the volume.
struct Common {
    /// Whose `model` and `lives` are what the finished steps left.
    driver: RefCell<Driver<World>>,
    events: RefCell<Vec<Event>>,
    turns: Cell<u64>,
    ended: Cell<usize>,
}

/// The inodes that operations are about.
pub(super) fn objects(ops: &[Op], model: &Model) -> BTreeSet<u64> {
    let mut found = BTreeSet::new();
    for op in ops {
        let (inos, names) = op.about();
        found.extend(inos);
        found.extend(names.iter().filter_map(|(dir, name)| model.entries(*dir).get(*name).copied()));
        if matches!(op, Op::Rename(from, _, to, _) if from != to) {
            // Nobody else moves a directory meanwhile.
            found.extend(model.dirs());
        }
    }
    found
}

/// Does the calls of two CPUs, interleaved as the seed says, and cuts on the way. Returns what was
/// wrong, if anything.
pub fn run(
    base: &Base,
    class: Class,
    calls: [&[Call]; 2],
    seed: u64,
    budget: Budget,
    tally: &Arc<Tally>,
) -> Result<(), String> {
    let outcome = catch_unwind(AssertUnwindSafe(|| interleave(base, class, calls, seed, budget, tally)));
    outcome.unwrap_or_else(|panic| Err(message(&*panic)))
}

/// One CPU's calls.
fn program(common: &Rc<Common>, cpu: usize, calls: &[Call]) {
    for call in calls {
        // What it is about may be something else once the locks are there.
        while !attempt(common, cpu, call) {}
    }
    common.ended.set(common.ended.get() + 1);
}

/// What a call is now, and what it is about.
fn resolve(common: &Common, call: &Call) -> Option<(Vec<Op>, BTreeSet<u64>)> {
    let driver = common.driver.borrow();
    let alone = |class: Class| matches!(class, Class::Remount | Class::Frozen);
    let (_, ops) = call::resolve(call, &driver).filter(|(class, _)| !alone(*class))?;
    let about = objects(&ops, &driver.model);
    Some((ops, about))
}

/// Does a call; false if others were faster.
fn attempt(common: &Rc<Common>, cpu: usize, call: &Call) -> bool {
    let Some((_, about)) = resolve(common, call) else { return true };
    let world = common.driver.borrow().machine.clone();
    about.iter().for_each(|ino| world.lock(Lock::Object(*ino as u32)));
    let again = resolve(common, call);
    let done = match again {
        Some((ops, now)) if now == about => {
            perform(common, cpu, &ops, &about);
            true
        }
        other => other.is_none(),
    };
    about.iter().rev().for_each(|ino| world.unlock(Lock::Object(*ino as u32)));
    done
}

/// Does operations on copies of what is locked.
fn perform(common: &Rc<Common>, cpu: usize, ops: &[Op], about: &BTreeSet<u64>) {
    let mut driver = common.driver.borrow().only(about);
    let first = driver.model.clone();
    let state = Rc::new(RefCell::new((first, common.turns.get())));
    let (known, shared) = (state.clone(), common.clone());
    driver.observer = Some(Box::new(move |during, after| {
        let (before, begin) = &mut *known.borrow_mut();
        let during = during.iter().map(|model| Change::between(before, model)).collect();
        let change = Change::between(before, after);
        change.apply(&mut shared.driver.borrow_mut().model);
        let end = shared.turns.get();
        shared.events.borrow_mut().push(Event { cpu, begin: *begin, end, during, after: change });
        (*before, *begin) = (after.clone(), end);
    }));
    let refused = ops.iter().find_map(|op| driver.apply(op).err().map(|error| (op, error)));
    driver.observer = None;
    refused.map_or(Ok(()), |(op, error)| driver.refused(op, error, false)).unwrap();
    // What is no longer uncertain.
    let (before, begin) = &*state.borrow();
    let after = Change::between(before, &driver.model);
    let end = common.turns.get();
    let mut shared = common.driver.borrow_mut();
    after.apply(&mut shared.model);
    common.events.borrow_mut().push(Event { cpu, begin: *begin, end, during: Vec::new(), after });
    let mut all = about.clone();
    all.extend(driver.model.nodes.keys());
    shared.take_back(driver, &all);
}

impl Common {
    /// What a cut after so many turns may leave.
    fn at(&self, turns: u64, first: &Model) -> Vec<Model> {
        let events = self.events.borrow();
        let mut done = first.clone();
        events.iter().filter(|event| event.end < turns).for_each(|event| event.after.apply(&mut done));
        let mut models = vec![done];
        for cpu in 0..2 {
            let open = |event: &&Event| event.cpu == cpu && event.end >= turns;
            let next = events.iter().find(open).filter(|event| event.begin <= turns);
            let ways = next.iter().flat_map(|event| event.during.iter().chain([&event.after]));
            let with = ways.flat_map(|change| {
                models.iter().map(|model| {
                    let mut model = model.clone();
                    change.apply(&mut model);
                    model
                })
            });
            let with: Vec<Model> = with.collect();
            models.extend(with);
        }
        models
    }
}

fn interleave(
    base: &Base,
    class: Class,
    calls: [&[Call]; 2],
    seed: u64,
    budget: Budget,
    tally: &Arc<Tally>,
) -> Result<(), String> {
    // With every other seed somebody reads meanwhile.
    let readers = seed % 2 == 1;
    let world = World::new(base.image.clone(), if readers { 3 } else { 2 }, seed);
    world.prepare(&base.geometry);
    let mut driver = Driver::mount(world.clone()).map_err(|error| format!("mount: {error:?}"))?;
    driver.adopt(base.model.clone(), 1000);
    let volume = driver.volume.clone();
    let (turns, ended) = (Cell::new(0), Cell::new(0));
    let common = Rc::new(Common { driver: RefCell::new(driver), events: RefCell::default(), turns, ended });
    let mut programs: Vec<Program> = Vec::new();
    for (cpu, calls) in calls.into_iter().enumerate() {
        let (common, calls) = (common.clone(), calls.to_vec());
        programs.push(Box::new(move || program(&common, cpu, &calls)));
    }
    let mut random = Random::new(seed);
    if readers {
        let is_dir = |ino: &&u64| matches!(base.model.nodes[*ino].kind, Kind::Dir { .. });
        let other = base.model.nodes.keys().filter(is_dir).find(|ino| **ino != ROOT).copied().unwrap_or(ROOT);
        let dirs = [ROOT, other].map(|dir| (dir, Lock::Object(dir as u32)));
        let next = base.model.nodes.keys().last().map_or(ROOT, |last| last + 1);
        let (world, random) = (world.clone(), Random::new(mix(seed)));
        let reader = Reader { world, volume, dirs, next, fixed: false, random };
        programs.push(Box::new(move || reader.run()));
    }
    let mut snapshots = Vec::new();
    let seen = common.clone();
    world.run(programs, policy(readers, &mut random), &mut |world, fenced| {
        seen.turns.set(seen.turns.get() + 1);
        if random.chance(if fenced { 128 } else { 10 }) {
            snapshots.push((seen.turns.get(), Snapshot::of(&world.media.borrow())));
        }
    });
    let mut judge = Judge::new(tally.clone(), &base.geometry, mix(seed));
    for (turn, snapshot) in snapshots {
        let models = common.at(turn, &base.model);
        judge.begin(0, class, Task::Explore(budget));
        judge.see(snapshot, &models.iter().collect::<Vec<_>>());
        if let Some(violation) = &judge.violation {
            return Err(format!("turn {turn}: {}", violation.why));
        }
    }
    live(&common, tally)
}

/// The live memory, when all is done.
fn live(common: &Common, tally: &Tally) -> Result<(), String> {
    if common.ended.get() != 2 {
        return Err("a CPU did not come to its end".into());
    }
    tally.live.fetch_add(1, Ordering::Relaxed);
    tally.workloads.fetch_add(1, Ordering::Relaxed);
    let driver = common.driver.borrow();
    driver.volume.reclaim().map_err(|error| format!("orphans: {error:?}"))?;
    driver.verify().map_err(|why| format!("live memory: {why}"))
}
