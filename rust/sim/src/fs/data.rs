// SPDX-License-Identifier: GPL-2.0

//! What the driver does to the contents of files, as `rust/fs` does it: write(2), stores through a mapping, fsync, truncate,
//! fallocate.

use pfnfs_core::media::{Error, Result, BLOCK};
use pfnfs_core::meta::extent::{self, Extent};
use pfnfs_core::meta::inode::Live;
use pfnfs_core::meta::span::{patiently, Patience};
use pfnfs_core::meta::{ops, Machine};

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

    pub(super) fn truncate(&mut self, ino: u64, size: u64, now: i64) -> Result {
        // What mappings stored into the block of the new end.
        self.flush_blocks(ino, size / BLOCK..size / BLOCK + 1)?;
        self.mapped.retain(|(file, block)| *file != ino || *block < size / BLOCK);
        self.with(ino, |driver, live| {
            let result = ops::truncate(&driver.volume, live, size, time(now)).map(drop);
            result?;
            driver.settle(|model| {
                model.data_mut(ino).truncate(size as usize);
                model.tighten(ino, size.next_multiple_of(BLOCK)..u64::MAX);
                Self::touched(model, ino, now);
            });
            Ok(())
        })
    }

    pub(super) fn extend(&mut self, ino: u64, size: u64, now: i64) -> Result {
        self.with(ino, |driver, live| {
            driver.zero_tail(live, size)?;
            ops::extend(&driver.volume, live, size, time(now)).map(drop)?;
            driver.settle(|model| {
                model.data_mut(ino).resize(size as usize, 0);
                Self::touched(model, ino, now);
            });
            Ok(())
        })
    }

    /// Zeroes from the end of the file to the end of its block, and written blocks from there to `size`, as who extends a file must.
    fn zero_tail(&self, live: &Live, size: u64) -> Result {
        let (old, end) = (live.size(), live.size().next_multiple_of(BLOCK));
        if end > old {
            if let Extent::Data { block, unwritten: false, .. } = extent::find(&self.volume, live, old / BLOCK)? {
                self.machine.zero_nt(block * BLOCK + old % BLOCK, end - old)?;
                self.machine.fence();
            }
        }
        let (mut at, blocks) = (old.div_ceil(BLOCK), size.div_ceil(BLOCK));
        while at < blocks {
            at += match extent::find(&self.volume, live, at)? {
                Extent::Data { block, len, unwritten: false, .. } => {
                    let len = u64::from(len).min(blocks - at);
                    self.machine.zero_nt(block * BLOCK, len * BLOCK)?;
                    self.machine.fence();
                    len
                }
                Extent::Data { len, .. } => u64::from(len),
                Extent::Hole { len } => len,
            };
        }
        Ok(())
    }

    /// write(2): step by step, as far as the file is made of the same kind of blocks. An error leaves what was done.
    pub(super) fn write(&mut self, ino: u64, pos: u64, bytes: &[u8], now: i64) -> Result {
        self.with(ino, |driver, live| {
            if pos > live.size() {
                driver.zero_tail(live, pos)?;
            }
            let (mut pos, mut bytes) = (pos, bytes);
            let mut patience = Patience::default();
            while !bytes.is_empty() {
                let done = match extent::find(&driver.volume, live, pos / BLOCK)? {
                    Extent::Hole { len } => driver.fresh(live, pos, len, (bytes, &mut patience), now)?,
                    Extent::Data { block, len, unwritten: false, .. } if pos < live.size() => {
                        driver.overwrite(live, pos, block, len.into(), bytes)?
                    }
                    Extent::Data { block, len, unwritten, .. } => {
                        driver.unseen(live, pos, (block, len.into(), unwritten), bytes, now)?
                    }
                };
                (pos, bytes) = (pos + done as u64, &bytes[done..]);
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

    /// Fills a hole with fresh blocks, which then are given to the file.
    fn fresh(
        &mut self,
        live: &mut Live,
        pos: u64,
        len: u64,
        (bytes, patience): (&[u8], &mut Patience),
        now: i64,
    ) -> Result<usize> {
        let (at, offset) = (pos / BLOCK, pos % BLOCK);
        let want = (offset + bytes.len() as u64).div_ceil(BLOCK).min(len);
        let near = self.near(live, at)?;
        let blocks = self.volume.reserve(near, want as u32, false)?;
        let n = (u64::from(blocks.count()) * BLOCK - offset).min(bytes.len() as u64);
        let (end, size) = (pos + n, live.size());
        let machine = &self.machine;
        let blocks = blocks.write_with(|first, _| {
            let start = first * BLOCK;
            machine.zero_nt(start, offset)?;
            machine.store_nt(start + offset, &bytes[..n as usize])?;
            let used = offset + n;
            machine.zero_nt(start + used, if end < size { used.wrapping_neg() % BLOCK } else { 0 })
        });
        let size = (end > size).then_some(end);
        match blocks.and_then(|blocks| ops::attach(&self.volume, live, at, blocks, size, time(now)).map(drop)) {
            // Other blocks will do.
            Err(error) if patience.again(&error) => return Ok(0),
            done => done?,
        }
        self.wrote(live.ino(), pos, &bytes[..n as usize], now);
        Ok(n as usize)
    }

    /// Overwrites in place: not atomic. The times follow with the next fsync.
    fn overwrite(&mut self, live: &Live, pos: u64, block: u64, len: u64, bytes: &[u8]) -> Result<usize> {
        let ino = live.ino();
        let n = (len * BLOCK - pos % BLOCK).min(live.size() - pos).min(bytes.len() as u64);
        let bytes = &bytes[..n as usize];
        self.dirty.insert(ino);
        self.machine.store_nt(block * BLOCK + pos % BLOCK, bytes)?;
        self.machine.fence();
        self.settle_torn(ino, pos..pos + n, |model| model.store(ino, pos, bytes));
        Ok(n as usize)
    }

    /// Blocks that the file has, but whose bytes here nobody sees: past its end, or not written.
    fn unseen(
        &mut self,
        live: &mut Live,
        pos: u64,
        (block, len, unwritten): (u64, u64, bool),
        bytes: &[u8],
        now: i64,
    ) -> Result<usize> {
        let (start, offset) = (block * BLOCK, pos % BLOCK);
        let n = (len * BLOCK - offset).min(bytes.len() as u64);
        let (end, used) = (pos + n, offset + n);
        if unwritten {
            self.machine.zero_nt(start, offset)?;
            self.machine.zero_nt(start + used, if end < live.size() { used.wrapping_neg() % BLOCK } else { 0 })?;
        }
        self.machine.store_nt(start + offset, &bytes[..n as usize])?;
        self.machine.fence();
        let size = (end > live.size()).then_some(end);
        match (unwritten, size) {
            (true, size) => self.written(live, pos / BLOCK, used.div_ceil(BLOCK), size, now)?,
            (false, Some(size)) => ops::extend(&self.volume, live, size, time(now)).map(drop)?,
            (false, None) => unreachable!("a write behind the end makes the file larger"),
        }
        self.wrote(live.ino(), pos, &bytes[..n as usize], now);
        Ok(n as usize)
    }

    /// Unwritten blocks become written ones; others only to make up for a lack of space.
    fn written(&self, live: &mut Live, at: u64, count: u64, size: Option<u64>, now: i64) -> Result {
        let range = ops::written(&self.volume, live, at, count, size, time(now))?.reply();
        assert!(
            range.start <= at && range.end >= at + count,
            "{range:?} were converted, {count} from {at} on asked for"
        );
        Ok(())
    }

    /// Where blocks for file block `at` are best taken from.
    fn near(&self, live: &Live, at: u64) -> Result<u64> {
        let Some(before) = at.checked_sub(1) else { return Ok(0) };
        Ok(match extent::find(&self.volume, live, before)? {
            Extent::Data { block, .. } => block + 1,
            Extent::Hole { .. } => 0,
        })
    }

    /// A store through a mapping, into one block: the fault, if the block is not mapped, and the store. Words, whole.
    pub(super) fn map_store(&mut self, ino: u64, pos: u64, bytes: &[u8], now: i64) -> Result {
        let at = pos / BLOCK;
        self.with(ino, |driver, live| {
            if at >= live.size().div_ceil(BLOCK) {
                return Err(Error::Invalid("a store past the end"));
            }
            let known = driver.mapped.contains(&(ino, at));
            let block = driver.fault(live, at, now)?;
            if !known && at == live.size() / BLOCK {
                driver.nothing_past_end(block, live.size() % BLOCK)?;
            }
            let end = (pos + bytes.len() as u64).min(live.size());
            driver.machine.store(block * BLOCK + pos % BLOCK, bytes)?;
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

    /// A write fault: the block, which the mapping has from now on.
    fn fault(&mut self, live: &mut Live, at: u64, now: i64) -> Result<u64> {
        let ino = live.ino();
        let block = match extent::find(&self.volume, live, at)? {
            Extent::Data { block, unwritten: false, .. } => block,
            Extent::Data { block, .. } => {
                self.machine.zero_nt(block * BLOCK, BLOCK)?;
                self.machine.fence();
                self.written(live, at, 1, None, now)?;
                self.settle(|model| Self::touched(model, ino, now));
                block
            }
            Extent::Hole { .. } => {
                let reserve = |live: &Live| Ok((at, self.volume.reserve(self.near(live, at)?, 1, false)?));
                let filled = ops::attach_zeroes(&self.volume, live, time(now), reserve)?.reply();
                self.settle(|model| Self::touched(model, ino, now));
                filled.block
            }
        };
        if self.mapped.insert((ino, at)) && at == live.size() / BLOCK {
            self.machine.zero_nt(block * BLOCK + live.size() % BLOCK, BLOCK - live.size() % BLOCK)?;
            self.machine.fence();
        }
        Ok(block)
    }

    /// Makes durable what mappings stored into these blocks.
    fn flush_blocks(&mut self, ino: u64, blocks: std::ops::Range<u64>) -> Result {
        if !self.mapped.range((ino, blocks.start)..(ino, blocks.end)).any(|_| true) {
            return Ok(());
        }
        self.with(ino, |driver, live| {
            let mut at = blocks.start;
            while at < blocks.end {
                at += match extent::find(&driver.volume, live, at)? {
                    Extent::Data { block, len, unwritten, .. } => {
                        let len = u64::from(len).min(blocks.end - at);
                        if !unwritten {
                            driver.machine.flush(block * BLOCK, len * BLOCK);
                        }
                        len
                    }
                    Extent::Hole { len } => len,
                };
            }
            driver.machine.fence();
            driver.settle(|model| model.tighten(ino, blocks.start * BLOCK..blocks.end * BLOCK));
            Ok(())
        })
    }

    /// fsync: what mappings stored, and the times of what was overwritten.
    pub(super) fn fsync(&mut self, ino: u64, now: i64) -> Result {
        let blocks = self.model.data(ino).len() as u64;
        self.flush_blocks(ino, 0..blocks.div_ceil(BLOCK))?;
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

    pub(super) fn preallocate(&mut self, ino: u64, block: u64, count: u32, now: i64) -> Result {
        let (mut at, end) = (block, block + u64::from(count));
        self.with(ino, |driver, live| {
            while at < end {
                at += match extent::find(&driver.volume, live, at)? {
                    Extent::Data { len, .. } => u64::from(len),
                    Extent::Hole { len } => {
                        let near = driver.near(live, at)?;
                        let len = patiently(|| {
                            let blocks = driver.volume.reserve(near, len.min(end - at) as u32, false)?;
                            let len = u64::from(blocks.count());
                            ops::preallocate(&driver.volume, live, at, blocks, None, time(now)).map(|_| len)
                        })?;
                        driver.settle(|model| Self::touched(model, ino, now));
                        len
                    }
                };
            }
            Ok(())
        })
    }

    /// A hole of whole blocks.
    pub(super) fn punch(&mut self, ino: u64, from: u64, to: u64, now: i64) -> Result {
        self.mapped.retain(|(file, block)| *file != ino || !(from..to).contains(block));
        self.with(ino, |driver, live| {
            ops::punch(&driver.volume, live, from..to, time(now)).map(drop)?;
            driver.zeroed(ino, from..to, now);
            Ok(())
        })
    }

    /// Blocks of a file were made to read as zeroes, by one record if they are few.
    fn zeroed(&mut self, ino: u64, blocks: std::ops::Range<u64>, now: i64) {
        let bytes = blocks.start * BLOCK..blocks.end.saturating_mul(BLOCK);
        let change = |model: &mut Model| {
            let data = model.data_mut(ino);
            let len = data.len() as u64;
            data[bytes.start.min(len) as usize..bytes.end.min(len) as usize].fill(0);
            Self::touched(model, ino, now);
        };
        if blocks.end - blocks.start <= FEW {
            self.settle(|model| {
                change(model);
                model.tighten(ino, bytes.clone());
            });
        } else {
            let end = bytes.end.min(self.model.data(ino).len() as u64).max(bytes.start);
            self.settle_parts(ino, bytes.start..end, change);
            self.model.tighten(ino, bytes);
        }
    }

    /// Whole blocks below the end read as zeroes, and stay the file's; holes get blocks first.
    pub(super) fn zero(&mut self, ino: u64, from: u64, to: u64, now: i64) -> Result {
        self.preallocate(ino, from, to.saturating_sub(from).max(1) as u32, now)?;
        let to = to.min(self.model.data(ino).len() as u64 / BLOCK).max(from);
        self.mapped.retain(|(file, block)| *file != ino || !(from..to).contains(block));
        self.with(ino, |driver, live| {
            let left = ops::unwrite(&driver.volume, live, from..to, time(now))?.reply();
            let mut at = from;
            while at < to {
                let Extent::Data { len, .. } = extent::find(&driver.volume, live, at)? else {
                    panic!("a hole at {at}")
                };
                at += u64::from(len);
            }
            assert!(left.start == from && left.end <= to, "what is left of a range");
            assert!(left.is_empty() || driver.volume.space().free <= ROOM, "{left:?} left, and there is space");
            if left.is_empty() {
                driver.zeroed(ino, from..to, now);
                return Ok(());
            }
            if left.end < to {
                driver.zeroed(ino, left.end..to, now);
            } else {
                driver.settle(|model| Self::touched(model, ino, now));
            }
            driver.zero_written(live, left.clone())?;
            driver.settle_torn(ino, left.start * BLOCK..left.end * BLOCK, |model| {
                model.data_mut(ino)[(left.start * BLOCK) as usize..(left.end * BLOCK) as usize].fill(0);
            });
            Ok(())
        })
    }

    /// Zeroes written blocks in place.
    fn zero_written(&self, live: &Live, blocks: std::ops::Range<u64>) -> Result {
        let mut at = blocks.start;
        while at < blocks.end {
            at += match extent::find(&self.volume, live, at)? {
                Extent::Data { block, len, unwritten, .. } => {
                    let len = u64::from(len).min(blocks.end - at);
                    if !unwritten {
                        self.machine.zero_nt(block * BLOCK, len * BLOCK)?;
                        self.machine.fence();
                    }
                    len
                }
                Extent::Hole { len } => len,
            };
        }
        Ok(())
    }
}
