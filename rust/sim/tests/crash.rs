// SPDX-License-Identifier: GPL-2.0

//! The crash explorer, a part of what `scripts/crash-explore` does: for the mutants of the operations, and so that what it found
//! once stays found.

use std::sync::Arc;

use pfnfs_sim::crash::plan::{Plan, CHECK, QUICK};
use pfnfs_sim::crash::run::{Effort, Failure, Run, Workload};
use pfnfs_sim::crash::shrink;
use pfnfs_sim::crash::tally::Tally;

fn fail(failure: &Failure) -> ! {
    panic!("{}: {}", failure.workload, shrink::describe(failure))
}

/// Workloads that ended badly once: the last item of each is explored, or is the cut.
const ONCE: &[&str] =
    &["small 1: tmpfile; link @ /w", "brim 1: symlink /t - 300; unlinkopen /f; write @ - 5000 300; close"];

#[test]
fn what_failed_once_does_not_again() {
    for text in ONCE {
        let workload: Workload = text.parse().unwrap();
        assert_eq!(workload.to_string().parse::<Workload>().unwrap().items, workload.items, "printed and read again");
        let effort = Effort { from: workload.items.len(), budget: CHECK.two, keep_one_of: 0 };
        if let Err(failure) = Run::new(&workload, workload.setup.base(), &Arc::default()).go(&effort) {
            fail(&failure);
        }
    }
}

/// The operations that PFNFS_CRASH names, or some.
#[test]
fn a_part_of_the_plan() {
    let only = std::env::var("PFNFS_CRASH").unwrap_or_default();
    let plan = Plan::new(QUICK, 1, false, Some(if only.is_empty() { "rename /f /r" } else { &only }));
    let tally = Arc::new(Tally::default());
    for number in 0..plan.len().min(if only.is_empty() { 12 } else { 1200 }) {
        if let Some(Err(failure)) = plan.work(number, &tally) {
            fail(&failure);
        }
    }
    assert!(tally.total() > 1000, "{} states", tally.total());
}
