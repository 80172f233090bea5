// SPDX-License-Identifier: GPL-2.0
//! Where to cut.
//!
//! Layer: positions in a log; reads events, builds nothing.
//!
//! A cut at position p happens after p events. Interesting are the returns of steps (what was promised must be there), the moment before each
//! fence (most is open) and the stores between.

use crate::input::{id, Events};
use anyhow::Result;
use store_log::{Event, Fence, Rest};

/// One point of a log.
#[derive(clap::Args, Clone, Copy)]
#[group(required = true, multiple = false)]
pub struct Point {
    /// Cut after so many events
    #[arg(long)]
    position: Option<u64>,
    /// Cut just before the fence of this number (from 0; sfence and mfence)
    #[arg(long)]
    fence: Option<u64>,
    /// Cut at the marker of this number (from 0)
    #[arg(long)]
    mark: Option<u64>,
}

/// Finds [`Point`]s while events pass by.
pub struct Finder {
    point: Point,
    fences: u64,
    marks: u64,
}

impl Finder {
    pub fn new(point: Point) -> Self {
        Finder { point, fences: 0, marks: 0 }
    }

    /// True if the cut comes before `event`.
    pub fn here(&mut self, position: u64, event: &Event) -> bool {
        let found = self.point.position == Some(position)
            || (is_fence(event) && self.point.fence == Some(self.fences))
            || (matches!(event, Event::Mark(_)) && self.point.mark == Some(self.marks));
        self.fences += u64::from(is_fence(event));
        self.marks += u64::from(matches!(event, Event::Mark(_)));
        found
    }
}

pub fn parse_rest(text: &str) -> Result<Rest, String> {
    match text {
        "dropped" => Ok(Rest::Dropped),
        "kept" => Ok(Rest::Kept),
        seed => seed.parse().map(Rest::Seeded).map_err(|_| "dropped, kept or a number".into()),
    }
}

pub fn is_fence(event: &Event) -> bool {
    matches!(event, Event::Fence(Fence::Sfence | Fence::Mfence))
}

/// One cut to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    pub position: u64,
    pub rest: Rest,
    /// Why here, for the list.
    pub why: &'static str,
    /// Steps that have returned.
    pub done: u64,
    /// Steps that have begun: `done`, or one more.
    pub begun: u64,
}

/// Where a cut could be made.
#[derive(Default)]
struct Candidates {
    returns: Vec<Cut>,
    fences: Vec<Cut>,
    stores: Vec<Cut>,
}

fn gather(mut events: Events) -> Result<Candidates> {
    let mut all = Candidates::default();
    let (mut done, mut begun) = (0, 0);
    while let Some((position, event)) = events.next()? {
        let cut = |why, done, begun| Cut { position, rest: Rest::Dropped, why, done, begun };
        match event {
            Event::Mark(mark) if mark.id == id::BEGIN => begun = mark.args[0],
            Event::Mark(mark) if mark.id == id::RETURN => {
                done = mark.args[0];
                all.returns.push(cut("return", done, begun));
            }
            _ if begun == 0 => {}
            _ if is_fence(&event) => all.fences.push(cut("fence", done, begun)),
            Event::Store(_) => all.stores.push(cut("store", done, begun)),
            _ => {}
        }
    }
    // What comes after the last return is no step's.
    let last = all.returns.last().map_or(0, |cut| cut.position);
    all.fences.retain(|cut| cut.position < last);
    all.stores.retain(|cut| cut.position < last);
    Ok(all)
}

/// Chooses `count` cuts: of the returns, the fences and the stores a third each, spread evenly with a seeded offset; at each, what is
/// not safe is dropped, chosen by seed, or (rarely) kept.
pub fn choose(events: Events, count: usize, seed: u64) -> Result<Vec<Cut>> {
    let all = gather(events)?;
    let mut cuts = Vec::new();
    let third = count.div_ceil(3);
    for (n, kind) in [&all.returns, &all.fences, &all.stores].into_iter().enumerate() {
        let wanted = if n == 2 { count - cuts.len() } else { third.min(count - cuts.len()) };
        cuts.extend(spread(kind, wanted, seed.wrapping_add(n as u64 * 0x1_0000_0001)));
    }
    cuts.sort_by_key(|cut| cut.position);
    Ok(cuts)
}

fn spread(kind: &[Cut], wanted: usize, seed: u64) -> Vec<Cut> {
    let mut chosen = Vec::new();
    if kind.is_empty() {
        return chosen;
    }
    for n in 0..wanted {
        // Evenly, each within its own share, moved by the seed. More wanted than there are: again with other rests.
        let dice = mix(seed.wrapping_mul(1_000_003).wrapping_add(n as u64));
        let start = n * kind.len() / wanted;
        let share = ((n + 1) * kind.len() / wanted).max(start + 1) - start;
        let Some(cut) = kind.get(start + (dice as usize % share)) else {
            continue;
        };
        let rest = match n % 8 {
            0 | 2 | 4 | 6 => Rest::Dropped,
            7 if n % 16 == 7 => Rest::Kept,
            _ => Rest::Seeded(dice),
        };
        chosen.push(Cut { rest, ..*cut });
    }
    chosen
}

pub fn mix(n: u64) -> u64 {
    let mut z = n.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(n: u64) -> Vec<Cut> {
        (0..n).map(|position| Cut { position, rest: Rest::Dropped, why: "fence", done: 0, begun: 1 }).collect()
    }

    #[test]
    fn cuts_are_spread_over_the_whole_log() {
        let chosen = spread(&list(1000), 10, 7);
        assert_eq!(chosen.len(), 10);
        for (n, cut) in chosen.iter().enumerate() {
            assert!((n as u64 * 100..(n as u64 + 1) * 100).contains(&cut.position));
        }
        assert_ne!(chosen, spread(&list(1000), 10, 8), "the seed moves them");
        assert_eq!(chosen, spread(&list(1000), 10, 7));
    }

    #[test]
    fn more_wanted_than_there_are_gives_the_same_points_again() {
        let chosen = spread(&list(3), 16, 1);
        assert_eq!(chosen.len(), 16);
        assert!(chosen.iter().any(|c| c.rest == Rest::Kept));
        assert!(chosen.iter().any(|c| matches!(c.rest, Rest::Seeded(_))));
        assert!(spread(&[], 4, 1).is_empty());
    }
}
