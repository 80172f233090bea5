// SPDX-License-Identifier: GPL-2.0

//! The states that a power cut may leave: for every word in flight one of the values that it may have.

use crate::media::Risk;
use crate::random::Random;

/// How many states are tried where not all can be.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// All of them, if they are at most so many.
    pub all: usize,
    /// Else what is lost or kept alone, or first or last, is at most this many of the words.
    pub words: usize,
    /// And this many pairs of words that alone are lost, or alone are kept; all pairs, if they are at most so many.
    pub pairs: usize,
    /// And this many by chance.
    pub random: usize,
}

/// Calls `each` with choices of a value for each word, until it says that it has enough. With too many words for all: nothing
/// kept, everything; each word, or so many by chance, with each of its values, the others all lost or all kept; the lines of
/// these words lost, or alone kept; what lies before or behind them lost; pairs of words lost, or alone kept; and some by
/// chance.
pub fn choices(risks: &[Risk], budget: &Budget, random: &mut Random, each: &mut dyn FnMut(&[u16]) -> bool) {
    let product = risks.iter().try_fold(1usize, |product, risk| product.checked_mul(risk.values.len()));
    if product.is_some_and(|product| product <= budget.all) {
        every(risks, each);
    } else {
        let (none, all) = (vec![0; risks.len()], risks.iter().map(last).collect::<Vec<u16>>());
        let _ = few(risks, &none, &all, &some(risks.len(), budget.words, random), each)
            && pairs(&none, &all, budget.pairs, random, each)
            && by_chance(risks, budget.random, random, each);
    }
}

fn last(risk: &Risk) -> u16 {
    (risk.values.len() - 1) as u16
}

fn every(risks: &[Risk], each: &mut dyn FnMut(&[u16]) -> bool) {
    let mut choice = vec![0; risks.len()];
    loop {
        if !each(&choice) {
            return;
        }
        let Some(next) = (0..risks.len()).find(|index| choice[*index] < last(&risks[*index])) else { return };
        choice[..next].fill(0);
        choice[next] += 1;
    }
}

/// So many of the words, or all of them if there are no more, in ascending order.
fn some(count: usize, budget: usize, random: &mut Random) -> Vec<usize> {
    let mut wanted = budget.min(count);
    let chosen = |index: &usize| {
        let chosen = random.below(count - index) < wanted;
        wanted -= usize::from(chosen);
        chosen
    };
    (0..count).filter(chosen).collect()
}

/// Nothing, everything, these words alone, their lines, those up to them and from them on.
fn few(risks: &[Risk], none: &[u16], all: &[u16], words: &[usize], each: &mut dyn FnMut(&[u16]) -> bool) -> bool {
    let mut go = each(none) && each(all);
    let mut choice = none.to_vec();
    for base in [none, all] {
        choice.copy_from_slice(base);
        for &index in words {
            for value in (0..=last(&risks[index])).filter(|value| *value != base[index]) {
                choice[index] = value;
                go = go && each(&choice);
            }
            choice[index] = base[index];
        }
    }
    for (from, to) in [(none, all), (all, none)] {
        let line = |index: &usize| risks[*index].word / 8;
        for chosen in words.chunk_by(|one, two| line(one) == line(two)) {
            choice.copy_from_slice(from);
            let whole = (0..risks.len()).filter(|index| line(index) == line(&chosen[0]));
            whole.for_each(|index| choice[index] = to[index]);
            go = go && each(&choice);
        }
        choice.copy_from_slice(from);
        let mut next = 0;
        for &index in words {
            choice[next..=index].copy_from_slice(&to[next..=index]);
            next = index + 1;
            go = go && each(&choice);
        }
    }
    go
}

/// Pairs of words that alone are kept, and that alone are lost.
fn pairs(none: &[u16], all: &[u16], budget: usize, random: &mut Random, each: &mut dyn FnMut(&[u16]) -> bool) -> bool {
    let count = none.len();
    let mut choice = none.to_vec();
    let mut pair = |(from, to): (&[u16], &[u16]), one: usize, two: usize| {
        choice.copy_from_slice(from);
        (choice[one], choice[two]) = (to[one], to[two]);
        each(&choice)
    };
    let ways = [(none, all), (all, none)];
    if count * count.saturating_sub(1) <= budget {
        return ways.iter().all(|way| (0..count).all(|one| (0..one).all(|two| pair(*way, one, two))));
    }
    (0..budget).all(|_| {
        let one = random.below(count);
        pair(ways[random.below(2)], one, (one + 1 + random.below(count - 1)) % count)
    })
}

fn by_chance(risks: &[Risk], budget: usize, random: &mut Random, each: &mut dyn FnMut(&[u16]) -> bool) -> bool {
    let mut choice = vec![0; risks.len()];
    (0..budget).all(|_| {
        let lost = [128, 32, 224][random.below(3)];
        for (choice, risk) in choice.iter_mut().zip(risks) {
            *choice = if random.chance(lost) { random.below(risk.values.len()) as u16 } else { last(risk) };
        }
        each(&choice)
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn tried(values: &[usize], budget: Budget) -> BTreeSet<Vec<u16>> {
        let risks: Vec<Risk> = (values.iter().enumerate())
            .map(|(word, values)| Risk { word: word * 3, values: (0..*values as u64).collect() })
            .collect();
        let mut tried = BTreeSet::new();
        choices(&risks, &budget, &mut Random::new(1), &mut |choice| {
            tried.insert(choice.to_vec());
            true
        });
        tried
    }

    #[test]
    fn few_words_are_tried_in_all_ways() {
        assert_eq!(tried(&[2, 3, 2], Budget { all: 12, words: 0, pairs: 0, random: 0 }).len(), 12);
        assert_eq!(tried(&[], Budget { all: 12, words: 0, pairs: 0, random: 0 }).len(), 1);
    }

    #[test]
    fn of_many_words_all_singles_and_pairs_are_tried() {
        let tried = tried(&[2; 20], Budget { all: 1024, words: 20, pairs: 380, random: 0 });
        let with = |kept: usize| {
            tried.iter().filter(|choice| choice.iter().filter(|value| **value == 1).count() == kept).count()
        };
        assert_eq!((with(0), with(1), with(2)), (1, 20, 190));
        assert_eq!((with(20), with(19), with(18)), (1, 20, 190));
    }

    #[test]
    fn of_very_many_words_some_are_tried() {
        let tried = tried(&[2; 200], Budget { all: 1024, words: 10, pairs: 0, random: 0 });
        let with = |kept: usize| {
            tried.iter().filter(|choice| choice.iter().filter(|value| **value == 1).count() == kept).count()
        };
        assert_eq!((with(0), with(1), with(199), with(200)), (1, 10, 10, 1));
        assert!((40..=62).contains(&tried.len()));
    }
}
