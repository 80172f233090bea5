// SPDX-License-Identifier: GPL-2.0
//! What of a store log is on the media, and what a power cut may leave of the rest.
//!
//! Layer: the model of caches and write-combining buffers over a [`crate::stream`]. Owns the image of what is safe.
//!
//! A plain store dirties its line. The line may be evicted at any time, whole: the media then holds some state along
//! the line's history, in order. A write-back followed by a fence *of the same vCPU* makes the state at the write-back the
//! oldest possible one. A non-temporal store may arrive at any time, by itself, and has arrived at its vCPU's next fence.
//! Nothing is torn within eight aligned bytes (Intel SDM vol. 3, 9.1.1 and 12.3; vol. 1, 10.4.6.2).
//!
//! Stricter than the hardware, since a program should not lean on it: clflush needs a fence too, and a non-temporal store to a
//! cached line does not carry the line's older plain stores with it.

use crate::event::{Event, Fence, Store, StoreKind};
use crate::LINE;
use std::collections::{BTreeMap, VecDeque};

/// Which instructions count as a fence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Domain {
    /// sfence and mfence only. Locked and serialising instructions drain the buffers on x86, but the protocol orders by explicit
    /// fences; counting the others would hide a missing one behind the next spinlock.
    Explicit,
    /// What the hardware promises: locked and serialising instructions too.
    Hardware,
}

/// What happens to stores that nothing made safe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rest {
    /// None reached the media.
    Dropped,
    /// All did: the view of the running guest.
    Kept,
    /// A seeded choice, line by line and word by word.
    Seeded(u64),
}

/// A piece of a store within one aligned word.
#[derive(Clone, Copy, Debug)]
struct Piece {
    nt: bool,
    safe: bool,
    /// Offset in the line.
    off: u8,
    len: u8,
    bytes: [u8; 8],
    /// As [`Media::tag`] was then.
    tag: u32,
}

/// A part of a store, within one aligned word, that nothing has made safe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Open {
    /// Offset on the media.
    pub at: u64,
    pub len: u8,
    /// The first `len` bytes are what was stored.
    pub bytes: [u8; 8],
    /// What [`Media::tag`] was when it was stored.
    pub tag: u32,
}

#[derive(Default, Debug)]
struct Line {
    /// Number, in the line's history, of the first piece still held.
    first: u64,
    pieces: VecDeque<Piece>,
}

#[derive(Default, Debug)]
struct Cpu {
    /// Lines written back since the last fence, and how much of their history was.
    flushed: Vec<(u64, u64)>,
    /// Pieces stored non-temporally since the last fence.
    stored: Vec<(u64, u64)>,
}

/// Counts of what was applied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    pub stores: u64,
    pub stored_bytes: u64,
    pub flushes: u64,
    pub fences: u64,
    pub lost: u64,
}

/// The media under a log, event by event.
pub struct Media {
    domain: Domain,
    /// What is safe.
    image: Vec<u8>,
    lines: BTreeMap<u64, Line>,
    cpus: Vec<Cpu>,
    cpu: usize,
    /// Kept with each store that follows, for whoever asks what is [`Open`].
    pub tag: u32,
    pub totals: Totals,
}

impl Media {
    /// `image` is the content at the start of the log.
    pub fn new(image: Vec<u8>, domain: Domain) -> Self {
        let (lines, cpus) = (BTreeMap::new(), vec![Cpu::default()]);
        Media { domain, image, lines, cpus, cpu: 0, tag: 0, totals: Totals::default() }
    }

    /// Lines that hold something not safe.
    pub fn unsafe_lines(&self) -> usize {
        self.lines.len()
    }

    /// Lines with a store past the cache that no fence followed yet.
    pub fn unfenced_lines(&self) -> usize {
        let open = |line: &&Line| line.pieces.iter().any(|p| p.nt && !p.safe);
        self.lines.values().filter(open).count()
    }

    /// Applies the next event. False: it lies outside the image.
    pub fn apply(&mut self, event: &Event) -> bool {
        match event {
            Event::Cpu(cpu) => {
                self.cpu = *cpu as usize;
                if self.cpus.len() <= self.cpu {
                    self.cpus.resize_with(self.cpu + 1, Cpu::default);
                }
            }
            Event::Store(store) => return self.store(store),
            Event::Flush { at, .. } => {
                self.totals.flushes += 1;
                let line = at / LINE;
                // A write-back of a clean line changes nothing.
                if let Some(held) = self.lines.get(&line) {
                    let upto = held.first + held.pieces.len() as u64;
                    self.here().flushed.push((line, upto));
                }
            }
            Event::Fence(kind) => {
                let counts = matches!(kind, Fence::Sfence | Fence::Mfence);
                self.totals.fences += u64::from(counts);
                if counts || self.domain == Domain::Hardware {
                    self.fence();
                }
            }
            Event::Lost { .. } => self.totals.lost += 1,
            Event::Site(_) | Event::Task(_) | Event::Mark(_) | Event::End => {}
        }
        true
    }

    fn here(&mut self) -> &mut Cpu {
        &mut self.cpus[self.cpu]
    }

    fn store(&mut self, store: &Store) -> bool {
        let end = store.at.saturating_add(u64::from(store.len));
        if end > self.image.len() as u64 {
            return false;
        }
        self.totals.stores += 1;
        self.totals.stored_bytes += u64::from(store.len);
        let nt = store.kind == StoreKind::NonTemporal;
        let (mut at, mut rest) = (store.at, store.value());
        while !rest.is_empty() {
            let len = rest.len().min(8 - (at % 8) as usize);
            let (head, tail) = rest.split_at(len);
            let mut bytes = [0; 8];
            bytes[..len].copy_from_slice(head);
            let piece = Piece { nt, safe: false, off: (at % LINE) as u8, len: len as u8, bytes, tag: self.tag };
            let line = self.lines.entry(at / LINE).or_default();
            line.pieces.push_back(piece);
            let number = line.first + line.pieces.len() as u64 - 1;
            if nt {
                self.here().stored.push((at / LINE, number));
            }
            (at, rest) = (at + len as u64, tail);
        }
        true
    }

    fn fence(&mut self) {
        let Cpu { flushed, stored } = std::mem::take(self.here());
        for &(at, upto) in &flushed {
            if let Some(line) = self.lines.get_mut(&at) {
                let count = upto.saturating_sub(line.first) as usize;
                line.pieces.iter_mut().take(count).filter(|p| !p.nt).for_each(|p| p.safe = true);
            }
        }
        for &(at, number) in &stored {
            if let Some(line) = self.lines.get_mut(&at) {
                if let Some(piece) = number.checked_sub(line.first).and_then(|i| line.pieces.get_mut(i as usize)) {
                    piece.safe = true;
                }
            }
        }
        for at in flushed.iter().chain(&stored).map(|(at, _)| *at) {
            self.settle(at);
        }
    }

    /// Moves the safe head of a line's history into the image.
    fn settle(&mut self, at: u64) {
        let Some(line) = self.lines.get_mut(&at) else {
            return;
        };
        let start = (at * LINE) as usize;
        while let Some(piece) = line.pieces.front().copied().filter(|p| p.safe) {
            write(&mut self.image[start..start + LINE as usize], &piece);
            line.pieces.pop_front();
            line.first += 1;
        }
        if line.pieces.is_empty() {
            // `first` may start anew: no pending write-back or store can name a line without pieces.
            self.lines.remove(&at);
            for cpu in &mut self.cpus {
                cpu.flushed.retain(|(line, _)| *line != at);
            }
        }
    }

    /// What is safe.
    pub fn safe(&self) -> &[u8] {
        &self.image
    }

    /// What is not safe.
    pub fn open(&self) -> impl Iterator<Item = Open> + '_ {
        self.lines.iter().flat_map(|(line, held)| {
            let at = move |p: &Piece| line * LINE + u64::from(p.off);
            let open = held.pieces.iter().filter(|p| !p.safe);
            open.map(move |p| Open { at: at(p), len: p.len, bytes: p.bytes, tag: p.tag })
        })
    }

    /// The lines that a cut at this moment may leave other than [`Media::safe`] has them, as it leaves them: offset and content.
    pub fn left(&self, rest: Rest) -> impl Iterator<Item = (u64, [u8; LINE as usize])> + '_ {
        self.lines.iter().map(move |(&at, line)| {
            let start = (at * LINE) as usize;
            let mut content = [0; LINE as usize];
            content.copy_from_slice(&self.image[start..start + LINE as usize]);
            leave(&mut content, line, rest, at);
            (at * LINE, content)
        })
    }

    /// The image as a cut at this moment leaves it.
    pub fn cut(&self, rest: Rest) -> Vec<u8> {
        let mut image = self.image.clone();
        for (at, line) in self.left(rest) {
            image[at as usize..at as usize + LINE as usize].copy_from_slice(&line);
        }
        image
    }
}

fn write(line: &mut [u8], piece: &Piece) {
    let off = usize::from(piece.off);
    let len = usize::from(piece.len);
    line[off..off + len].copy_from_slice(&piece.bytes[..len]);
}

/// Writes what the cut leaves of `line`'s history over its safe content.
fn leave(content: &mut [u8], line: &Line, rest: Rest, at: u64) {
    let plain = line.pieces.iter().filter(|p| !p.nt).count();
    let must = line.pieces.iter().filter(|p| !p.nt && p.safe).count();
    let mut dice = match rest {
        Rest::Seeded(seed) => Dice(seed ^ at.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
        _ => Dice(0),
    };
    let evicted = match rest {
        Rest::Dropped => must,
        Rest::Kept => plain,
        Rest::Seeded(_) => must + dice.below(plain - must + 1),
    };
    let mut seen = 0;
    for piece in &line.pieces {
        let arrived = if piece.nt {
            piece.safe || rest == Rest::Kept || (matches!(rest, Rest::Seeded(_)) && dice.below(2) == 1)
        } else {
            seen += 1;
            seen <= evicted
        };
        if arrived {
            write(content, piece);
        }
    }
}

/// splitmix64.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % n.max(1) as u64) as usize
    }
}

#[cfg(test)]
mod tests;
