// SPDX-License-Identifier: GPL-2.0

//! A file system on the core that plays the part of `rust/fs`, by inode numbers and without any caches: each operation loads
//! what it needs, as somebody who trusts nothing would.

use std::cell::Cell;

use pfnfs_core::media::format::Time;
use pfnfs_core::media::{Error, Geometry, Pmem, Result, BLOCK, HUGE};
use pfnfs_core::meta::extent::{self, Extent, FILE_BLOCKS};
use pfnfs_core::meta::file::{self, Allocate, Clear, Fault, How, Seen, Write};
use pfnfs_core::meta::inode::{self, Live};
use pfnfs_core::meta::ops::{self, New, Rename, SetAttr, What};
use pfnfs_core::meta::{dir, Machine, Open, Volume};

use crate::fs::carrier::Carrier;

/// An entry of a directory: name and inode number.
pub type Name = (Vec<u8>, u64);

/// The file system.
pub struct Files<M: Machine + Clone> {
    machine: M,
    /// What it is on.
    pub volume: Volume<M>,
    clock: Cell<i64>,
}

impl<M: Machine + Clone> Files<M> {
    /// Mounts, without finishing orphans.
    pub fn mount(machine: M, geometry: Geometry, how: Open) -> Result<Self> {
        Ok(Self { volume: Volume::open(machine.clone(), geometry, how)?, machine, clock: Cell::new(1) })
    }

    /// What it runs on.
    pub fn machine(&self) -> &M {
        &self.machine
    }

    fn now(&self) -> Time {
        self.clock.set(self.clock.get() + 1);
        Time { sec: self.clock.get().into(), nsec: 7.into() }
    }

    fn load(&self, ino: u64) -> Result<Live> {
        inode::find(&self.volume, ino, None)
    }

    /// Finishes what interrupted operations left, as a mount does; an error of one does not stop the others.
    pub fn finish_orphans(&self) -> Result {
        let mut result = Ok(());
        let mut truncate =
            |ino| ops::finish_truncate(&self.volume, &mut inode::load(&self.volume, ino, None)?).map(drop);
        ops::finish_orphans(&self.volume, &mut truncate, &mut |_, error| {
            result = result.and(Err(error));
            Ok(())
        })?;
        result
    }

    /// Makes a file of any kind; returns its number.
    pub fn create(&self, dir: u64, name: &[u8], mode: u16, what: What<'_>) -> Result<u64> {
        let mut parent = self.load(dir)?;
        let new = New { mode, uid: 0, gid: 0, now: self.now(), what };
        Ok(ops::create(&self.volume, &mut parent, name, &new)?.reply().ino())
    }

    /// Makes a file without a name.
    pub fn tmpfile(&self, near: u64, mode: u16) -> Result<u64> {
        let new = New { mode, uid: 0, gid: 0, now: self.now(), what: What::File };
        let number = ops::number(&self.volume, near)?;
        Ok(ops::tmpfile(&self.volume, &new, number)?.reply().ino())
    }

    /// Gives a file another name.
    pub fn link(&self, dir: u64, name: &[u8], ino: u64) -> Result {
        let [mut parent, mut target] = self.load_both(dir, ino)?;
        ops::link(&self.volume, &mut parent, name, &mut target, self.now()).map(drop)
    }

    /// Two different inodes.
    fn load_both(&self, one: u64, two: u64) -> Result<[Live; 2]> {
        if one == two {
            // What the kernel's own locks would not survive: its lookup refuses loops.
            return Err(Error::Invalid("loop"));
        }
        Ok([self.load(one)?, self.load(two)?])
    }

    /// The inode that a name stands for.
    pub fn find(&self, dir: u64, name: &[u8]) -> Result<Option<u64>> {
        Ok(dir::lookup(&self.volume, &self.load(dir)?, name)?.map(|found| found.ino))
    }

    /// Removes a name; and the file with its last one, unless somebody keeps it.
    pub fn unlink(&self, dir: u64, name: &[u8], keep: bool) -> Result {
        let ino = self.find(dir, name)?.ok_or(Error::NotFound)?;
        let [mut parent, mut victim] = self.load_both(dir, ino)?;
        if victim.is_dir() {
            ops::rmdir(&self.volume, &mut parent, name, &mut victim, self.now())?.reply();
        } else {
            ops::unlink(&self.volume, &mut parent, name, &mut victim, self.now())?.reply();
        }
        if victim.nlink() == 0 && !keep {
            ops::evict(&self.volume, victim)?;
        }
        Ok(())
    }

    /// Moves a name, over another if there is one. A directory stays where it is.
    pub fn rename(&self, from: u64, from_name: &[u8], to: u64, to_name: &[u8]) -> Result {
        let moved = self.find(from, from_name)?.ok_or(Error::NotFound)?;
        let victim = self.find(to, to_name)?;
        let [mut source, mut moved] = self.load_both(from, moved)?;
        let other = from != to;
        let loops = [Some(source.ino()), Some(moved.ino()), other.then_some(to)].contains(&victim);
        if victim.is_some() && loops || other && (moved.ino() == to || moved.is_dir()) {
            return Err(Error::Invalid("loop"));
        }
        let mut target = if other { Some(self.load(to)?) } else { None };
        let mut victim = victim.map(|ino| self.load(ino)).transpose()?;
        let rename = Rename {
            from: &mut source,
            from_name,
            to: target.as_mut(),
            to_name,
            moved: &mut moved,
            victim: victim.as_mut(),
            now: self.now(),
        };
        ops::rename(&self.volume, rename)?.reply();
        match victim {
            Some(victim) if victim.nlink() == 0 => ops::evict(&self.volume, victim),
            _ => Ok(()),
        }
    }

    /// Sets permissions and times.
    pub fn chmod(&self, ino: u64, mode: u16) -> Result {
        let now = Some(self.now());
        let attr = SetAttr { mode: Some(mode), mtime: now, ctime: now, ..SetAttr::default() };
        ops::set_attr(&self.volume, &mut self.load(ino)?, &attr).map(drop)
    }

    /// Names of a directory from position `from` on, at most `most`; and looks each up.
    pub fn list(&self, dir: u64, from: u64, most: usize) -> Result<Vec<Name>> {
        let live = self.load(dir)?;
        let mut names = Vec::new();
        dir::read(&self.volume, &live, from, &mut dir::Scratch::new(), &mut |entry| {
            names.push((entry.name.to_vec(), entry.ino));
            names.len() < most
        })?;
        for (name, _) in names.iter().take(8) {
            let _ = dir::lookup(&self.volume, &live, name)?;
        }
        Ok(names)
    }

    /// Reads a file or a symlink: the first bytes of each extent.
    pub fn read(&self, ino: u64) -> Result {
        let live = self.load(ino)?;
        if live.is_symlink() {
            let mut target = [0; 4096];
            inode::read_link(&self.volume, &live, 0, &mut target)?;
            inode::read_link(&self.volume, &live, live.size() / 2, &mut target[..300])?;
            return Ok(());
        }
        let (mut block, mut buffer) = (0, [0; 64]);
        while block < FILE_BLOCKS {
            block += match extent::find(&self.volume, &live, block)? {
                Extent::Hole { len } => len.max(1),
                Extent::Data { block, len, .. } => {
                    self.volume.media().read_bytes(block * BLOCK, &mut buffer)?;
                    u64::from(len.max(1))
                }
            };
        }
        Ok(())
    }

    /// A carrier of these bytes.
    fn carrier<'a>(&'a self, bytes: &'a [u8]) -> Carrier<'a, M> {
        Carrier::new(&self.machine, bytes)
    }

    /// Writes `len` bytes.
    pub fn write(&self, ino: u64, pos: u64, len: usize) -> Result {
        let mut live = self.load(ino)?;
        if pos > live.size() {
            file::prepare_end(&self.volume, &live, pos, &mut self.carrier(&[]))?;
        }
        let (mut write, mut left) = (Write::new(pos), len);
        let bytes = vec![0xda; len];
        while left > 0 {
            let mut carrier = self.carrier(&bytes[..left]);
            let step = write.next(&self.volume, &live, left as u64)?;
            let carried = write.carry(&self.volume, step, &mut carrier)?;
            left -= write.record(&self.volume, &mut live, carried, &mut carrier, self.now())?.bytes as usize;
        }
        Ok(())
    }

    /// A fault at a block, and what a mapping gets to see.
    pub fn fault(&self, ino: u64, at: u64, write: bool, huge: bool) -> Result {
        let mut live = self.load(ino)?;
        let start = at - at % u64::from(HUGE);
        let window = start..(start + u64::from(HUGE)).min(live.size().div_ceil(BLOCK));
        if !live.is_file() || !window.contains(&at) {
            return Err(Error::Invalid("a fault past the end"));
        }
        let mut fault = Fault::new(window, at, write, huge);
        while let Some(seen) = fault.next(&self.volume, &mut live, &mut self.carrier(&[]), self.now())? {
            if let Seen::Blocks(shown) = seen {
                let mut buffer = [0; 64];
                let (at, len) = shown.copy.unwrap_or((shown.block * BLOCK, 64));
                self.volume.media().read_bytes(at, &mut buffer[..len.min(64) as usize])?;
            }
        }
        Ok(())
    }

    /// Sets the size.
    pub fn truncate(&self, ino: u64, size: u64) -> Result {
        Ok(file::resize(&self.volume, &mut self.load(ino)?, size, &mut self.carrier(&[]), self.now())?)
    }

    /// Gives a file blocks where it has none.
    pub fn preallocate(&self, ino: u64, block: u64, count: u64) -> Result {
        let mut live = self.load(ino)?;
        let mut allocate = Allocate::new(&(block * BLOCK..(block + count) * BLOCK));
        while allocate.next(&self.volume, &mut live, self.now())? {}
        Ok(())
    }

    /// Makes bytes read as zeroes.
    pub fn clear(&self, ino: u64, bytes: std::ops::Range<u64>, how: How) -> Result {
        let mut live = self.load(ino)?;
        let clear = Clear::new(bytes, live.size());
        for edge in clear.edges() {
            Clear::edge(&self.volume, &live, edge, &mut self.carrier(&[]))?;
        }
        if clear.blocks().is_some() {
            clear.whole(&self.volume, &mut live, how, &mut self.carrier(&[]), self.now())?;
        }
        Ok(())
    }

    /// Kind and number of links; for the choice of what to do.
    pub fn is_dir(&self, ino: u64) -> Result<bool> {
        Ok(self.load(ino)?.is_dir())
    }
}
