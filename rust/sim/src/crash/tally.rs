// SPDX-License-Identifier: GPL-2.0

//! What all jobs together have seen: states by the hash of their image, and how many belong to which class of operations.

use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::Mutex;

use super::call::Class;
use crate::random::mix;

/// The keys are hashes already.
#[derive(Default)]
struct Itself(u64);

impl Hasher for Itself {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _bytes: &[u8]) {
        unreachable!("only u64 is hashed");
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }
}

type Keys = HashSet<u64, BuildHasherDefault<Itself>>;

/// The counters.
pub struct Tally {
    seen: Vec<Mutex<Keys>>,
    distinct: Vec<AtomicU64>,
    /// States opened, those included whose image was opened before, against other models.
    pub opened: AtomicU64,
    /// Workloads done.
    pub workloads: AtomicU64,
    /// Comparisons of the live memory.
    pub live: AtomicU64,
    /// Power cuts that were followed by another mount and more work.
    pub generations: AtomicU64,
    /// A violation was found, or time is over: everybody stops.
    pub stop: AtomicBool,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            seen: (0..64).map(|_| Mutex::default()).collect(),
            distinct: Class::ALL.iter().map(|_| AtomicU64::new(0)).collect(),
            opened: AtomicU64::new(0),
            workloads: AtomicU64::new(0),
            live: AtomicU64::new(0),
            generations: AtomicU64::new(0),
            stop: AtomicBool::new(false),
        }
    }
}

impl Tally {
    /// Whether this key is new.
    fn first(&self, key: u64) -> bool {
        self.seen[(key >> 58) as usize].lock().expect("nobody panics in here").insert(key)
    }

    /// Whether this image has to be opened, to be compared with these models. Counts it if nobody has opened it before.
    pub fn is_new(&self, image: u64, models: u64, class: Class) -> bool {
        // A class that opens images in ways of its own has states of its own.
        let image = if class as usize > Class::Mount as usize { mix(image ^ class as u64) } else { image };
        if !self.first(image.rotate_left(17) ^ models) {
            return false;
        }
        self.opened.fetch_add(1, Ordering::Relaxed);
        if self.first(image) {
            self.distinct[class as usize].fetch_add(1, Ordering::Relaxed);
        }
        true
    }

    /// Distinct states of a class.
    pub fn of(&self, class: Class) -> u64 {
        self.distinct[class as usize].load(Ordering::Relaxed)
    }

    /// Distinct states.
    pub fn total(&self) -> u64 {
        Class::ALL.iter().map(|class| self.of(*class)).sum()
    }

    pub fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}
