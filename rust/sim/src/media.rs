// SPDX-License-Identifier: GPL-2.0

//! Persistent memory as the hardware promises it, and no better.
//!
//! Per 8-byte word: the value everybody sees, the value that certainly survives, and those in between, any of which a power
//! cut may leave, as a cache line can be evicted at any time. A non-temporal store waits in its CPU's buffer, unseen by other
//! CPUs, and reaches the memory at any time, at the latest at that CPU's fence. A write-back covers what was stored to the
//! line before it, and is complete after the fence of the CPU that began it.

use std::collections::BTreeMap;

use crate::image::Image;
use crate::random::Random;

/// What a store under way carries: word, bytes of it, their value.
type Part = (usize, u64, u64);

/// Stores that a CPU has not fenced.
#[derive(Default)]
struct Buffers {
    /// Non-temporal stores in program order.
    stores: Vec<Part>,
    /// Write-backs begun: word, and the stamp up to which they cover its stores.
    flushes: Vec<(usize, u64)>,
}

/// The memory.
pub struct Media {
    live: Image,
    durable: Image,
    /// Stores to words since their durable values: stamp and value, never none.
    since: BTreeMap<usize, Vec<(u64, u64)>>,
    cpus: Vec<Buffers>,
    stamp: u64,
}

/// A word that a power cut may leave with one of several values: first the one that certainly survives, last the one with all
/// that was stored.
#[derive(Clone, Debug)]
pub struct Risk {
    pub word: usize,
    pub values: Vec<u64>,
}

/// What a power cut takes.
#[derive(Clone, Copy, Debug)]
pub enum Cut {
    /// Everything that was not durable.
    All,
    /// Nothing.
    Nothing,
    /// For each store under way by chance, so many of 256.
    Some(u8),
    /// Of each CPU's non-temporal stores the earlier ones, or the later ones; of the rest by chance.
    Part,
}

impl Media {
    /// Memory that has been off, with this content.
    pub fn new(words: impl Into<Image>, cpus: usize) -> Self {
        let words = words.into();
        let cpus = (0..cpus).map(|_| Buffers::default()).collect();
        Self { live: words.clone(), durable: words, since: BTreeMap::new(), cpus, stamp: 0 }
    }

    pub fn len(&self) -> usize {
        self.live.len() * 8
    }

    pub fn is_empty(&self) -> bool {
        self.live.is_empty()
    }

    /// What everybody sees; stores in the buffers of CPUs are not in it.
    pub fn live(&self) -> Vec<u64> {
        self.live.to_vec()
    }

    /// Non-temporal stores and write-backs that no CPU has fenced.
    pub fn pending(&self) -> usize {
        self.cpus.iter().map(|cpu| cpu.stores.len() + cpu.flushes.len()).sum()
    }

    pub fn read(&self, cpu: usize, at: usize, into: &mut [u8]) {
        self.live.read(at, into);
        // A CPU sees its own buffered stores.
        let words = at / 8..(at + into.len()).div_ceil(8);
        for (word, mask, bits) in self.cpus[cpu].stores.iter().filter(|part| words.contains(&part.0)) {
            let own = (0..8).filter(|byte| mask >> (byte * 8) & 0xff != 0);
            for byte in own {
                let place = (word * 8 + byte).checked_sub(at).and_then(|index| into.get_mut(index));
                if let Some(place) = place {
                    *place = (bits >> (byte * 8)) as u8;
                }
            }
        }
    }

    fn see(&mut self, word: usize, value: u64) {
        self.stamp += 1;
        self.live.set(word, value);
        self.since.entry(word).or_default().push((self.stamp, value));
    }

    /// Ordinary store.
    pub fn store(&mut self, cpu: usize, at: usize, bytes: &[u8]) {
        for (word, mask, value) in parts(at, bytes) {
            self.change(cpu, word, |old| old & !mask | value);
        }
    }

    /// Atomic change of a word.
    pub fn change(&mut self, cpu: usize, word: usize, f: impl FnOnce(u64) -> u64) {
        if self.cpus[cpu].stores.iter().any(|part| part.0 == word) {
            self.drain(cpu, |part| part.0 == word);
        }
        self.see(word, f(self.live.get(word)));
    }

    /// Non-temporal store.
    pub fn store_nt(&mut self, cpu: usize, at: usize, bytes: &[u8]) {
        self.cpus[cpu].stores.extend(parts(at, bytes));
    }

    fn drain(&mut self, cpu: usize, which: impl Fn(&Part) -> bool) {
        let stores = std::mem::take(&mut self.cpus[cpu].stores);
        for part in stores {
            if which(&part) {
                self.land(part);
            } else {
                self.cpus[cpu].stores.push(part);
            }
        }
    }

    /// A non-temporal store reaches the memory, behind whatever the caches held.
    fn land(&mut self, (word, mask, value): Part) {
        let value = self.live.get(word) & !mask | value;
        self.live.set(word, value);
        self.durable.set(word, value);
        self.since.remove(&word);
    }

    /// Something that happens by itself: a buffered store reaches the memory.
    pub fn breathe(&mut self, random: &mut Random) {
        let cpu = random.below(self.cpus.len());
        if let Some(part) = self.cpus[cpu].stores.first().copied() {
            self.drain(cpu, |other| other.0 == part.0);
        }
    }

    pub fn flush(&mut self, cpu: usize, at: usize, len: usize) {
        if len == 0 {
            return;
        }
        for word in at / 64 * 8..(at + len).div_ceil(64) * 8 {
            if let Some((stamp, _)) = self.since.get(&word).and_then(|since| since.last()) {
                self.cpus[cpu].flushes.push((word, *stamp));
            }
        }
    }

    pub fn fence(&mut self, cpu: usize) {
        self.drain(cpu, |_| true);
        for (word, stamp) in std::mem::take(&mut self.cpus[cpu].flushes) {
            let Some(since) = self.since.get_mut(&word) else { continue };
            let covered = since.iter().take_while(|store| store.0 <= stamp).count();
            if let Some((_, value)) = since.drain(..covered).next_back() {
                self.durable.set(word, value);
            }
            if since.is_empty() {
                self.since.remove(&word);
            }
        }
    }

    /// Stores that a cut could take.
    pub fn at_risk(&self) -> usize {
        self.since.len() + self.cpus.iter().map(|cpu| cpu.stores.len()).sum::<usize>()
    }

    /// What certainly survives.
    pub fn durable(&self) -> &Image {
        &self.durable
    }

    /// The words that a power cut now may leave in several ways, each for itself.
    pub fn risks(&self) -> Vec<Risk> {
        let mut words: BTreeMap<usize, Vec<u64>> = BTreeMap::new();
        for (word, since) in &self.since {
            words
                .entry(*word)
                .or_insert_with(|| vec![self.durable.get(*word)])
                .extend(since.iter().map(|store| store.1));
        }
        for (word, mask, bits) in self.cpus.iter().flat_map(|cpu| &cpu.stores) {
            let values = words.entry(*word).or_insert_with(|| vec![self.durable.get(*word)]);
            let with: Vec<u64> = values.iter().map(|value| value & !mask | bits).collect();
            values.extend(with);
        }
        let risk = |(word, values): (usize, Vec<u64>)| {
            let mut distinct: Vec<u64> = Vec::with_capacity(values.len());
            for value in values.iter().rev() {
                if !distinct.contains(value) {
                    distinct.push(*value);
                }
            }
            distinct.retain(|value| *value != self.durable.get(word));
            distinct.push(self.durable.get(word));
            distinct.reverse();
            Risk { word, values: distinct }
        };
        words.into_iter().map(risk).filter(|risk| risk.values.len() > 1).collect()
    }

    /// What a power cut now leaves.
    pub fn cut(&self, cut: Cut, random: &mut Random) -> Vec<u64> {
        let mut image = self.durable.to_vec();
        for (word, since) in &self.since {
            let kept = match cut {
                Cut::All => 0,
                Cut::Nothing => since.len(),
                Cut::Some(part) if random.chance(part) => 0,
                Cut::Part if random.chance(128) => 0,
                Cut::Some(_) | Cut::Part => 1 + random.below(since.len()),
            };
            if let Some(last) = kept.checked_sub(1) {
                image[*word] = since[last].1;
            }
        }
        for cpu in &self.cpus {
            let (border, earlier) = (random.below(cpu.stores.len() + 1), random.chance(192));
            for (index, (word, mask, value)) in cpu.stores.iter().enumerate() {
                let lost = match cut {
                    Cut::All => true,
                    Cut::Nothing => false,
                    Cut::Some(part) => random.chance(part),
                    Cut::Part => (index < border) == earlier,
                };
                if !lost {
                    image[*word] = image[*word] & !mask | value;
                }
            }
        }
        image
    }
}

/// Splits bytes at word borders.
fn parts(at: usize, bytes: &[u8]) -> Vec<Part> {
    let mut parts: Vec<Part> = Vec::with_capacity(bytes.len() / 8 + 2);
    for (index, byte) in bytes.iter().enumerate() {
        let (word, shift) = ((at + index) / 8, (at + index) % 8 * 8);
        match parts.last_mut() {
            Some(part) if part.0 == word => {
                part.1 |= 0xff << shift;
                part.2 |= u64::from(*byte) << shift;
            }
            _ => parts.push((word, 0xff << shift, u64::from(*byte) << shift)),
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn images(media: &Media) -> BTreeSet<u64> {
        let mut random = Random::new(1);
        (0..200).map(|_| media.cut(Cut::Some(128), &mut random)[0]).collect()
    }

    #[test]
    fn ordinary_stores_survive_by_chance_until_flushed_and_fenced_by_one_cpu() {
        let mut media = Media::new(vec![0; 16], 2);
        media.store(0, 0, &[1]);
        media.store(0, 0, &[2]);
        assert_eq!(images(&media), BTreeSet::from([0, 1, 2]));
        media.flush(0, 0, 1);
        media.store(0, 0, &[3]);
        media.fence(1);
        assert_eq!(images(&media), BTreeSet::from([0, 1, 2, 3]));
        media.fence(0);
        assert_eq!(images(&media), BTreeSet::from([2, 3]));
    }

    #[test]
    fn non_temporal_stores_are_seen_late_by_others_and_win_over_what_came_between() {
        let mut media = Media::new(vec![0; 16], 2);
        let mut seen = [0; 1];
        media.store_nt(0, 0, &[7]);
        media.read(0, 0, &mut seen);
        assert_eq!(seen, [7]);
        media.read(1, 0, &mut seen);
        assert_eq!(seen, [0]);
        media.store(1, 0, &[9]);
        media.fence(1);
        assert_eq!(images(&media), BTreeSet::from([0, 7, 9]));
        media.fence(0);
        assert_eq!(images(&media), BTreeSet::from([7]));
    }

    #[test]
    fn a_flush_covers_its_line_only() {
        let mut media = Media::new(vec![0; 16], 1);
        media.store(0, 60, &[1; 8]);
        media.flush(0, 60, 4);
        media.fence(0);
        let image = media.cut(Cut::All, &mut Random::new(0));
        assert_eq!((image[7], image[8]), (0x0101_0101_0000_0000, 0));
    }
}
