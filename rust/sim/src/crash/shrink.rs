// SPDX-License-Identifier: GPL-2.0

//! Makes a failure small: fewer calls, then fewer words lost.

use std::sync::Arc;

use super::judge::Violation;
use super::run::{Effort, Failure, Item, Run, Workload};
use super::states::Budget;
use super::tally::Tally;

/// Enough to find again what was found, with fewer calls before it.
const BUDGET: Budget = Budget { all: 4096, words: 4096, pairs: 4000, random: 2000 };

/// Runs a workload of which the last call, or mount, is explored.
fn explore(workload: &Workload) -> Option<Failure> {
    let effort = Effort { from: workload.items.len(), budget: BUDGET, keep_one_of: 0 };
    Run::new(workload, workload.setup.base(), &Arc::new(Tally::default())).go(&effort).err()
}

/// Runs a workload up to a cut, and judges only what that leaves.
fn pick(workload: &Workload, snapshot: usize, words: &[(usize, u16)]) -> bool {
    let mut workload = workload.clone();
    workload.items.push(Item::Cut(snapshot, words.to_vec()));
    let effort = Effort { from: usize::MAX, budget: BUDGET, keep_one_of: 0 };
    let outcome = Run::new(&workload, workload.setup.base(), &Arc::new(Tally::default())).go(&effort);
    outcome.is_err_and(|failure| failure.violation.is_some())
}

/// Words of a violation that are not what was stored last.
fn lost(violation: &Violation) -> Vec<(usize, u16)> {
    let lost = violation.choice.iter().filter(|(_, value, values)| value + 1 < *values);
    lost.map(|(word, value, _)| (*word, *value)).collect()
}

/// The same failure with as few calls, and then as few words lost, as leaving them out one by one leads to.
pub fn shrink(failure: Failure) -> Failure {
    let mut failure = failure;
    failure.workload = own_part(&failure).unwrap_or(failure.workload);
    let mut index = failure.workload.items.len();
    while index > 0 {
        index -= 1;
        let mut smaller = failure.workload.clone();
        if index + 1 < smaller.items.len() || failure.violation.is_none() {
            smaller.items.remove(index);
            if let Some(found) = explore(&smaller) {
                failure = found;
                index = index.min(failure.workload.items.len());
            }
        }
    }
    if let Some(violation) = &mut failure.violation {
        let mut words = lost(violation);
        let mut index = words.len();
        while index > 0 {
            index -= 1;
            let word = words.remove(index);
            if !pick(&failure.workload, violation.snapshot, &words) {
                words.insert(index, word);
            }
        }
        let snapshot = violation.snapshot;
        for (word, value, values) in &mut violation.choice {
            *value = words.iter().find(|lost| lost.0 == *word).map_or(*values - 1, |lost| lost.1);
        }
        failure.workload.items.push(Item::Cut(snapshot, words));
    }
    failure
}

/// What comes after the last cut, if that fails without it.
fn own_part(failure: &Failure) -> Option<Workload> {
    let last = failure.workload.items.iter().rposition(|item| matches!(item, Item::Cut(..)))?;
    let mut workload = failure.workload.clone();
    workload.items.drain(..=last);
    explore(&workload).map(|failure| failure.workload)
}

/// The words that a failure lost, for people: where they lie, what is durable, what was stored.
pub fn describe(failure: &Failure) -> String {
    let mut text = format!("{}\n", failure.why);
    let Some(violation) = &failure.violation else { return text };
    let geometry = &failure.workload.setup.base().geometry;
    let area = |word: usize| {
        let at = word as u64 * 8;
        let block = at / 4096;
        match block {
            0 => "superblock",
            1 => "slots",
            2 => "table inode",
            _ if at < geometry.half_at(geometry.lanes(), 0) => "log",
            _ if block >= geometry.bitmap_start() && block < geometry.data().start => "bitmap",
            _ => "data area",
        }
    };
    for (word, value, values) in violation.choice.iter().filter(|(_, value, values)| value + 1 < *values) {
        let kept =
            if *value == 0 { "all lost".into() } else { format!("store {value} of {} was the last", values - 1) };
        text += &format!("  word at {:#x} ({}): {kept}\n", word * 8, area(*word));
    }
    text
}
