// SPDX-License-Identifier: GPL-2.0

//! pfnfs-crash: cuts the power of workloads in every way, and opens what is left. See `pfnfs_sim::crash`.

use std::fmt::Write as _;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use pfnfs_sim::crash::call::Class;
use pfnfs_sim::crash::plan::{Plan, CHECK, FULL};
use pfnfs_sim::crash::run::{Effort, Failure, Run, Workload};
use pfnfs_sim::crash::shrink;
use pfnfs_sim::crash::tally::Tally;

/// Cuts the power of workloads in every way, on a simulated machine, and opens what is left.
#[derive(Parser)]
struct Arguments {
    /// Go on by chance, with longer workloads, until so many seconds have passed.
    #[arg(long)]
    seconds: Option<u64>,
    /// Seed of everything that is by chance.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Threads; all cores if not given.
    #[arg(long)]
    jobs: Option<usize>,
    /// The larger budgets.
    #[arg(long)]
    full: bool,
    /// Fail with less than so many distinct states.
    #[arg(long, default_value_t = 0)]
    least: u64,
    /// Fail with less than so many distinct states of a class of operations.
    #[arg(long, default_value_t = 0)]
    least_class: u64,
    /// Only sequences whose last operation has this in it.
    #[arg(long)]
    only: Option<String>,
    /// Do this workload, of which the last item is explored or is a cut, and nothing else.
    #[arg(long)]
    replay: Option<String>,
}

fn replay(text: &str) -> ExitCode {
    let workload: Workload = match text.parse() {
        Ok(workload) => workload,
        Err(why) => {
            eprintln!("{why}");
            return ExitCode::from(2);
        }
    };
    let tally = Arc::new(Tally::default());
    let effort = Effort { from: workload.items.len(), budget: FULL.one, keep_one_of: 0 };
    match Run::new(&workload, workload.setup.base(), &tally).go(&effort) {
        Ok(_) => {
            println!("crash states opened: {}, violations: 0", tally.opened.load(Ordering::Relaxed));
            ExitCode::SUCCESS
        }
        Err(failure) => {
            print!("{}: {}", failure.workload, shrink::describe(&failure));
            ExitCode::FAILURE
        }
    }
}

/// One job: takes pieces of work until there are none.
fn job(plan: &Plan, next: &AtomicU64, until: Option<Instant>, tally: &Arc<Tally>, failure: &Mutex<Option<Failure>>) {
    while !tally.stopped() {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= plan.len() && until.is_some_and(|until| Instant::now() > until) {
            return;
        }
        match plan.work(number, tally) {
            None => return,
            Some(Ok(())) => {}
            Some(Err(found)) => {
                tally.stop.store(true, Ordering::Relaxed);
                failure.lock().expect("nobody panics in here").get_or_insert(found);
            }
        }
    }
}

fn table(tally: &Tally) -> String {
    let mut text = String::new();
    for class in Class::ALL {
        let _ = writeln!(text, "  {:<28} {:>9}", class.name(), tally.of(*class));
    }
    text
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // Panics are caught, and reported with the state that they met.
    std::panic::set_hook(Box::new(|_| {}));
    if let Some(text) = &arguments.replay {
        return replay(text);
    }
    let tier = if arguments.full { FULL } else { CHECK };
    let plan = Plan::new(tier, arguments.seed, arguments.seconds.is_some(), arguments.only.as_deref());
    let jobs = arguments.jobs.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    let start = Instant::now();
    let until = arguments.seconds.map(|seconds| start + Duration::from_secs(seconds));
    let (tally, next, failure) = (Arc::new(Tally::default()), AtomicU64::new(0), Mutex::new(None));
    println!("seed {}, {jobs} jobs", arguments.seed);
    let bar = ProgressBar::new(plan.len());
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} workloads, {elapsed}, {msg}");
    bar.set_style(style.expect("the template is right"));
    std::thread::scope(|scope| {
        let work = || job(&plan, &next, until, &tally, &failure);
        let threads: Vec<_> = (0..jobs).map(|_| scope.spawn(work)).collect();
        while threads.iter().any(|thread| !thread.is_finished()) {
            std::thread::sleep(Duration::from_millis(200));
            bar.set_position(next.load(Ordering::Relaxed).min(plan.len()));
            bar.set_message(format!("{} states", tally.total()));
        }
    });
    bar.finish_and_clear();
    finish(&arguments, &tally, failure.into_inner().expect("nobody panics in here"), start)
}

/// The totals.
fn finish(arguments: &Arguments, tally: &Tally, failure: Option<Failure>, start: Instant) -> ExitCode {
    let total = tally.total();
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    println!("distinct states by the operation that the cut met:\n{}", table(tally));
    println!(
        "{} workloads, {} comparisons of live memory, {} further generations, {} openings in {:.0} s",
        count(&tally.workloads),
        count(&tally.live),
        count(&tally.generations),
        count(&tally.opened),
        start.elapsed().as_secs_f32()
    );
    let mut failed = false;
    if let Some(failure) = &failure {
        failed = true;
        println!("violation: {}: {}", failure.workload, failure.why);
        let small = shrink::shrink(failure.clone());
        println!("the least that fails: {}", shrink::describe(&small));
        println!("to see it again: scripts/crash-explore --replay '{}'", small.workload);
    }
    if total < arguments.least {
        failed = true;
        println!("fewer than {} states", arguments.least);
    }
    for class in Class::ALL.iter().filter(|class| tally.of(**class) < arguments.least_class) {
        failed = true;
        println!("fewer than {} states: {}", arguments.least_class, class.name());
    }
    println!("crash states opened: {total}, violations: {}", u8::from(failure.is_some()));
    if failed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}
