// SPDX-License-Identifier: GPL-2.0

//! Runs of the rows: by seed, several generations of work, power cut and mount; and all interleavings of a small case.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::rc::Rc;

use crate::media::Cut;
use crate::oracle::{self, Config, Kind, Oracle, Place};
use crate::random::{mix, Random};
use crate::rows::Run;
use crate::world::{Lock, Policy, Program, Step, World};

/// What was looked at.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen {
    /// Steps of the scheduler.
    pub steps: u64,
    /// Power cuts whose outcome was mounted and compared.
    pub cuts: u64,
    /// Operations.
    pub operations: u64,
    /// Operations refused for want of space.
    pub refused: u64,
}

impl Seen {
    pub fn add(&mut self, other: Self) {
        self.steps += other.steps;
        self.cuts += other.cuts;
        self.operations += other.operations;
        self.refused += other.refused;
    }
}

fn policy(random: &mut Random, steps: u64) -> Policy {
    match random.below(6) {
        0 => Policy::Chance(0),
        1 => Policy::Chance(200),
        2 => Policy::Chance(245),
        _ => {
            let changes = 1 + random.below(6);
            Policy::Priority((0..changes).map(|_| random.below(steps as usize) as u64).collect())
        }
    }
}

/// Rots one of two sound slots.
fn rot(image: &mut [u64], random: &mut Random) {
    let slots = [512, 512 + 256];
    // A slot that is being written may be torn: to rot the other one would be a second fault.
    if slots.iter().all(|start| oracle::slot_is_sound(image, *start)) {
        image[slots[random.below(2)] + random.below(4)] ^= 1 << random.below(64);
    }
}

/// Generations of work on one volume.
pub fn generations(config: Config, seed: u64, number: usize, cuts: u8) -> Result<Seen, String> {
    let (mut image, place) = oracle::format(config);
    let mut oracle = Oracle::new(&place);
    let mut seen = Seen::default();
    for generation in 0..number {
        let seed = mix(seed ^ mix(generation as u64));
        let (next, words, more) = generation_of(&place, image, oracle, seed, cuts)
            .map_err(|error| format!("generation {generation}: {error}"))?;
        (oracle, image) = (next, words);
        seen.add(more);
    }
    Ok(seen)
}

/// One generation: mount, work, cuts on the way, each mounted and compared; one of them is what the next generation gets.
fn generation_of(
    place: &Place,
    image: Vec<u64>,
    oracle: Oracle,
    seed: u64,
    cuts: u8,
) -> Result<(Oracle, Vec<u64>, Seen), String> {
    let config = place.config;
    let mut random = Random::new(seed);
    let world = World::new(image, config.cpus, seed ^ 2);
    let run = Rc::new(Run::new(&world, place, oracle, seed));
    let expected = config.operations as u64 * config.cpus as u64 * 40;
    let policy = policy(&mut random, expected);
    let mut seen = Seen::default();
    let mut failure: Option<String> = None;
    let mut kept: Option<(Oracle, Vec<u64>)> = None;
    let stop = random.below(expected as usize) as u64;
    let program = |cpu| {
        let run = run.clone();
        Box::new(move || run.program(cpu, seed)) as Program
    };
    let cpus = if random.chance(64) { 1 } else { config.cpus };
    let programs = (0..cpus).map(program).collect();
    world.run(programs, policy, &mut |world, fenced| {
        seen.steps += 1;
        let chosen = kept.is_none() && seen.steps >= stop;
        if failure.is_some() || !chosen && !random.chance(if fenced { cuts } else { cuts / 8 }) {
            return;
        }
        let mut image = world.media.borrow().cut(oracle::any_cut(&mut random), &mut random);
        if random.chance(64) {
            rot(&mut image, &mut random);
        }
        let now = run.oracle.borrow();
        seen.cuts += 1;
        let outcome = if chosen || random.chance(16) {
            oracle::recover_with_cuts(&image, place, &now, random.word()).map(|cuts| seen.cuts += cuts)
        } else {
            Ok(())
        };
        match outcome.and_then(|()| oracle::recover(&image, place, &now, random.word())) {
            Ok((settled, _)) if chosen => kept = Some((settled, image)),
            Ok(_) => {}
            Err(error) => failure = Some(format!("after a cut at step {}: {error}", seen.steps)),
        }
    });
    (seen.operations, seen.refused) = (run.done.get(), run.refused.get());
    match failure {
        Some(error) => Err(error),
        None => {
            let finished = run.finish()?;
            let (oracle, image) = kept.unwrap_or(finished);
            Ok((oracle, image, seen))
        }
    }
}

/// One operation of a small case.
#[derive(Clone, Copy, Debug)]
pub enum Operation {
    Fill(usize, Kind),
    Patch(usize),
    Clear(usize),
    Swap(usize, usize),
    Overwrite(usize),
    Checkpoint,
}

fn perform(run: &Run, cpu: usize, operation: Operation) {
    let mut random = Random::new(cpu as u64);
    match operation {
        Operation::Fill(row, kind) => run.fill(cpu, row, kind),
        Operation::Patch(row) => run.patch(cpu, row, &mut random),
        Operation::Clear(row) => run.clear(cpu, row),
        Operation::Swap(one, two) => run.swap(cpu, one, two),
        Operation::Overwrite(row) => run.overwrite(cpu, row, &mut random),
        Operation::Checkpoint => run.volume().checkpoint().expect("the log can be read"),
    }
}

/// Runs every interleaving (at fences and locks) of the CPUs' operations with at most `preemptions` of them, after `before` ran
/// on CPU 0, and cuts at each step of each: nothing kept, everything kept, and by chance. States that were seen are not mounted
/// again.
pub fn every(config: Config, before: &[Operation], cpus: &[&[Operation]], preemptions: usize) -> Result<Seen, String> {
    let (image, place) = oracle::format(config);
    let mut seen = Seen::default();
    let mut known = HashSet::new();
    let mut script: Vec<u8> = Vec::new();
    loop {
        let world = World::new(image.clone(), config.cpus, 5);
        world.coarse();
        let run = Rc::new(Run::new(&world, &place, Oracle::new(&place), 5));
        before.iter().for_each(|operation| perform(&run, 0, *operation));
        let failure: RefCell<Option<String>> = RefCell::new(None);
        let mut random = Random::new(script.iter().fold(11, |hash, cpu| mix(hash ^ u64::from(*cpu))));
        let programs = (0..cpus.len()).map(|cpu| {
            let (run, operations) = (run.clone(), cpus[cpu].to_vec());
            Box::new(move || operations.iter().for_each(|operation| perform(&run, cpu, *operation))) as Program
        });
        world.run(programs.collect(), Policy::Script(script.clone()), &mut |world, _| {
            seen.steps += 1;
            for cut in [Cut::All, Cut::Nothing, Cut::Some(128)] {
                let image = world.media.borrow().cut(cut, &mut random);
                let oracle = run.oracle.borrow();
                let hash = image.iter().fold(oracle.hash(), |hash, word| mix(hash ^ word));
                if failure.borrow().is_none() && known.insert(hash) {
                    seen.cuts += 1;
                    if let Err(error) = oracle::recover(&image, &place, &oracle, 3) {
                        *failure.borrow_mut() = Some(format!("{cut:?}: {error}"));
                    }
                }
            }
        });
        if let Some(error) = failure.into_inner() {
            return Err(format!("script {script:?}: {error}"));
        }
        run.finish().map_err(|error| format!("script {script:?}: {error}"))?;
        seen.operations += 1;
        let next = next_script(&world.script.borrow(), preemptions);
        match next {
            Some(next) => script = next,
            None => return Ok(seen),
        }
    }
}

/// A row's block goes into limbo while a checkpoint is under way that read its cut before the block was last patched: this
/// checkpoint must not release it, or a replay of the patch meets the next owner's data. Every step is cut.
pub fn free_within_checkpoint(config: Config) -> Result<Seen, String> {
    let (image, place) = oracle::format(config);
    let world = World::new(image, config.cpus, 9);
    let run = Rc::new(Run::new(&world, &place, Oracle::new(&place), 9));
    for row in 0..config.free as usize {
        run.fill(0, row, Kind::Meta);
    }
    run.volume().checkpoint().expect("the log can be read");
    run.patch(0, 1, &mut Random::new(1));
    let idle = Lock::Lane(config.lanes - 1);
    let stage = Rc::new(Cell::new(0));
    let program = |program: fn(&Run, &Cell<u8>, Lock)| {
        let (run, stage) = (run.clone(), stage.clone());
        Box::new(move || program(&run, &stage, idle)) as Program
    };
    let free = program(|run, stage, _| {
        run.clear_after(0, 0, || {
            stage.set(1);
            run.world.wait_until(|| stage.get() == 2);
        });
        stage.set(3);
    });
    let patch = program(|run, stage, idle| {
        run.world.wait_until(|| stage.get() == 1);
        run.world.locked(idle, || {
            run.world.wait_until(|| run.world.is_wanted(idle));
            run.world.locked_below(idle, || run.patch(1, 0, &mut Random::new(2)));
            stage.set(2);
            run.world.wait_until(|| stage.get() == 3);
        });
    });
    let reuse = program(|run, stage, idle| {
        run.world.wait_until(|| stage.get() == 1 && run.world.is_held(idle));
        run.volume().checkpoint().expect("the log can be read");
        run.fill(2, run.place.config.free as usize, Kind::Data);
    });
    let mut seen = Seen::default();
    let mut failure = None;
    let mut random = Random::new(7);
    world.run(vec![free, patch, reuse], Policy::Chance(0), &mut |world, _| {
        seen.steps += 1;
        for cut in [Cut::All, Cut::Nothing, Cut::Some(128)] {
            let image = world.media.borrow().cut(cut, &mut random);
            seen.cuts += 1;
            if let (Err(error), None) = (oracle::recover(&image, &place, &run.oracle.borrow(), 3), &failure) {
                failure = Some(format!("{cut:?}: {error}"));
            }
        }
    });
    failure.map_or(Ok(()), Err)?;
    run.finish()?;
    Ok(seen)
}

/// The next script in depth-first order: the last choice that has an untried alternative, within the bound.
fn next_script(steps: &[Step], preemptions: usize) -> Option<Vec<u8>> {
    let spent =
        |steps: &[Step]| steps.iter().filter(|step| step.before != u8::MAX && step.chosen != step.before).count();
    for index in (0..steps.len()).rev() {
        let step = steps[index];
        let default = if step.before == u8::MAX { step.runnable.trailing_zeros() as u8 } else { step.before };
        // Order of the alternatives: the default first, then the others upwards.
        let after = if step.chosen == default { 0 } else { step.chosen + 1 };
        let next = (after..8).find(|cpu| *cpu != default && step.runnable >> cpu & 1 == 1);
        let free = step.before == u8::MAX || spent(&steps[..index]) < preemptions;
        if let (Some(next), true) = (next, free) {
            return Some(steps[..index].iter().map(|step| step.chosen).chain([next]).collect());
        }
    }
    None
}
