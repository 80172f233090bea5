// SPDX-License-Identifier: GPL-2.0
//! The bytes of a store log: a header, then one tag byte per event and LEB128 numbers.
//!
//! Layer: encoding only. A store in sequence costs two bytes more than its value, a fence one byte.
//! High nibble of the tag: what; low nibble: its kind, or a store's length less one.

use crate::event::{Event, Fence, Flush, Mark, Store, StoreKind};
use crate::LINE;
use std::io::{self, Read};

const MAGIC: [u8; 8] = *b"PFNTRACE";
const VERSION: u64 = 2;
/// Bytes of an encoded header.
pub const HEADER: usize = 32;

const CPU: u8 = 0x1;
const PLAIN: u8 = 0x2;
const NON_TEMPORAL: u8 = 0x3;
const LOCKED: u8 = 0x4;
const FLUSH: u8 = 0x5;
const FENCE: u8 = 0x6;
const MARK: u8 = 0x7;
const LOST: u8 = 0x8;
const END: u8 = 0x9;
const SITE: u8 = 0xa;
const TASK: u8 = 0xb;

/// The physical range that was traced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    pub base: u64,
    pub size: u64,
}

impl Header {
    pub fn encode(&self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        for word in [VERSION, self.base, self.size] {
            out.extend_from_slice(&word.to_le_bytes());
        }
        out
    }

    fn decode(from: &[u8; HEADER]) -> io::Result<Self> {
        let mut words = from.chunks_exact(8).map(|c| {
            let mut word = [0; 8];
            word.copy_from_slice(c);
            word
        });
        if words.next() != Some(MAGIC) {
            return Err(bad("not a store log"));
        }
        let mut number = || words.next().map_or(0, u64::from_le_bytes);
        if number() != VERSION {
            return Err(bad("store log of another version"));
        }
        Ok(Header { base: number(), size: number() })
    }
}

fn bad(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// Appends events to a buffer that the caller writes out.
#[derive(Default)]
pub struct Encoder {
    cpu: u32,
    store_end: u64,
    flush_end: u64,
    site: u64,
    task: u64,
}

impl Encoder {
    /// Appends `event` as done by vCPU `cpu`.
    pub fn put(&mut self, out: &mut Vec<u8>, cpu: u32, event: &Event) {
        if cpu != self.cpu {
            self.cpu = cpu;
            out.push(CPU << 4);
            number(out, u64::from(cpu));
        }
        match event {
            Event::Cpu(_) => {}
            Event::Site(at) => {
                if *at != self.site {
                    out.push(SITE << 4);
                    signed(out, at.wrapping_sub(self.site));
                    self.site = *at;
                }
            }
            Event::Task(at) => {
                if *at != self.task {
                    out.push(TASK << 4);
                    number(out, *at);
                    self.task = *at;
                }
            }
            Event::Store(store) => self.store(out, store),
            Event::Flush { kind, at } => {
                out.push(FLUSH << 4 | *kind as u8);
                signed(out, at.wrapping_sub(self.flush_end));
                self.flush_end = at.wrapping_add(LINE);
            }
            Event::Fence(kind) => out.push(FENCE << 4 | *kind as u8),
            Event::Mark(m) => {
                out.push(MARK << 4);
                for n in [m.id, m.args[0], m.args[1], m.insns, m.locked, m.loaded] {
                    number(out, n);
                }
            }
            Event::Lost { vaddr } => {
                out.push(LOST << 4);
                number(out, *vaddr);
            }
            Event::End => out.push(END << 4),
        }
    }

    fn store(&mut self, out: &mut Vec<u8>, store: &Store) {
        let tag = match store.kind {
            StoreKind::Plain => PLAIN,
            StoreKind::NonTemporal => NON_TEMPORAL,
            StoreKind::Locked => LOCKED,
        };
        out.push(tag << 4 | (store.len.clamp(1, 16) - 1));
        signed(out, store.at.wrapping_sub(self.store_end));
        out.extend_from_slice(store.value());
        self.store_end = store.at.wrapping_add(u64::from(store.len));
    }
}

/// LEB128.
fn number(out: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

/// Zigzag, so that small distances backwards are short too.
fn signed(out: &mut Vec<u8>, n: u64) {
    number(out, (n << 1) ^ (((n as i64) >> 63) as u64));
}

/// Reads events from a log; an iterator of `io::Result<Event>`.
pub struct Decoder<R> {
    from: R,
    pub header: Header,
    store_end: u64,
    flush_end: u64,
    site: u64,
    done: bool,
}

impl<R: Read> Decoder<R> {
    /// `from` should be buffered.
    pub fn new(mut from: R) -> io::Result<Self> {
        let mut head = [0; HEADER];
        from.read_exact(&mut head)?;
        let header = Header::decode(&head)?;
        Ok(Decoder { from, header, store_end: 0, flush_end: 0, site: 0, done: false })
    }

    fn byte(&mut self) -> io::Result<u8> {
        let mut b = [0];
        self.from.read_exact(&mut b)?;
        Ok(b[0])
    }

    fn number(&mut self) -> io::Result<u64> {
        let mut n = 0;
        for shift in (0..64).step_by(7) {
            let b = self.byte()?;
            n |= u64::from(b & 0x7f) << shift;
            if b & 0x80 == 0 {
                return Ok(n);
            }
        }
        Err(bad("a number in the store log does not end"))
    }

    fn signed(&mut self) -> io::Result<u64> {
        let n = self.number()?;
        Ok((n >> 1) ^ (n & 1).wrapping_neg())
    }

    fn store(&mut self, kind: StoreKind, low: u8) -> io::Result<Event> {
        let len = low + 1;
        let at = self.store_end.wrapping_add(self.signed()?);
        let mut bytes = [0; 16];
        if let Some(part) = bytes.get_mut(..usize::from(len)) {
            self.from.read_exact(part)?;
        }
        self.store_end = at.wrapping_add(u64::from(len));
        Ok(Event::Store(Store { kind, at, len, bytes }))
    }

    fn event(&mut self) -> io::Result<Event> {
        let tag = self.byte()?;
        let low = tag & 0xf;
        match tag >> 4 {
            CPU => Ok(Event::Cpu(u32::try_from(self.number()?).map_err(|_| bad("vCPU number"))?)),
            PLAIN => self.store(StoreKind::Plain, low),
            NON_TEMPORAL => self.store(StoreKind::NonTemporal, low),
            LOCKED => self.store(StoreKind::Locked, low),
            FLUSH => {
                let kind = match low {
                    0 => Flush::Clwb,
                    1 => Flush::ClflushOpt,
                    2 => Flush::Clflush,
                    _ => return Err(bad("unknown write-back in the store log")),
                };
                let at = self.flush_end.wrapping_add(self.signed()?);
                self.flush_end = at.wrapping_add(LINE);
                Ok(Event::Flush { kind, at })
            }
            FENCE => match low {
                0 => Ok(Event::Fence(Fence::Sfence)),
                1 => Ok(Event::Fence(Fence::Mfence)),
                2 => Ok(Event::Fence(Fence::Locked)),
                3 => Ok(Event::Fence(Fence::Serialising)),
                _ => Err(bad("unknown fence in the store log")),
            },
            MARK => Ok(Event::Mark(Mark {
                id: self.number()?,
                args: [self.number()?, self.number()?],
                insns: self.number()?,
                locked: self.number()?,
                loaded: self.number()?,
            })),
            SITE => {
                self.site = self.site.wrapping_add(self.signed()?);
                Ok(Event::Site(self.site))
            }
            TASK => Ok(Event::Task(self.number()?)),
            LOST => Ok(Event::Lost { vaddr: self.number()? }),
            END => {
                self.done = true;
                Ok(Event::End)
            }
            _ => Err(bad("unknown event in the store log")),
        }
    }
}

impl<R: Read> Iterator for Decoder<R> {
    type Item = io::Result<Event>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let event = self.event();
        if event.is_err() {
            self.done = true;
        }
        Some(event)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store(kind: StoreKind, at: u64, value: &[u8]) -> Event {
        let mut bytes = [0; 16];
        bytes[..value.len()].copy_from_slice(value);
        Event::Store(Store { kind, at, len: value.len() as u8, bytes })
    }

    fn sample() -> Vec<(u32, Event)> {
        vec![
            (0, Event::Task(0xffff_8880_0100_0000)),
            (0, Event::Site(0xffff_ffff_8100_0000)),
            (0, store(StoreKind::Plain, 4096, &[1])),
            (0, Event::Site(0xffff_ffff_80ff_fff0)),
            (0, store(StoreKind::NonTemporal, 4097, &[9; 16])),
            (0, store(StoreKind::Locked, 8, &[7; 8])),
            (0, Event::Flush { kind: Flush::Clwb, at: 4096 }),
            (0, Event::Flush { kind: Flush::ClflushOpt, at: 4160 }),
            (0, Event::Flush { kind: Flush::Clflush, at: 0 }),
            (0, Event::Fence(Fence::Sfence)),
            (0, Event::Fence(Fence::Mfence)),
            (0, Event::Fence(Fence::Locked)),
            (0, Event::Fence(Fence::Serialising)),
            (0, Event::Mark(Mark { id: 3, args: [u64::MAX, 5], insns: 1 << 40, locked: 2, loaded: 64 })),
            (0, Event::Lost { vaddr: 0xffff_8880_0000_0000 }),
            (0, Event::End),
        ]
    }

    fn encoded(events: &[(u32, Event)]) -> Vec<u8> {
        let mut bytes = Header { base: 1 << 32, size: 1 << 26 }.encode();
        let mut encoder = Encoder::default();
        for (cpu, event) in events {
            encoder.put(&mut bytes, *cpu, event);
        }
        bytes
    }

    #[test]
    fn what_was_put_is_read_back() {
        let events = sample();
        let bytes = encoded(&events);
        let decoder = Decoder::new(&bytes[..]).unwrap();
        assert_eq!(decoder.header, Header { base: 1 << 32, size: 1 << 26 });
        let read: Vec<_> = decoder.map(Result::unwrap).collect();
        assert_eq!(read, events.iter().map(|(_, e)| *e).collect::<Vec<_>>());
    }

    #[test]
    fn a_change_of_cpu_is_told_once() {
        let fence = Event::Fence(Fence::Sfence);
        let bytes = encoded(&[(1, fence), (1, fence), (0, fence), (0, Event::End)]);
        let read: Vec<_> = Decoder::new(&bytes[..]).unwrap().map(Result::unwrap).collect();
        assert_eq!(read, [Event::Cpu(1), fence, fence, Event::Cpu(0), fence, Event::End]);
    }

    #[test]
    fn a_site_and_a_task_are_told_once() {
        let (site, task, fence) = (Event::Site(7), Event::Task(9), Event::Fence(Fence::Sfence));
        let bytes = encoded(&[(0, task), (0, site), (0, fence), (0, task), (0, site), (0, fence), (0, Event::End)]);
        let read: Vec<_> = Decoder::new(&bytes[..]).unwrap().map(Result::unwrap).collect();
        assert_eq!(read, [task, site, fence, fence, Event::End]);
    }

    #[test]
    fn a_store_in_sequence_costs_two_bytes_more_than_its_value() {
        let one = encoded(&[(0, store(StoreKind::Plain, 64, &[1; 8]))]).len();
        let two =
            encoded(&[(0, store(StoreKind::Plain, 64, &[1; 8])), (0, store(StoreKind::Plain, 72, &[1; 8]))]).len();
        assert_eq!(two - one, 10);
    }

    #[test]
    fn a_truncated_log_is_an_error_at_every_length() {
        let bytes = encoded(&sample());
        for len in HEADER..bytes.len() {
            let last = Decoder::new(&bytes[..len]).unwrap().last();
            assert!(matches!(last, Some(Err(_))), "{len} bytes");
        }
        assert!(Decoder::new(&bytes[..HEADER - 1]).is_err());
    }

    #[test]
    fn foreign_bytes_are_refused() {
        assert!(Decoder::new(&[0u8; 64][..]).is_err());
        let mut bytes = encoded(&[(0, Event::End)]);
        bytes[8] = 9;
        assert!(Decoder::new(&bytes[..]).is_err());
        let mut bytes = encoded(&[(0, Event::End)]);
        bytes[HEADER] = 0xf0;
        assert!(Decoder::new(&bytes[..]).unwrap().next().unwrap().is_err());
    }
}
