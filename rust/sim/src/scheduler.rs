// SPDX-License-Identifier: GPL-2.0

//! Which CPU of the simulated machine goes on.

use std::cell::RefCell;

use crate::random::Random;

/// How the scheduler chooses.
#[derive(Clone, Debug)]
pub enum Policy {
    /// By chance at every step, to stay with the same CPU so many times of 256.
    Chance(u8),
    /// The CPU of highest priority goes on; at these steps it becomes the lowest.
    Priority(Vec<u64>),
    /// These choices, one per step at which there is one; then whoever ran before.
    Script(Vec<u8>),
}

/// A step of a scripted run, for the enumeration: who could go on, who did, who ran before.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    pub runnable: u8,
    pub chosen: u8,
    pub before: u8,
}

/// The scheduler's own state.
pub struct Scheduler {
    policy: Policy,
    priorities: Vec<usize>,
    current: usize,
    step: u64,
    choice: usize,
}

impl Scheduler {
    pub fn new(policy: Policy, cpus: usize, random: &mut Random) -> Self {
        let mut priorities: Vec<usize> = (0..cpus).collect();
        for index in 0..cpus {
            priorities.swap(index, index + random.below(cpus - index));
        }
        Self { policy, priorities, current: 0, step: 0, choice: 0 }
    }

    /// Who goes on, of those who can.
    pub fn choose(&mut self, runnable: &[usize], random: &mut Random, script: &RefCell<Vec<Step>>) -> usize {
        self.step += 1;
        let stays = runnable.contains(&self.current);
        let before = self.current;
        self.current = match &self.policy {
            Policy::Chance(stay) if stays && random.chance(*stay) => self.current,
            Policy::Chance(_) => runnable[random.below(runnable.len())],
            Policy::Priority(changes) => {
                let first = |order: &[usize]| order.iter().copied().find(|cpu| runnable.contains(cpu));
                let best = first(&self.priorities).unwrap_or(runnable[0]);
                if changes.contains(&self.step) {
                    self.priorities.retain(|cpu| *cpu != best);
                    self.priorities.push(best);
                }
                first(&self.priorities).unwrap_or(best)
            }
            Policy::Script(choices) => {
                let default = if stays { self.current } else { runnable[0] };
                let wanted = choices.get(self.choice).map_or(default, |cpu| usize::from(*cpu));
                let chosen = if runnable.contains(&wanted) { wanted } else { default };
                if runnable.len() > 1 {
                    self.choice += 1;
                    let mask = runnable.iter().fold(0, |mask, cpu| mask | 1 << cpu);
                    let before = if stays { before as u8 } else { u8::MAX };
                    script.borrow_mut().push(Step { runnable: mask, chosen: chosen as u8, before });
                }
                chosen
            }
        };
        self.current
    }
}
