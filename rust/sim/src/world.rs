// SPDX-License-Identifier: GPL-2.0

//! A machine with several CPUs, each a coroutine that pauses before every access to the media and at every lock, and a
//! scheduler that decides who goes on. Locks are the simulation's own: waiting is visible, so a deadlock is a failed test.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use generator::Gn;
use pfnfs_core::media::{Error, Geometry, Pmem, PmemMut, Result, LINE};
use pfnfs_core::meta::machine::*;

use crate::image::Image;
use crate::media::Media;
use crate::plain::State;
use crate::random::Random;
use crate::scheduler::Scheduler;
pub use crate::scheduler::{Policy, Step};

/// Back to the scheduler, from anywhere in a CPU's stack.
#[allow(deprecated, reason = "the scoped form cannot be reached from within the core's calls")]
fn suspend() {
    generator::yield_with(());
}

/// What a CPU runs.
pub type Program = Box<dyn FnOnce()>;

thread_local! {
    /// Programs on their way into their coroutines, which the generator would otherwise want to be able to send to threads.
    static STARTING: RefCell<Option<Program>> = const { RefCell::new(None) };
}

fn start() {
    let program = STARTING.with(|starting| starting.borrow_mut().take());
    program.expect("put there by `run`")();
}

/// Everything that can be locked. `Object` is what the test says: the inode locks, outside the core.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lock {
    Object(u32),
    Table,
    Gone,
    Checkpoint,
    Lane(u32),
    Group(u32),
    Limbo,
    Inodes,
}

impl Lock {
    /// A lock may be taken while holding `held` only if this allows it.
    fn may_follow(self, held: Lock) -> bool {
        match held {
            Lock::Object(number) => !matches!(self, Lock::Object(other) if other <= number),
            Lock::Table => !matches!(self, Lock::Object(_) | Lock::Table),
            Lock::Gone => !matches!(self, Lock::Object(_) | Lock::Table | Lock::Gone),
            Lock::Checkpoint => !matches!(self, Lock::Object(_) | Lock::Table | Lock::Gone | Lock::Checkpoint),
            Lock::Lane(_) | Lock::Group(_) | Lock::Limbo | Lock::Inodes => false,
        }
    }
}

/// The machine; clones are the same machine.
#[derive(Clone)]
pub struct World(Rc<Inner>);

impl std::ops::Deref for World {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

/// The machine's parts.
pub struct Inner {
    pub media: RefCell<Media>,
    state: RefCell<Option<State>>,
    random: RefCell<Random>,
    owners: RefCell<BTreeMap<Lock, usize>>,
    waiting: RefCell<Vec<Option<Lock>>>,
    current: Cell<usize>,
    /// Whether CPUs pause at all, and also at plain accesses, not only at fences and locks.
    pauses: Cell<bool>,
    fine: Cell<bool>,
    /// The last step was a fence.
    fenced: Cell<bool>,
    /// Steps so far.
    pub steps: Cell<u64>,
    pub script: RefCell<Vec<Step>>,
    protected: Cell<bool>,
    shift: Cell<u32>,
    lost: RefCell<BTreeSet<u64>>,
    known: Cell<bool>,
    /// Who looks on outside of `run`.
    watch: RefCell<Option<Watch>>,
}

/// Called before every step outside of `run`, and told whether it is a fence.
pub type Watch = Box<dyn FnMut(&World, bool)>;

/// What `run` calls after every step: the world, and whether the step was a fence.
pub type Observer<'a> = &'a mut dyn FnMut(&World, bool);

impl World {
    pub fn new(words: impl Into<Image>, cpus: usize, seed: u64) -> Self {
        Self(Rc::new(Inner {
            media: RefCell::new(Media::new(words, cpus)),
            state: RefCell::new(None),
            random: RefCell::new(Random::new(seed)),
            owners: RefCell::default(),
            waiting: RefCell::new(vec![None; cpus]),
            current: Cell::new(0),
            pauses: Cell::new(false),
            fine: Cell::new(true),
            fenced: Cell::new(false),
            steps: Cell::new(0),
            script: RefCell::default(),
            protected: Cell::new(false),
            shift: Cell::new(0),
            lost: RefCell::default(),
            known: Cell::new(true),
            watch: RefCell::new(None),
        }))
    }

    /// Makes the locks' state for a volume; to be called before it is opened.
    pub fn prepare(&self, geometry: &Geometry) {
        *self.state.borrow_mut() = Some(State::new(geometry));
    }

    /// Pauses at fences and locks only: fewer interleavings, for the enumeration.
    pub fn coarse(&self) {
        self.fine.set(false);
    }

    /// From now on the media cannot be written: whoever tries fails the test.
    pub fn protect(&self) {
        self.protected.set(true);
    }

    /// They can be again.
    pub fn unprotect(&self) {
        self.protected.set(false);
    }

    /// The first CPU says that it is this one, the others those after it.
    pub fn shift(&self, cpu: u32) {
        self.shift.set(cpu);
    }

    /// Sets who looks on.
    pub fn watch(&self, watch: Option<Watch>) {
        self.watch.replace(watch);
    }

    /// CPU that is running.
    pub fn current(&self) -> usize {
        self.current.get()
    }

    /// Lets others go on until something is so. Only within `run`.
    pub fn wait_until(&self, mut so: impl FnMut() -> bool) {
        while !so() {
            suspend();
        }
    }

    /// Lets others go on, if there are any.
    pub fn give_way(&self) {
        self.pause();
    }

    /// Loses these lines: who loads from one gets `Poison`. If that is `known`, nothing is stored
    /// to them either, as of those in the kernel's record.
    pub fn lose(&self, lines: BTreeSet<u64>, known: bool) {
        (*self.lost.borrow_mut(), _) = (lines, self.known.replace(known));
    }

    /// The first lost line of a range.
    fn lost_in(&self, at: u64, len: u64) -> Option<u64> {
        let lost = self.lost.borrow();
        if lost.is_empty() {
            return None;
        }
        lost.range(at / LINE..at.saturating_add(len).div_ceil(LINE).max(at / LINE)).next().copied()
    }

    fn loads(&self, at: u64, len: u64) -> Result {
        self.lost_in(at, len).map_or(Ok(()), |line| Err(Error::Poison { at: line * LINE }))
    }

    fn stores(&self, at: u64, len: u64) -> Result {
        if self.known.get() {
            self.loads(at, len)
        } else {
            Ok(())
        }
    }

    /// Whether a CPU waits for this lock.
    pub fn is_wanted(&self, lock: Lock) -> bool {
        self.waiting.borrow().contains(&Some(lock))
    }

    fn pause(&self) {
        self.pause_before(false);
    }

    fn pause_before(&self, fence: bool) {
        self.steps.set(self.steps.get() + 1);
        if self.pauses.get() && generator::is_generator() {
            suspend();
        } else if let Some(mut watch) = self.watch.take() {
            watch(self, fence);
            self.watch.replace(Some(watch));
        }
    }

    fn access(&self) {
        if self.fine.get() {
            self.pause();
        }
    }

    /// Takes a lock, runs, gives it back. Panics if the order of locks forbids it.
    pub fn locked<R>(&self, lock: Lock, f: impl FnOnce() -> R) -> R {
        self.lock(lock);
        let result = f();
        self.unlock(lock);
        result
    }

    pub fn lock(&self, lock: Lock) {
        let cpu = self.current.get();
        let held: Vec<Lock> =
            self.owners.borrow().iter().filter(|(_, owner)| **owner == cpu).map(|(held, _)| *held).collect();
        if let Some(held) = held.iter().find(|held| !lock.may_follow(**held)) {
            panic!("CPU {cpu} takes {lock:?} while it holds {held:?}");
        }
        self.pause();
        while self.owners.borrow().contains_key(&lock) {
            self.waiting.borrow_mut()[cpu] = Some(lock);
            assert!(generator::is_generator(), "{lock:?} is held by nobody who could release it");
            suspend();
        }
        self.waiting.borrow_mut()[cpu] = None;
        self.owners.borrow_mut().insert(lock, cpu);
    }

    /// For tests that hold a lock to stop others at it: runs as if this CPU did not hold `lock`.
    pub fn locked_below<R>(&self, lock: Lock, f: impl FnOnce() -> R) -> R {
        let cpu = self.current.get();
        self.owners.borrow_mut().insert(lock, usize::MAX);
        let result = f();
        self.owners.borrow_mut().insert(lock, cpu);
        result
    }

    /// Whether somebody holds this lock.
    pub fn is_held(&self, lock: Lock) -> bool {
        self.owners.borrow().contains_key(&lock)
    }

    pub fn unlock(&self, lock: Lock) {
        self.owners.borrow_mut().remove(&lock);
        self.pause();
    }

    /// Whether this CPU could go on.
    fn runnable(&self, cpu: usize) -> bool {
        self.waiting.borrow()[cpu].is_none_or(|lock| !self.owners.borrow().contains_key(&lock))
    }

    /// Runs one program per CPU, interleaved, until all have ended. Panics on a deadlock.
    pub fn run(&self, programs: Vec<Program>, policy: Policy, observer: Observer<'_>) {
        let cpu = |program| (Gn::<()>::new_opt(0x4000, start), Some(program));
        let mut cpus: Vec<_> = programs.into_iter().map(|program| Some(cpu(program))).collect();
        let mut scheduler = Scheduler::new(policy, cpus.len(), &mut self.random.borrow_mut());
        self.pauses.set(true);
        loop {
            let alive = |cpu: &usize| cpus[*cpu].is_some();
            if !(0..cpus.len()).any(|cpu| alive(&cpu)) {
                break;
            }
            let runnable: Vec<usize> = (0..cpus.len()).filter(alive).filter(|cpu| self.runnable(*cpu)).collect();
            if runnable.is_empty() {
                let waiting = self.waiting.borrow().clone();
                cpus.into_iter().for_each(std::mem::forget);
                panic!("deadlock: waiting for {waiting:?}, held are {:?}", self.owners.borrow());
            }
            let cpu = scheduler.choose(&runnable, &mut self.random.borrow_mut(), &self.script);
            self.current.set(cpu);
            self.fenced.set(false);
            let ended = cpus[cpu].as_mut().is_none_or(|(cpu, program)| {
                if let Some(program) = program.take() {
                    STARTING.with(|starting| *starting.borrow_mut() = Some(program));
                }
                cpu.resume();
                cpu.is_done()
            });
            if ended {
                cpus[cpu] = None;
            }
            observer(self, self.fenced.get());
            let mut random = self.random.borrow_mut();
            if random.chance(24) {
                self.media.borrow_mut().breathe(&mut random);
            }
        }
        self.pauses.set(false);
        self.current.set(0);
    }

    fn with<R>(&self, f: impl FnOnce(&State) -> R) -> R {
        let state = self.state.borrow();
        f(state.as_ref().expect("prepare() comes first"))
    }

    fn range(&self, at: u64, len: usize) -> Result<usize> {
        let end = at.checked_add(len as u64).filter(|end| *end <= self.media.borrow().len() as u64);
        end.map(|_| at as usize).ok_or(Error::Invalid("past the end of the media"))
    }

    fn bits(&self, at: u64, first: u32, count: u32, f: impl Fn(u64, u64) -> u64) -> Result {
        assert_eq!(at % 8, 0, "bits are relative to a word");
        self.range(at, (first + count).div_ceil(8) as usize)?;
        // A bit is changed by an instruction that loads.
        self.loads(at + u64::from(first / 64) * 8, u64::from((first + count).div_ceil(64) - first / 64) * 8)?;
        let (mut bit, end) = (first, first + count);
        while bit < end {
            let stop = end.min((bit / 64 + 1) * 64);
            let mask = (bit..stop).fold(0u64, |mask, bit| mask | 1 << (bit % 64));
            self.access();
            let word = at as usize / 8 + bit as usize / 64;
            self.media.borrow_mut().change(self.current(), word, |old| f(old, mask));
            bit = stop;
        }
        Ok(())
    }
}

impl Pmem for World {
    fn size(&self) -> u64 {
        self.media.borrow().len() as u64
    }

    fn read_bytes(&self, at: u64, into: &mut [u8]) -> Result {
        let at = self.range(at, into.len())?;
        self.loads(at as u64, into.len() as u64)?;
        self.media.borrow().read(self.current(), at, into);
        Ok(())
    }

    fn first_lost(&self, at: u64, len: u64) -> Option<u64> {
        self.lost_in(at, len).filter(|_| self.known.get()).map(|line| (line * LINE).max(at))
    }
}

impl PmemMut for World {
    fn store(&self, at: u64, bytes: &[u8]) -> Result {
        assert!(!self.protected.get(), "store to protected media");
        let at = self.range(at, bytes.len())?;
        self.stores(at as u64, bytes.len() as u64)?;
        self.access();
        self.media.borrow_mut().store(self.current(), at, bytes);
        Ok(())
    }

    fn store_nt(&self, at: u64, bytes: &[u8]) -> Result {
        assert!(!self.protected.get(), "store to protected media");
        let at = self.range(at, bytes.len())?;
        self.stores(at as u64, bytes.len() as u64)?;
        self.access();
        self.media.borrow_mut().store_nt(self.current(), at, bytes);
        Ok(())
    }

    fn zero(&self, at: u64, len: u64) -> Result {
        self.store(at, &vec![0; len as usize])
    }

    fn zero_nt(&self, at: u64, len: u64) -> Result {
        self.store_nt(at, &vec![0; len as usize])
    }

    fn flush(&self, at: u64, len: u64) {
        self.access();
        self.media.borrow_mut().flush(self.current(), at as usize, len as usize);
    }

    fn fence(&self) {
        self.pause_before(true);
        self.fenced.set(true);
        self.media.borrow_mut().fence(self.current());
    }

    fn set_bits(&self, at: u64, first: u32, count: u32) -> Result {
        self.bits(at, first, count, |old, mask| old | mask)
    }

    fn clear_bits(&self, at: u64, first: u32, count: u32) -> Result {
        self.bits(at, first, count, |old, mask| old & !mask)
    }
}

impl Machine for World {
    fn cpu(&self) -> u32 {
        self.current() as u32 + self.shift.get()
    }

    fn writable(&self) -> bool {
        !self.protected.get()
    }

    fn lane<R>(&self, lane: u32, f: impl FnOnce(&mut Lane) -> R) -> R {
        self.locked(Lock::Lane(lane), || self.with(|state| f(&mut state.lanes[lane as usize].borrow_mut())))
    }

    fn checkpoint<R>(&self, f: impl FnOnce(&mut Checkpoint) -> R) -> R {
        self.locked(Lock::Checkpoint, || self.with(|state| f(&mut state.checkpoint.borrow_mut())))
    }

    fn table<R>(&self, f: impl FnOnce() -> R) -> R {
        self.locked(Lock::Table, f)
    }

    fn gone<R>(&self, f: impl FnOnce(&mut Gone) -> R) -> R {
        self.locked(Lock::Gone, || self.with(|state| f(&mut state.gone.borrow_mut())))
    }

    fn group<R>(&self, group: u32, f: impl FnOnce(GroupMut<'_>) -> R) -> R {
        self.locked(Lock::Group(group), || {
            self.with(|state| {
                let mut group = state.groups[group as usize].borrow_mut();
                let (bits, state) = &mut *group;
                f(GroupMut { bits, state })
            })
        })
    }

    fn limbo<R>(&self, f: impl FnOnce(LimboMut<'_>) -> R) -> R {
        self.locked(Lock::Limbo, || {
            self.with(|state| {
                let mut limbo = state.limbo.borrow_mut();
                let (list, state) = &mut *limbo;
                f(LimboMut { list, state })
            })
        })
    }

    fn inodes<R>(&self, f: impl FnOnce(InodesMut<'_>) -> R) -> R {
        self.locked(Lock::Inodes, || {
            self.with(|state| {
                let mut inodes = state.inodes.borrow_mut();
                let (bits, chunks, state) = &mut *inodes;
                f(InodesMut { bits, chunks, state })
            })
        })
    }

    fn draw(&self) -> u64 {
        self.access();
        self.with(|state| {
            state.drawn.set(state.drawn.get() + 1);
            state.drawn.get()
        })
    }

    fn drawn(&self) -> u64 {
        self.access();
        self.with(|state| state.drawn.get())
    }

    fn set_drawn(&self, seq: u64) {
        self.with(|state| state.drawn.set(seq));
    }

    fn random(&self) -> u64 {
        self.random.borrow_mut().word()
    }
}
