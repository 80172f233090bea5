// SPDX-License-Identifier: GPL-2.0

//! Threads that try images, and what they have in common.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::panic::{catch_unwind, AssertUnwindSafe, PanicHookInfo};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use pfnfs_sim::fuzz::arena::Arena;
use pfnfs_sim::fuzz::base::Base;
use pfnfs_sim::fuzz::case::Case;
use pfnfs_sim::fuzz::exercise::Outcome;
use pfnfs_sim::fuzz::tally::Tally;

/// Why things were refused as damaged.
pub type Reasons = BTreeSet<&'static str>;

/// Images that a thread takes at once.
const BATCH: u64 = 200;
/// Seconds with one image after which its number is said: a loop that never accesses the media is not bounded otherwise.
const PATIENCE: u64 = 60;
/// Failures after which an endless run ends: enough to look at.
const FAILURES: u64 = 20;

thread_local! {
    /// What the last panic said.
    static PANIC: RefCell<String> = const { RefCell::new(String::new()) };
}

/// The panic hook: keeps the words, prints nothing.
pub fn remember(info: &PanicHookInfo<'_>) {
    PANIC.with(|panic| *panic.borrow_mut() = info.to_string().replace('\n', " "));
}

/// Does a case in an arena of its base: what came of it, or what is wrong; a panic is.
fn run_in(case: &Case, arena: &Arena, base: &Base) -> Result<Outcome, String> {
    catch_unwind(AssertUnwindSafe(|| case.run(arena, base))).unwrap_or_else(|_| Err(PANIC.with(RefCell::take)))
}

/// The same in an arena of its own.
pub fn run(case: &Case, bases: &[Base]) -> Result<Outcome, String> {
    let base = case.base(bases).map_err(|error| error.to_string())?;
    run_in(case, &Arena::new(base.image.clone()), base)
}

/// What the threads add to.
pub struct Totals {
    next: AtomicU64,
    failures: AtomicU64,
    known: Mutex<Reasons>,
    tally: Mutex<Tally>,
    bar: ProgressBar,
    /// By thread: the image it is at, [`DONE`] behind the last.
    at: Vec<AtomicU64>,
}

const DONE: u64 = u64::MAX;

impl Totals {
    /// Nothing yet, but for the reasons that the corpus knows.
    pub fn new(known: Reasons, bar: ProgressBar, threads: usize) -> Self {
        let (next, failures) = (AtomicU64::new(0), AtomicU64::new(0));
        let at = (0..threads).map(|_| AtomicU64::new(0)).collect();
        Self { next, failures, known: Mutex::new(known), tally: Mutex::default(), bar, at }
    }

    /// Says which images take long, until all threads are done.
    pub fn watch(&self) {
        let mut since = vec![(0, Instant::now()); self.at.len()];
        while since.iter().any(|(image, _)| *image != DONE) {
            std::thread::sleep(Duration::from_millis(100));
            for ((image, begin), at) in since.iter_mut().zip(&self.at) {
                let now = at.load(Ordering::Relaxed);
                if now != *image {
                    (*image, *begin) = (now, Instant::now());
                } else if now != DONE && begin.elapsed().as_secs() >= PATIENCE {
                    self.bar.suspend(|| println!("image {now} takes more than {PATIENCE} s"));
                    *begin = Instant::now();
                }
            }
        }
    }

    /// What came of it all, and the number of failures.
    pub fn finish(self) -> (Tally, u64) {
        self.bar.finish_and_clear();
        (self.tally.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner), self.failures.into_inner())
    }
}

/// Where a thread is; done when it is dropped, however that comes.
struct At<'a>(&'a AtomicU64);

impl Drop for At<'_> {
    fn drop(&mut self) {
        self.0.store(DONE, Ordering::Relaxed);
    }
}

/// What there is to do.
pub struct Job<'a> {
    pub bases: &'a [Base],
    pub seed: u64,
    pub images: u64,
    pub corpus: &'a Path,
    pub collect: bool,
    pub totals: &'a Totals,
}

impl Job<'_> {
    /// Takes images until there are no more, as thread `thread`.
    pub fn work(&self, thread: usize) {
        let at = At(&self.totals.at[thread]);
        self.batches(at.0);
    }

    fn batches(&self, at: &AtomicU64) {
        let arenas: Vec<Arena> = self.bases.iter().map(|base| Arena::new(base.image.clone())).collect();
        loop {
            let first = self.totals.next.fetch_add(BATCH, Ordering::Relaxed);
            let last = if self.images == 0 { first + BATCH } else { self.images.min(first + BATCH) };
            if first >= last || self.totals.failures.load(Ordering::Relaxed) >= FAILURES {
                return;
            }
            let mut tally = Tally::default();
            for image in first..last {
                at.store(image, Ordering::Relaxed);
                self.image(image, &arenas, &mut tally);
            }
            let mut all = self.totals.tally.lock().expect("no panic under this lock");
            all.join(tally);
            let failures = self.totals.failures.load(Ordering::Relaxed);
            self.totals.bar.set_message(format!(
                "{} reasons, failures: {failures}, seed {}",
                all.reasons.len(),
                self.seed
            ));
            self.totals.bar.inc(last - first);
        }
    }

    fn image(&self, image: u64, arenas: &[Arena], tally: &mut Tally) {
        let case = Case::of_seed(self.bases, self.seed, image);
        let Some(index) = self.bases.iter().position(|base| base.name == case.base) else { return };
        let (base, arena) = (&self.bases[index], &arenas[index]);
        match run_in(&case, arena, base) {
            Ok(outcome) => {
                tally.add(base, &case.mutations, &outcome);
                if self.collect {
                    self.keep_new(&case, &outcome);
                }
            }
            Err(why) => {
                tally.images += 1;
                self.fail(image, &case, &why);
            }
        }
    }

    fn fail(&self, image: u64, case: &Case, why: &str) {
        self.totals.failures.fetch_add(1, Ordering::Relaxed);
        let mut short = case.shortened(|case| run(case, self.bases).is_err());
        short.note = why.chars().take(300).collect();
        let path = self.corpus.join(format!("failure-{}-{image}", self.seed));
        let kept = std::fs::write(&path, short.to_string());
        self.totals.bar.suspend(|| {
            println!("image {image} of seed {}: {why}\n{short}", self.seed);
            match kept {
                Ok(()) => println!("again: scripts/fuzz replay {}", path.display()),
                Err(error) => println!("again: scripts/fuzz replay --seed {} --image {image} ({error})", self.seed),
            }
        });
    }

    /// Keeps a case for each reason that is new.
    fn keep_new(&self, case: &Case, outcome: &Outcome) {
        for reason in &outcome.reasons {
            if !self.totals.known.lock().expect("no panic under this lock").insert(*reason) {
                continue;
            }
            let gives = |case: &Case| run(case, self.bases).is_ok_and(|outcome| outcome.reasons.contains(reason));
            let mut short = case.shortened(gives);
            short.note = (*reason).into();
            short.depth = run(&short, self.bases).ok().map(|outcome| outcome.depth);
            let name = reason.replace(|letter: char| !letter.is_ascii_alphanumeric(), "-");
            if let Err(error) = std::fs::write(self.corpus.join(&name), short.to_string()) {
                self.totals.bar.println(format!("{name}: {error}"));
            }
        }
    }
}
