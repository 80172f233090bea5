// SPDX-License-Identifier: GPL-2.0
//! Counts what operations cost: guest instructions, fences, lines.
//!
//! Layer: reads a log with cost markers; prints a table. Counted, not timed: the same guest gives the same figures but for the
//! interrupts that fall into an operation, hence medians.

use crate::input::{id, Events};
use crate::plan::is_fence;
use anyhow::{ensure, Result};
use std::collections::HashSet;
use std::path::Path;
use store_log::{Event, Fence, Mark, StoreKind, LINE};

/// The operation that does nothing; its instructions are those of the markers themselves.
const NOTHING: &str = "nothing";

/// Figures of one run of an operation, in the order of [`TITLES`].
type Figures = [u64; 7];
const TITLES: [&str; 7] = ["insns", "fences", "nt lines", "flushed", "dirtied", "locked", "read bytes"];

#[derive(Default)]
struct Running {
    begin: Mark,
    fences: u64,
    nt: HashSet<u64>,
    flushed: HashSet<u64>,
    dirtied: HashSet<u64>,
}

impl Running {
    fn see(&mut self, event: &Event) {
        match event {
            Event::Fence(Fence::Sfence | Fence::Mfence) if is_fence(event) => self.fences += 1,
            Event::Flush { at, .. } => {
                self.flushed.insert(at / LINE);
            }
            Event::Store(s) => {
                let lines = s.at / LINE..=(s.at + u64::from(s.len) - 1) / LINE;
                if s.kind == StoreKind::NonTemporal {
                    self.nt.extend(lines);
                } else {
                    self.dirtied.extend(lines);
                }
            }
            _ => {}
        }
    }

    fn end(&self, end: &Mark) -> Figures {
        [
            end.insns - self.begin.insns,
            self.fences,
            self.nt.len() as u64,
            self.flushed.len() as u64,
            self.dirtied.len() as u64,
            end.locked - self.begin.locked,
            end.loaded - self.begin.loaded,
        ]
    }
}

/// The 16 bytes of a marker's arguments.
fn name(mark: &Mark) -> String {
    let bytes: Vec<u8> = mark.args.iter().flat_map(|a| a.to_le_bytes()).take_while(|b| *b != 0).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// All runs, by operation, in order of appearance.
fn gather(mut events: Events) -> Result<Vec<(String, Vec<Figures>)>> {
    let mut all: Vec<(String, Vec<Figures>)> = Vec::new();
    let mut running: Option<Running> = None;
    while let Some((position, event)) = events.next()? {
        match event {
            Event::Cpu(_) => ensure!(running.is_none(), "event {position}: costs are counted on one vCPU"),
            Event::Mark(mark) if mark.id == id::COST => running = Some(Running { begin: mark, ..Running::default() }),
            Event::Mark(mark) if mark.id == id::COST_END => {
                let Some(run) = running.take() else { continue };
                ensure!(run.begin.args == mark.args, "event {position}: {} ends in {}", name(&run.begin), name(&mark));
                let figures = run.end(&mark);
                let name = name(&mark);
                match all.iter_mut().find(|(known, _)| *known == name) {
                    Some((_, runs)) => runs.push(figures),
                    None => all.push((name, vec![figures])),
                }
            }
            _ => {
                if let Some(run) = &mut running {
                    run.see(&event);
                }
            }
        }
    }
    Ok(all)
}

fn median(runs: &[Figures]) -> Figures {
    let mut out = [0; 7];
    for (column, to) in out.iter_mut().enumerate() {
        let mut values: Vec<u64> = runs.iter().filter_map(|run| run.get(column)).copied().collect();
        values.sort_unstable();
        *to = values.get(values.len() / 2).copied().unwrap_or(0);
    }
    out
}

pub fn run(log: &Path) -> Result<()> {
    let all = gather(Events::open(log)?)?;
    ensure!(!all.is_empty(), "the log has no cost markers");
    let overhead = all.iter().find(|(name, _)| name == NOTHING).map_or([0; 7], |(_, runs)| median(runs));
    print!("{:<18}{:>6}", "operation", "runs");
    TITLES.iter().for_each(|title| print!("{title:>12}"));
    println!();
    for (name, runs) in all.iter().filter(|(name, _)| name != NOTHING) {
        print!("{name:<18}{:>6}", runs.len());
        for (value, base) in median(runs).iter().zip(overhead) {
            print!("{:>12}", value.saturating_sub(base));
        }
        println!();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use store_log::Store;

    #[test]
    fn lines_are_counted_once_each() {
        let store = |kind, at| Event::Store(Store { kind, at, len: 8, bytes: [0; 16] });
        let mut run = Running::default();
        for event in [
            store(StoreKind::NonTemporal, 0),
            store(StoreKind::NonTemporal, 8),
            store(StoreKind::NonTemporal, 60),
            store(StoreKind::Plain, 128),
            store(StoreKind::Locked, 192),
            Event::Flush { kind: store_log::Flush::Clwb, at: 128 },
            Event::Fence(Fence::Sfence),
            Event::Fence(Fence::Locked),
        ] {
            run.see(&event);
        }
        let end = Mark { insns: 10, locked: 2, loaded: 8, ..Mark::default() };
        assert_eq!(run.end(&end), [10, 1, 2, 1, 2, 2, 8]);
    }

    #[test]
    fn the_median_ignores_a_run_with_an_interrupt() {
        let run = |n| [n, 1, 0, 0, 0, 0, 0];
        assert_eq!(median(&[run(100), run(90_000), run(101)])[0], 101);
        assert_eq!(median(&[]), [0; 7]);
    }

    #[test]
    fn names_are_packed_in_the_arguments() {
        let word = |text: &[u8; 8]| u64::from_le_bytes(*text);
        let mark = Mark { args: [word(b"append 4"), word(b"K\0\0\0\0\0\0\0")], ..Mark::default() };
        assert_eq!(name(&mark), "append 4K");
    }
}
