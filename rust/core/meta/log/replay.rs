// SPDX-License-Identifier: GPL-2.0

//! Recovery: finds the records that count, and applies those past the cut in the order of their sequence numbers.
//!
//! Two passes. `scan` reads all halves, checks every record in full and changes nothing; `replay` merges the halves by
//! sequence. The cursors live in the lanes' own state. A cut during either is a cut before both.

use super::{header_crc, patch, HEADER, RECORD_MAX};
use crate::media::{format, Error, Geometry, Pmem, Result, LINE};
use crate::meta::machine::{Half, Machine};
use crate::plat::crc32c;

/// A record read back from the log.
pub struct Buffer {
    bytes: [u8; RECORD_MAX],
    len: usize,
}

/// What is expected of records.
#[derive(Clone, Copy)]
pub(super) struct Expected {
    /// The nonce they carry.
    pub(super) nonce: u64,
    /// The cut: those up to it are in place.
    pub(super) cut: u64,
}

impl Default for Buffer {
    fn default() -> Self {
        Self::new()
    }
}

impl Buffer {
    pub(super) const fn new() -> Self {
        Self { bytes: [0; RECORD_MAX], len: 0 }
    }

    /// The record's patches.
    pub(super) fn patches(&self) -> &[u8] {
        self.bytes.get(HEADER..self.len).unwrap_or_default()
    }

    /// Reads the record at `at`, of which `room` bytes are within the half. Returns the bytes it takes in the log, whole lines.
    /// Checks its length only.
    pub(super) fn read(&mut self, media: &impl Pmem, at: u64, room: u32) -> Result<u32> {
        let header: format::Record = media.read(at)?;
        self.fill(media, at, room, &header)?.ok_or(Error::Corrupt { at, why: "length of a record" })
    }

    fn fill(&mut self, media: &impl Pmem, at: u64, room: u32, header: &format::Record) -> Result<Option<u32>> {
        let len = header.len.get() as usize;
        let lines = len.next_multiple_of(LINE as usize);
        let Some(bytes) = self.bytes.get_mut(..len).filter(|_| len > HEADER && lines <= room as usize) else {
            return Ok(None);
        };
        media.read_bytes(at, bytes)?;
        self.len = len;
        Ok(Some(lines as u32))
    }

    /// Reads the record at `at` if there is one that counts and follows `last`: its bytes in the log and its sequence number.
    pub(super) fn accept(
        &mut self,
        media: &impl Pmem,
        at: u64,
        room: u32,
        nonce: u64,
        last: u64,
    ) -> Result<Option<(u32, u64)>> {
        if u64::from(room) < LINE {
            return Ok(None);
        }
        let header: format::Record = media.read(at)?;
        let seq = header.seq.get();
        if header.nonce.get() != nonce || seq <= last || seq > format::SEQ_MAX {
            return Ok(None);
        }
        let Some(lines) = self.fill(media, at, room, &header)? else { return Ok(None) };
        let crc = header_crc(&header, crc32c(!0, self.patches()), at);
        Ok((header.crc.get() == crc).then_some((lines, seq)))
    }
}

/// Checks every record of every half, and leaves each half's cursor on its first record past the cut. Returns the highest
/// sequence number, and how many records are to be replayed.
pub(super) fn scan(machine: &impl Machine, geometry: &Geometry, expected: Expected) -> Result<(u64, u64)> {
    let (mut highest, mut count) = (expected.cut, 0u64);
    for lane in 0..geometry.lanes() {
        for number in 0..2u8 {
            let (half, records) = scan_half(machine, geometry, lane, number, expected)?;
            highest = highest.max(half.last);
            count = count.wrapping_add(records);
            machine.lane(lane, |lane| set_half(&mut lane.halves, half));
        }
    }
    Ok((highest, count))
}

fn set_half(halves: &mut [Half; 2], half: Half) {
    if let Some(place) = halves.get_mut(usize::from(half.number)) {
        *place = half;
    }
}

fn scan_half(media: &impl Pmem, geometry: &Geometry, lane: u32, number: u8, expected: Expected) -> Result<(Half, u64)> {
    let start = geometry.half_at(lane, number);
    let mut half = Half { number, ..Half::default() };
    let mut buffer = Buffer::new();
    let mut count = 0u64;
    loop {
        let at = start.wrapping_add(u64::from(half.end));
        let room = geometry.half_size().saturating_sub(half.end);
        let Some((len, seq)) = buffer.accept(media, at, room, expected.nonce, half.last)? else { break };
        if seq > expected.cut {
            patch::check(geometry, buffer.patches(), at)?;
            if count == 0 {
                half.clean = half.end;
            }
            count = count.wrapping_add(1);
        }
        half.end = half.end.wrapping_add(len);
        half.last = seq;
    }
    check_tail(media, geometry, start, &half, expected, &mut buffer)?;
    if count == 0 {
        half.clean = half.end;
    }
    Ok((half, count))
}

/// What follows the last good record may be a torn one and remains of earlier rounds, also both in one line: a word of the torn
/// one where an old header has its sequence number. A whole later record of this round means that the one before it was whole
/// once, and rotted.
fn check_tail(
    media: &impl Pmem,
    geometry: &Geometry,
    start: u64,
    half: &Half,
    expected: Expected,
    buffer: &mut Buffer,
) -> Result {
    let newest = half.last.max(expected.cut);
    let mut end = half.end.wrapping_add(LINE as u32);
    while end < geometry.half_size() {
        let at = start.wrapping_add(u64::from(end));
        let room = geometry.half_size().saturating_sub(end);
        if buffer.accept(media, at, room, expected.nonce, newest)?.is_some() {
            return Err(Error::Corrupt { at, why: "record behind a damaged one" });
        }
        end = end.wrapping_add(LINE as u32);
    }
    Ok(())
}

/// Applies what `scan` found, in the order of the sequence numbers, and starts its write-back.
pub(super) fn replay(machine: &impl Machine, geometry: &Geometry, expected: Expected) -> Result {
    let mut last = expected.cut;
    let mut buffer = Buffer::new();
    for lane in 0..geometry.lanes() {
        for number in 0..2u8 {
            peek(machine, geometry, lane, number)?;
        }
    }
    while let Some((lane, half)) = first(machine, geometry.lanes()) {
        let at = geometry.half_at(lane, half.number).wrapping_add(u64::from(half.clean));
        if half.next_seq == last {
            return Err(Error::Corrupt { at, why: "sequence number of two records" });
        }
        last = half.next_seq;
        let len = buffer.read(machine, at, half.end.wrapping_sub(half.clean))?;
        patch::apply(machine, buffer.patches())?;
        patch::write_back(machine, buffer.patches());
        let half = Half { clean: half.clean.wrapping_add(len), ..half };
        machine.lane(lane, |lane| set_half(&mut lane.halves, half));
        peek(machine, geometry, lane, half.number)?;
    }
    Ok(())
}

/// Reads the sequence number of the record at the cursor of a half.
fn peek(machine: &impl Machine, geometry: &Geometry, lane: u32, number: u8) -> Result {
    let Some(mut half) = machine.lane(lane, |lane| lane.halves.get(usize::from(number)).copied()) else {
        return Ok(());
    };
    half.next_seq = 0;
    if half.clean < half.end {
        let header: format::Record =
            machine.read(geometry.half_at(lane, number).wrapping_add(u64::from(half.clean)))?;
        half.next_seq = header.seq.get();
    }
    machine.lane(lane, |lane| set_half(&mut lane.halves, half));
    Ok(())
}

/// The half whose cursor is on the lowest sequence number, and its lane.
fn first(machine: &impl Machine, lanes: u32) -> Option<(u32, Half)> {
    let mut found: Option<(u32, Half)> = None;
    for number in 0..lanes {
        for half in machine.lane(number, |lane| lane.halves) {
            let lower = found.as_ref().is_none_or(|(_, other)| half.next_seq < other.next_seq);
            if half.next_seq != 0 && lower {
                found = Some((number, half));
            }
        }
    }
    found
}
