// SPDX-License-Identifier: GPL-2.0

//! What the driver does to the contents of files: it carries bytes as the core says, and the model
//! follows step by step.

use std::ops::Range;

use pfnfs_core::media::{Error, Result, BLOCK, HUGE};
use pfnfs_core::meta::file::{self, Allocate, Carried, Clear, Fault, How, Piece, Seen, Write};
use pfnfs_core::meta::inode::Live;
use pfnfs_core::meta::{ops, Machine};

use super::carrier::Carrier;
use super::driver::Driver;
use super::model::Model;
use super::refusal::ROOM;
use super::time;

/// Blocks that one record makes a hole, whatever they lie in.
const FEW: u64 = 3;

impl<M: Machine + Clone> Driver<M> {
    fn touched(model: &mut Model, ino: u64, now: i64) {
        model.nodes.get_mut(&ino).unwrap().touch(now);
    }

    /// Sets the size.
    pub(super) fn resize(&mut self, ino: u64, size: u64, now: i64) -> Result {
        if size <= self.model.data(ino).len() as u64 {
            self.mapped.retain(|(file, block)| *file != ino || *block < size / BLOCK);
        }
        self.with(ino, |driver, live| {
            let smaller = size <= live.size();
            file::resize(&driver.volume, live, size, &mut Carrier::new(&driver.machine, &[]), time(now))?;
            driver.settle(|model| {
                model.data_mut(ino).resize(size as usize, 0);
                if smaller {
                    model.tighten(ino, size / BLOCK * BLOCK..u64::MAX);
                }
                Self::touched(model, ino, now);
            });
            Ok(())
        })
    }

    /// write(2), step by step. An error leaves what was done.
    pub(super) fn write(&mut self, ino: u64, pos: u64, bytes: &[u8], now: i64) -> Result {
        let (volume, machine) = (self.volume.clone(), self.machine.clone());
        self.with(ino, |driver, live| {
            if pos > live.size() {
                file::prepare_end(&volume, live, pos, &mut Carrier::new(&machine, &[]))?;
            }
            let (mut pos, mut bytes, mut write) = (pos, bytes, Write::new(pos));
            while !bytes.is_empty() {
                let mut carrier = Carrier::new(&machine, bytes);
                let step = write.next(&volume, live, bytes.len() as u64)?;
                let zeroes = matches!(file::piece(&volume, live, pos)?, Piece::Zeroes(_));
                let done = match write.carry(&volume, step, &mut carrier)? {
                    Carried::Done(n) => {
                        assert!(n > 0, "a step of nothing at {pos}");
                        driver.dirty.insert(ino);
                        driver.settle_torn(ino, pos..pos + n, |model| model.store(ino, pos, &bytes[..n as usize]));
                        n
                    }
                    carried => {
                        let done = write.record(&volume, live, carried, &mut carrier, time(now))?;
                        let (n, blocks) = (done.bytes, pos / BLOCK..(pos + done.bytes).div_ceil(BLOCK));
                        if n > 0 {
                            let told = done.filled.start <= blocks.start && done.filled.end >= blocks.end;
                            assert!(told || !zeroes, "{:?} were filled, {blocks:?} written", done.filled);
                            driver.wrote(ino, pos, &bytes[..n as usize], now);
                        }
                        n
                    }
                };
                (pos, bytes) = (pos + done, &bytes[done as usize..]);
                driver.steps += u64::from(done > 0);
            }
            Ok(())
        })
    }

    /// The model follows a step of a write.
    fn wrote(&mut self, ino: u64, pos: u64, bytes: &[u8], now: i64) {
        self.settle(|model| {
            model.store(ino, pos, bytes);
            Self::touched(model, ino, now);
        });
    }

    /// A store through a mapping, into one block: the fault, if the block is not mapped, and the
    /// store. Words, whole. `huge`: the mapping allows for huge pages.
    pub(super) fn map_store(&mut self, ino: u64, pos: u64, bytes: &[u8], huge: bool, now: i64) -> Result {
        let at = pos / BLOCK;
        self.with(ino, |driver, live| {
            if at >= live.size().div_ceil(BLOCK) {
                return Err(Error::Invalid("a store past the end"));
            }
            let known = driver.mapped.contains(&(ino, at));
            if !known {
                driver.fault(live, at, huge, now)?;
            }
            let Piece::Media(place, _) = file::piece(&driver.volume, live, pos)? else {
                panic!("block {at} is mapped, and not written")
            };
            if !known && at == live.size() / BLOCK {
                driver.nothing_past_end(place / BLOCK, live.size() % BLOCK)?;
            }
            let end = (pos + bytes.len() as u64).min(live.size());
            driver.machine.store(place, bytes)?;
            driver.dirty.insert(ino);
            if end > pos {
                let seen = &bytes[..(end - pos) as usize];
                driver.model.loosen(ino, pos..end);
                driver.settle(|model| model.store(ino, pos, seen));
            }
            Ok(())
        })
    }

    /// What a program finds past the end of the file when it gets to see the last block.
    fn nothing_past_end(&self, block: u64, end: u64) -> Result {
        let mut seen = vec![0; (BLOCK - end) as usize];
        let at = block * BLOCK + end;
        for (index, piece) in seen.chunks_mut(64).enumerate() {
            self.machine.read_bytes(at + index as u64 * 64, piece)?;
        }
        match seen.iter().all(|byte| *byte == 0) {
            true => Ok(()),
            false => Err(Error::Corrupt { at, why: "what a mapping shows past the end" }),
        }
    }

    /// A write fault: the blocks of its window that the mapping has from now on.
    fn fault(&mut self, live: &mut Live, at: u64, huge: bool, now: i64) -> Result {
        let ino = live.ino();
        let start = at - at % u64::from(HUGE);
        let window = start..(start + u64::from(HUGE)).min(live.size().div_ceil(BLOCK));
        let zeroes = matches!(file::piece(&self.volume, live, at * BLOCK)?, Piece::Zeroes(_));
        let (volume, machine) = (self.volume.clone(), self.machine.clone());
        let (mut fault, mut filled) = (Fault::new(window.clone(), at, true, huge), 0);
        while let Some(seen) = fault.next(&volume, live, &mut Carrier::new(&machine, &[]), time(now))? {
            let Seen::Blocks(shown) = seen else { panic!("a hole for who writes") };
            assert_eq!(shown.copy, None, "a copy for who writes");
            if !shown.filled.is_empty() {
                assert!(shown.filled.contains(&at), "{:?} were filled, {at} touched", shown.filled);
                filled += shown.filled.end - shown.filled.start;
                self.settle(|model| Self::touched(model, ino, now));
            }
            let blocks = shown.at.max(window.start)..(shown.at + shown.len).min(window.end);
            for block in blocks {
                let place = (shown.block + block - shown.at) * BLOCK;
                let found = file::piece(&volume, live, block * BLOCK)?;
                assert!(matches!(found, Piece::Media(at, _) if at == place), "{block} is shown, and {found:?}");
                self.mapped.insert((ino, block));
            }
        }
        assert_eq!(zeroes, filled > 0, "whether block {at} was filled");
        assert!(self.mapped.contains(&(ino, at)), "nothing is mapped at {at}");
        self.converted = self.converted.max(filled);
        Ok(())
    }

    /// fsync: what mappings stored, and the times of what was overwritten.
    pub(super) fn fsync(&mut self, ino: u64, now: i64) -> Result {
        let blocks = 0..(self.model.data(ino).len() as u64).div_ceil(BLOCK);
        if self.mapped.range((ino, blocks.start)..(ino, blocks.end)).any(|_| true) {
            self.with(ino, |driver, live| {
                file::write_back(&driver.volume, live, blocks.clone(), &mut Carrier::new(&driver.machine, &[]));
                driver.settle(|model| model.tighten(ino, 0..blocks.end * BLOCK));
                Ok(())
            })?;
        }
        if !self.dirty.remove(&ino) {
            return Ok(());
        }
        self.with(ino, |driver, live| {
            let attr = ops::SetAttr { mtime: Some(time(now)), ctime: Some(time(now)), ..Default::default() };
            ops::set_attr(&driver.volume, live, &attr).map(drop)?;
            driver.settle(|model| Self::touched(model, ino, now));
            Ok(())
        })
    }

    /// Gives all blocks that these bytes touch to a file.
    pub(super) fn allocate(&mut self, ino: u64, bytes: &Range<u64>, now: i64) -> Result {
        let mut allocate = Allocate::new(bytes);
        self.with(ino, |driver, live| {
            while allocate.next(&driver.volume, live, time(now))? {
                if live.mtime() == time(now) {
                    driver.settle(|model| Self::touched(model, ino, now));
                }
            }
            driver.allocated(live, bytes)
        })
    }

    /// Whether the file has all blocks that these bytes touch.
    fn allocated(&self, live: &Live, bytes: &Range<u64>) -> Result {
        let mut at = bytes.start / BLOCK;
        while at < bytes.end.div_ceil(BLOCK) {
            at += self.blocks_at(live, at)?;
        }
        Ok(())
    }

    /// Makes bytes read as zeroes; with [`How::Keep`] holes get blocks first, and all blocks stay
    /// the file's. The model follows as far as these bytes go, whatever the core says.
    pub(super) fn clear(&mut self, ino: u64, bytes: &Range<u64>, how: How, now: i64) -> Result {
        if how == How::Keep {
            self.allocate(ino, bytes, now)?;
        }
        let clear = Clear::new(bytes.clone(), self.model.data(ino).len() as u64);
        for edge in clear.edges() {
            self.with(ino, |driver, live| {
                let mut carrier = Carrier::new(&driver.machine, &[]);
                Clear::edge(&driver.volume, live, edge, &mut carrier)?;
                driver.dirty.insert(ino);
                let part = common(edge, bytes);
                driver.settle_torn(ino, part.clone(), |model| Self::zeroes(model, ino, &part));
                Ok(())
            })?;
        }
        if let Some(blocks) = clear.blocks() {
            self.mapped.retain(|(file, block)| *file != ino || !blocks.contains(block));
            let left = self.with(ino, |driver, live| {
                let mut carrier = Carrier::new(&driver.machine, &[]);
                Ok(clear.whole(&driver.volume, live, how, &mut carrier, time(now))?)
            })?;
            if how == How::Keep {
                self.with(ino, |driver, live| driver.allocated(live, bytes))?;
            }
            let full = how == How::Keep && self.volume.space().free <= ROOM;
            assert!(left.is_empty() || full, "{left:?} left, and there is space");
            let few = left.is_empty() && blocks.end - blocks.start <= FEW;
            self.cleared(ino, &common(&(blocks.start * BLOCK..blocks.end * BLOCK), bytes), few, now);
        }
        let data = self.model.data(ino);
        let seen = common(bytes, &(0..data.len() as u64));
        let rest = data.get(seen.start as usize..seen.end as usize).unwrap_or_default();
        assert!(rest.iter().all(|byte| *byte == 0), "a part of {bytes:?} was left out");
        Ok(())
    }

    fn zeroes(model: &mut Model, ino: u64, bytes: &Range<u64>) {
        let data = model.data_mut(ino);
        let len = data.len() as u64;
        data[bytes.start.min(len) as usize..bytes.end.min(len) as usize].fill(0);
    }

    /// Bytes of a file were made to read as zeroes; `at_once`: by one record.
    fn cleared(&mut self, ino: u64, bytes: &Range<u64>, at_once: bool, now: i64) {
        let change = |model: &mut Model| {
            Self::zeroes(model, ino, bytes);
            Self::touched(model, ino, now);
        };
        if at_once {
            self.settle(|model| {
                change(model);
                model.tighten(ino, bytes.clone());
            });
        } else {
            self.settle_parts(ino, bytes.clone(), change);
        }
    }
}

/// What two ranges have in common.
fn common(one: &Range<u64>, two: &Range<u64>) -> Range<u64> {
    let start = one.start.max(two.start);
    start..one.end.min(two.end).max(start)
}
