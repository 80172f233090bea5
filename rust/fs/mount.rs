// SPDX-License-Identifier: GPL-2.0

//! Layer fs: the file system type and its mounts: from a name to a device, from a device to a volume, and back.
//!
//! A mount claims its device, so that nobody else writes it; unmounting gives it back before the super block is gone, so
//! that the next mount finds it free. The device calls us through [`Watch`] when memory fails or it is removed.

use core::ops::Range;

use kernel::fmt;
use kernel::prelude::*;
use kernel::str::CStr;
use kernel::sync::{new_mutex, Arc, Mutex};

use super::error::errno;
use super::gate::{Gate, Storing};
use super::inode::{self, State};
use super::tidy::{self, Tidy};
use super::{debug, export};
use crate::dax;
use crate::dev::{self, Device, Source};
use crate::linux::dax::Devt;
use crate::linux::errno::EUCLEAN;
use crate::linux::periodic::Periodic;
use crate::linux::ratelimit;
use crate::linux::vfs::context::Log;
use crate::linux::vfs::inode::{Cleared, Evicting};
use crate::linux::vfs::sb::{self, New, Params, Ready, Statfs, Unfrozen};
use crate::linux::vfs::{self, path, SuperBlock};
use crate::media::{self, Error as Media};
use crate::meta::inode as core_inode;
use crate::meta::ops;

/// `f_type`: "pfnf".
const MAGIC: u32 = 0x666e_6670;

/// The file system type.
pub(crate) struct Pfnfs;

/// What the user can say at a mount, beyond what the VFS knows.
#[derive(Default)]
pub(crate) struct Options {
    /// Read what is there without looking at the log, and without a single store.
    pub(super) norecovery: bool,
}

/// One mount.
#[pin_data]
pub(crate) struct Mounted {
    gate: Gate,
    /// `None` once it is given back.
    #[pin]
    claim: Mutex<Option<dev::Claimed>>,
    pub(super) counters: dax::Counters,
    mappings: Arc<dax::Mappings>,
    /// What debugfs shows; without it if there was no memory for that.
    #[pin]
    debug: Mutex<Option<debug::Volume>>,
    /// What is done in the background.
    #[pin]
    tidy: Periodic<Tidy>,
    /// Orphans whose last user has gone while the file system was frozen: freed when it is not any more.
    #[pin]
    late: Mutex<KVec<u64>>,
}

impl Mounted {
    /// The volume, and the way to change it.
    pub(super) fn gate(&self) -> &Gate {
        &self.gate
    }

    /// The device.
    pub(super) fn device(&self) -> &Device {
        self.gate.device()
    }

    /// The mappings that have entries, or had.
    pub(super) fn mappings(&self) -> &dax::Mappings {
        &self.mappings
    }

    /// What is done in the background.
    pub(super) fn tidy(&self) -> &Periodic<Tidy> {
        &self.tidy
    }

    /// Orphans whose last user has gone while the file system was frozen. Nothing is allocated under the lock that could reclaim.
    pub(super) fn late(&self) -> &Mutex<KVec<u64>> {
        &self.late
    }

    /// The device's name, for messages.
    pub(super) fn name(&self) -> impl fmt::Display + '_ {
        kernel::str::BStr::from_bytes(self.device().name().to_bytes())
    }

    /// Whether the removal of the device has begun.
    pub(super) fn is_dead(&self) -> bool {
        self.device().is_dead()
    }

    /// `EIO` once the removal of the device has begun.
    pub(super) fn alive(&self) -> Result {
        if self.is_dead() {
            Err(EIO)
        } else {
            Ok(())
        }
    }

    /// The volume refuses changes from now on, so that what is wrong does no more harm; files do as well.
    pub(super) fn stop(&self) {
        self.gate.stop();
        tidy::soon(self);
        pr_crit!("{}: metadata is lost or wrong: read-only from now on, unmount it and run fsck.pfnfs\n", self.name());
    }

    /// A directory names an inode that does not exist.
    pub(super) fn dangling(&self, dir: u64, ino: u64) -> Error {
        if ratelimit::allows() {
            pr_err!("{}: directory {}: names inode {}, which does not exist\n", self.name(), dir, ino);
        }
        EUCLEAN.into()
    }

    /// An inode is in memory whose number the volume gave away as free.
    #[cold]
    #[inline(never)]
    pub(super) fn taken(&self, ino: u64) -> Error {
        if ratelimit::allows() {
            pr_err!("{}: inode {}: in use, but its number is marked as free\n", self.name(), ino);
        }
        EUCLEAN.into()
    }

    /// Everything that was said to be done stays done without a replay, and what was given up is free.
    pub(super) fn settle(&self, store: &Storing<'_>) -> Result {
        if let Err(e) = store.volume().reclaim() {
            // What cannot be freed now is tried again by the next mount.
            let _ = self.fail(0, e);
        }
        store.volume().checkpoint().map_err(|e| self.fail(0, e))?;
        self.device().deep_flush()
    }

    /// Empties the log for good.
    fn close(&self, store: &Storing<'_>) -> Result {
        store.volume().close().map_err(|e| self.fail(0, e))?;
        self.device().deep_flush()
    }
}

/// Who the device calls. Neither the super block nor the volume: it may outlive them.
struct Watch {
    device: Arc<Device>,
    mappings: Arc<dax::Mappings>,
}

impl dev::Holder for Watch {
    fn dead(&self) {
        let name = kernel::str::BStr::from_bytes(self.device.name().to_bytes());
        dax::kill(&self.mappings, |mapping, e| {
            if ratelimit::allows() {
                pr_err!("{name}: inode {}: what was mapped is not durable ({e:?})\n", mapping.ino());
            }
        });
        pr_err!("{name}: removed while mounted; what was durable is on it\n");
    }

    fn memory_failure(&self, pages: Range<u64>, flags: i32) -> Result {
        let Ok(frames) = self.device.frames(pages) else { return Ok(()) };
        let mut outcome = Ok(());
        // What is being evicted is mapped by nobody.
        self.mappings.for_each(|mapping| match dax::fail(mapping, &frames.pfns(), flags) {
            Ok(lost) if lost && ratelimit::allows() => {
                let name = kernel::str::BStr::from_bytes(self.device.name().to_bytes());
                pr_err!(
                    "{name}: inode {}: memory failed with what a mapping had stored and nobody had synchronised\n",
                    mapping.ino()
                );
            }
            Ok(_) => {}
            Err(e) => outcome = Err(e),
        });
        outcome
    }
}

/// Why a volume cannot be mounted, for a reader.
struct Why(Media);

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Media::NotPfnfs => write!(f, "no pfnfs volume on it (see mkfs.pfnfs)"),
            Media::Version(v) => write!(f, "format version {v}, this module knows {}", crate::media::format::VERSION),
            Media::Feature(bits) => write!(f, "uses features that this module does not know: {bits:#x}"),
            Media::Damaged(why) => write!(f, "superblock damaged: {why}"),
            Media::WrongSize { media, volume } => {
                write!(f, "wrong size: the device has {media} bytes, the volume {volume}")
            }
            Media::ReadOnly => write!(f, "the log has to be replayed, and nothing can be written (-o ro,norecovery)"),
            Media::Poison { at } => write!(f, "memory at byte {at:#x} cannot be read"),
            Media::Corrupt { at, why } => write!(f, "corrupt at byte {at:#x}: {why}"),
            other => write!(f, "{other:?}"),
        }
    }
}

/// Says why, and gives the errno.
pub(super) fn refuse(log: &Log<'_>, device: &Device, e: Media) -> Error {
    log.error(fmt!("{}: {}", kernel::str::BStr::from_bytes(device.name().to_bytes()), Why(e)));
    errno(e)
}

impl vfs::Type for Pfnfs {
    const NAME: &'static CStr = c"pfnfs";
    type Options = Options;
    type Key = Arc<Device>;
    type Super = Mounted;
    type Inode = State;

    fn parse(options: &mut Options, key: &CStr, value: Option<&CStr>) -> Result<bool> {
        match (key.to_bytes(), value) {
            (b"norecovery", None) => options.norecovery = true,
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn find(source: &CStr, _options: &Options, log: &Log<'_>) -> Result<Arc<Device>> {
        let name = kernel::str::BStr::from_bytes(source.to_bytes());
        let found = if source.to_bytes().contains(&b'/') {
            let devt = path::char_device(source).inspect_err(|e| match *e {
                ENODEV => log.error(fmt!("{name}: no node of a pfnfs device")),
                _ => log.error(fmt!("{name}: cannot be looked up")),
            })?;
            dev::find(Source::Node(Devt::from_raw(devt)))
        } else {
            dev::find(Source::Name(source.to_bytes()))
        };
        found.map_err(|_| {
            log.error(fmt!("{name}: no such pfnfs device"));
            ENODEV
        })
    }

    fn same(a: &Arc<Device>, b: &Arc<Device>) -> bool {
        Arc::as_ptr(a) == Arc::as_ptr(b)
    }

    fn fill_super<'a>(
        sb: SuperBlock<'a, Self, New>,
        key: &Arc<Device>,
        options: Options,
        log: &Log<'_>,
    ) -> Result<SuperBlock<'a, Self, Ready>> {
        let claim = dev::Claimed::mount(key.clone()).inspect_err(|e| match *e {
            EBUSY => log.error(fmt!("the device is in use: somebody writes its node")),
            _ => log.error(fmt!("the device is being removed")),
        })?;
        let read_only = sb.read_only();
        let gate = Gate::open(&claim, key, read_only, &options, log)?;
        let params = params(&gate, read_only);
        let root = gate.geometry().root();
        let mappings = Arc::pin_init(dax::Mappings::new(), GFP_KERNEL)?;
        let watch = Arc::new(Watch { device: key.clone(), mappings: mappings.clone() }, GFP_KERNEL)?;
        let mounted = Arc::pin_init(
            pin_init!(Mounted {
                gate,
                claim <- new_mutex!(Some(claim), "pfnfs_claim"),
                counters: dax::Counters::default(),
                mappings,
                debug <- new_mutex!(None, "pfnfs_debug"),
                tidy <- Tidy::new(),
                late <- new_mutex!(KVec::new(), "pfnfs_late"),
            }),
            GFP_KERNEL,
        )?;
        let sb = sb.init(params, mounted.clone())?;
        finish_orphans(sb.sb());
        let root = inode::get(sb.sb(), root, None).map_err(|e| {
            log.error(fmt!("the root directory cannot be read"));
            if e == ENOENT {
                EUCLEAN.into()
            } else {
                e
            }
        })?;
        if !root.is_dir() {
            log.error(fmt!("the root is no directory"));
            return Err(EUCLEAN.into());
        }
        *mounted.debug.lock() = debug::volume(sb.handle(), key.name())?;
        let handle = sb.handle();
        let sb = sb.root(root)?;
        if let Some(claim) = &*mounted.claim.lock() {
            claim.hold(watch).inspect_err(|_| log.error(fmt!("the device is being removed")))?;
        }
        Tidy::start(&mounted.tidy, handle);
        Ok(sb)
    }

    fn inode() -> impl PinInit<State> {
        State::new()
    }

    fn statfs(sb: &sb::Super<Self>) -> Result<Statfs> {
        let space = sb.data().gate.space();
        let uuid = *sb.data().gate.geometry().uuid();
        let (a, b) = uuid.split_at(8);
        let word = |half: &[u8]| half.first_chunk().map_or(0, |h| u64::from_le_bytes(*h));
        Ok(Statfs {
            magic: MAGIC,
            blocks: space.blocks,
            free: space.free,
            available: space.free,
            files: space.inodes,
            files_free: space.free_inodes,
            // Never zero: that would say that there is no id.
            fsid: (word(a) ^ word(b)).max(1),
        })
    }

    fn sync(sb: &sb::Super<Self>, wait: bool) -> Result {
        // Names and sizes are durable already; this only shortens the next mount.
        if wait {
            tidy::release(sb);
        }
        if !wait {
            return Ok(());
        }
        match Gate::try_storing(sb) {
            Ok(store) => sb.data().settle(&store),
            Err(e) if sb.data().gate.is_stopped() => Err(e),
            // There is nothing that may be shortened.
            Err(_) => Ok(()),
        }
    }

    fn freeze(sb: &sb::Super<Self>, unfrozen: Unfrozen<'_>) -> Result {
        let mounted = sb.data();
        mounted.settle(&mounted.gate.storing(unfrozen)?)
    }

    fn thaw(sb: &sb::Super<Self>) -> Result {
        tidy::soon(sb.data());
        Ok(())
    }

    fn remount(sb: &sb::Super<Self>, read_only: bool, log: &Log<'_>) -> Result {
        let mounted = sb.data();
        if read_only {
            // What stores in place have left to do: nothing of it is done any more once this is read-only.
            if mounted.gate().changeable().is_ok() {
                sb.sync()?;
            }
            // A mount of what this leaves has nothing to replay.
            tidy::evict_late(sb);
            return match Gate::try_storing(sb) {
                Ok(store) => mounted.close(&store),
                Err(_) if mounted.gate.read_only() || mounted.is_dead() => Ok(()),
                Err(e) => Err(e),
            };
        }
        mounted.alive()?;
        mounted.gate.make_writable().map_err(|e| match e {
            Media::ReadOnly => {
                log.error(fmt!(
                    "the device or the volume is read-only, or was mounted without recovery: unmount it first"
                ));
                EROFS
            }
            other => refuse(log, mounted.device(), other),
        })?;
        finish_orphans(sb);
        Ok(())
    }

    fn put_super(sb: &sb::Super<Self>) {
        let mounted = sb.data();
        tidy::evict_late(sb);
        // In case of an error the next mount replays what is in the log.
        if let Ok(store) = Gate::try_storing(sb) {
            let _ = mounted.close(&store);
        }
        let claim = mounted.claim.lock().take();
        drop(claim);
    }

    fn keep(inode: &vfs::Inode<Self>) -> bool {
        tidy::keep(inode)
    }

    fn leave(sb: &sb::Super<Self>) {
        sb.data().tidy.stop();
    }

    fn await_users(sb: &sb::Super<Self>) {
        dax::await_pins(&sb.data().mappings);
    }

    fn write_inode(inode: &vfs::Inode<Self>) -> Result {
        inode::write(inode)
    }

    fn evict(inode: Evicting<'_, Self>) -> Cleared<'_, Self> {
        inode::evict(inode)
    }
}

/// What the VFS wants to know of a volume.
fn params(gate: &Gate, read_only: bool) -> Params<Pfnfs> {
    let mut id = [0; 32];
    for (to, from) in id.iter_mut().zip(gate.device().name().to_bytes()) {
        *to = *from;
    }
    Params {
        magic: MAGIC,
        max_bytes: core_inode::SIZE_MAX as i64,
        max_links: core_inode::LINKS_MAX,
        id,
        uuid: *gate.geometry().uuid(),
        read_only,
        export: export::TABLE,
    }
}

/// What a power cut has left half done: truncations are finished, and what has no name is freed. Errors are in the log.
fn finish_orphans(sb: &sb::Super<Pfnfs>) {
    let mounted = sb.data();
    let Ok(store) = Gate::try_storing(sb) else { return };
    let _ = ops::finish_orphans(store.volume(), &mut |ino| finish_truncation(sb, ino), &mut |ino, e| {
        // The other orphans need not suffer from an error.
        let _ = mounted.fail(ino, e);
        Ok(())
    });
}

/// Frees an inode, or finishes its truncation. Errors are in the log.
pub(super) fn finish_orphan(sb: &sb::Super<Pfnfs>, ino: u64) {
    let Ok(store) = Gate::try_storing(sb) else { return };
    if let Err(e) = ops::finish_orphan(store.volume(), ino, &mut |ino| finish_truncation(sb, ino)) {
        let _ = sb.data().fail(ino, e);
    }
}

/// Finishes an interrupted truncation, of an inode that somebody may have in memory. Errors are in the log.
fn finish_truncation(sb: &sb::Super<Pfnfs>, ino: u64) -> media::Result {
    let _ = inode::finish(sb, ino);
    Ok(())
}
