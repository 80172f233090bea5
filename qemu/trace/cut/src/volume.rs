// SPDX-License-Identifier: GPL-2.0
//! The file system in a cut image, by the media core: mounted, checked and read, without the image ever being copied.
//!
//! Layer: memory for [`pfnfs_sim::plain`] over what a [`Media`] leaves; then the core's own operations, as the simulation's driver mounts them.

use anyhow::{anyhow, bail, ensure, Context, Result};
use crash_load::model::{Inode, Kind, Tree};
use pfnfs_core::media::{Error, Geometry, Pmem, PmemMut, BLOCK};
use pfnfs_core::meta::extent::{self, Extent};
use pfnfs_core::meta::inode::{self, Live};
use pfnfs_core::meta::{dir, walk, Volume};
use pfnfs_sim::fs::driver::Driver;
use pfnfs_sim::plain::Plain;
use std::cell::RefCell;
use std::ops::Range;
use std::rc::Rc;
use store_log::{Media, Rest};

type CoreResult<T = ()> = pfnfs_core::media::Result<T>;

/// An image with the pages that differ from it.
pub struct Overlay<'a> {
    base: &'a [u8],
    pages: RefCell<Vec<Option<Vec<u8>>>>,
}

impl<'a> Overlay<'a> {
    /// What a cut now leaves.
    pub fn new(media: &'a Media, rest: Rest) -> Self {
        let base = media.safe();
        let overlay = Overlay { base, pages: RefCell::new(vec![None; base.len().div_ceil(BLOCK as usize)]) };
        for (at, line) in media.left(rest) {
            overlay.change(at, line.len(), |to, from| to.copy_from_slice(line.get(from).unwrap_or_default()));
        }
        overlay
    }

    fn inside(&self, at: u64, len: usize) -> CoreResult {
        let end = at.checked_add(len as u64).filter(|end| *end <= self.base.len() as u64);
        end.map(drop).ok_or(Error::Invalid("past the end of the media"))
    }

    /// The pages of a range: number, the part of the page, the part of the range.
    fn pieces(at: u64, len: usize) -> impl Iterator<Item = (usize, Range<usize>, Range<usize>)> {
        let mut done = 0;
        std::iter::from_fn(move || {
            let here = at as usize + done;
            let off = here % BLOCK as usize;
            let n = (len - done).min(BLOCK as usize - off);
            done += n;
            (n > 0).then_some((here / BLOCK as usize, off..off + n, done - n..done))
        })
    }

    fn page(&self, number: usize) -> &'a [u8] {
        let start = number * BLOCK as usize;
        self.base.get(start..self.base.len().min(start + BLOCK as usize)).unwrap_or_default()
    }

    /// Calls `change` with parts of pages and the part of the range that each of them is.
    fn change(&self, at: u64, len: usize, mut change: impl FnMut(&mut [u8], Range<usize>)) {
        let mut pages = self.pages.borrow_mut();
        for (number, part, range) in Self::pieces(at, len) {
            let Some(page) = pages.get_mut(number) else { continue };
            if let Some(part) = page.get_or_insert_with(|| self.page(number).to_vec()).get_mut(part) {
                change(part, range);
            }
        }
    }

    fn bits(&self, at: u64, first: u32, count: u32, change: impl Fn(&mut u8, u8)) -> CoreResult {
        for bit in u64::from(first)..u64::from(first) + u64::from(count) {
            self.inside(at + bit / 8, 1)?;
            self.change(at + bit / 8, 1, |bytes, _| bytes.iter_mut().for_each(|byte| change(byte, 1 << (bit % 8))));
        }
        Ok(())
    }
}

impl Pmem for Overlay<'_> {
    fn size(&self) -> u64 {
        self.base.len() as u64
    }

    fn read_bytes(&self, at: u64, into: &mut [u8]) -> CoreResult {
        self.inside(at, into.len())?;
        let pages = self.pages.borrow();
        for (number, part, range) in Self::pieces(at, into.len()) {
            let page = pages.get(number).and_then(Option::as_deref).unwrap_or_else(|| self.page(number));
            if let (Some(to), Some(from)) = (into.get_mut(range), page.get(part)) {
                to.copy_from_slice(from);
            }
        }
        Ok(())
    }
}

impl PmemMut for Overlay<'_> {
    fn store(&self, at: u64, bytes: &[u8]) -> CoreResult {
        self.inside(at, bytes.len())?;
        self.change(at, bytes.len(), |to, from| to.copy_from_slice(bytes.get(from).unwrap_or_default()));
        Ok(())
    }

    fn store_nt(&self, at: u64, bytes: &[u8]) -> CoreResult {
        self.store(at, bytes)
    }

    fn zero(&self, at: u64, len: u64) -> CoreResult {
        self.inside(at, len as usize)?;
        self.change(at, len as usize, |to, _| to.fill(0));
        Ok(())
    }

    fn zero_nt(&self, at: u64, len: u64) -> CoreResult {
        self.zero(at, len)
    }

    fn flush(&self, _at: u64, _len: u64) {}

    fn fence(&self) {}

    fn set_bits(&self, at: u64, first: u32, count: u32) -> CoreResult {
        self.bits(at, first, count, |byte, bit| *byte |= bit)
    }

    fn clear_bits(&self, at: u64, first: u32, count: u32) -> CoreResult {
        self.bits(at, first, count, |byte, bit| *byte &= !bit)
    }
}

/// The core's errors have no words of their own.
trait Said<T> {
    fn said(self, what: &'static str) -> Result<T>;
}

impl<T> Said<T> for CoreResult<T> {
    fn said(self, what: &'static str) -> Result<T> {
        self.map_err(|error| anyhow!("{what}: {error:?}"))
    }
}

/// Mounts the file system, finishes its orphans, checks that everything fits together, and reads all of it.
pub fn tree(overlay: Overlay<'_>) -> Result<Tree> {
    let geometry = Geometry::read(&overlay).said("superblock")?;
    let machine = Plain::new(overlay, &geometry);
    let volume = Driver::mount_at(&machine, geometry).said("mount")?.volume;
    volume.reclaim().said("orphans")?;
    let mounted = Mounted { volume };
    mounted.check().said("check")?;
    let mut found = Tree::default();
    mounted.directory(mounted.volume.geometry().root(), "", &mut found)?;
    Ok(found)
}

struct Mounted<'m, 'a> {
    volume: Rc<Volume<&'m Plain<Overlay<'a>>>>,
}

impl Mounted<'_, '_> {
    fn check(&self) -> CoreResult {
        let mut blocks = vec![0; walk::Scratch::block_words(self.volume.geometry())];
        let mut links = vec![0; walk::Scratch::link_words(&self.volume)];
        let mut keys = dir::Scratch::new();
        let mut scratch = walk::Scratch { blocks: &mut blocks, links: &mut links, keys: &mut keys };
        let found = walk::check(&self.volume, &mut scratch, &mut ())?;
        let space = self.volume.space();
        if space.blocks - space.free != found.blocks || space.inodes - space.free_inodes != found.inodes {
            return Err(Error::Corrupt { at: 0, why: "what is free in DRAM and on the media" });
        }
        Ok(())
    }

    fn directory(&self, ino: u64, prefix: &str, found: &mut Tree) -> Result<()> {
        let live = inode::load(&self.volume, ino, None).said("directory")?;
        let mut entries = Vec::new();
        dir::read(&self.volume, &live, 0, &mut dir::Scratch::new(), &mut |entry| {
            entries.push((String::from_utf8_lossy(entry.name).into_owned(), entry.ino));
            true
        })
        .said("readdir")?;
        for (name, ino) in entries {
            let path = format!("{prefix}{name}");
            ensure!(!found.names.contains_key(&path), "{path} is listed twice");
            let live = inode::load(&self.volume, ino, None).said("inode")?;
            found.add_found(path.clone(), ino, self.inode(&live).with_context(|| path.clone())?);
            if live.is_dir() {
                self.directory(ino, &format!("{path}/"), found)?;
            }
        }
        Ok(())
    }

    fn inode(&self, live: &Live) -> Result<Inode> {
        let kind = if live.is_dir() {
            Kind::Dir
        } else if live.is_file() {
            Kind::File(self.content(live).said("content")?.into())
        } else if live.is_symlink() {
            let mut target = vec![0; live.size() as usize];
            let n = inode::read_link(&self.volume, live, 0, &mut target).said("symlink")?;
            ensure!(n == target.len(), "a symlink's size is not its target's length");
            Kind::Symlink(String::from_utf8_lossy(&target).into_owned())
        } else {
            bail!("neither file, directory nor symlink");
        };
        let mode = (!live.is_symlink()).then_some(u32::from(live.mode()) & 0o7777);
        let time = live.mtime();
        let mtime = (time.sec.get() as u64).wrapping_mul(1_000_000_000).wrapping_add(u64::from(time.nsec.get()));
        Ok(Inode { kind, mode, mtime: Some(mtime) })
    }

    fn content(&self, live: &Live) -> CoreResult<Vec<u8>> {
        let mut data = vec![0; live.size() as usize];
        let mut at = 0;
        while at * BLOCK < live.size() {
            at += match extent::find(&self.volume, live, at)? {
                Extent::Hole { len } => len,
                Extent::Data { len, unwritten: true, .. } => len.into(),
                Extent::Data { block, len, .. } => {
                    let start = (at * BLOCK) as usize;
                    let end = data.len().min(start + len as usize * BLOCK as usize);
                    self.volume.media().read_bytes(block * BLOCK, data.get_mut(start..end).unwrap_or_default())?;
                    len.into()
                }
            };
        }
        Ok(data)
    }
}
