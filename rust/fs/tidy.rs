// SPDX-License-Identifier: GPL-2.0

//! Layer fs: what is done in the background while a volume is mounted. Files without a name are evicted when nothing holds their
//! pages any more; orphans that wait are freed, and the log is emptied. So space comes back also if nobody asks for it, and the next
//! mount has less to replay. Nothing is stored when there is nothing to do, or while the file system is frozen. Where nothing may
//! be stored any more, what mappings can still write is write-protected.

use kernel::prelude::*;
use kernel::sync::{Arc, SetOnce};

use super::gate::Gate;
use super::inode::Inode;
use super::mount::{finish_orphan, Mounted, Pfnfs};
use crate::dax;
use crate::linux::mm::Mapping;
use crate::linux::periodic::{Periodic, Task};
use crate::linux::vfs::sb::{Handle, Super};

/// Milliseconds between two looks.
const PERIOD: u32 = 5000;
/// The same while a file waits for those who hold its pages.
const RETRY: u32 = 50;

/// The task of a mount.
pub(super) struct Tidy(SetOnce<Arc<Handle<Pfnfs>>>);

impl Tidy {
    /// One that does nothing yet.
    pub(super) fn new() -> impl PinInit<Periodic<Self>> {
        Periodic::new(Self(SetOnce::new()))
    }

    /// Begins to work for this super block. Once.
    pub(super) fn start(tidy: &Periodic<Self>, handle: Arc<Handle<Pfnfs>>) {
        tidy.task().0.populate(handle);
        tidy.after(PERIOD);
    }
}

impl Task for Tidy {
    fn run(&self) -> u32 {
        if let Some(handle) = self.0.as_ref() {
            handle.try_with(tidy);
        }
        PERIOD
    }
}

/// Whether an inode that nobody uses has to be kept. Under a spinlock.
///
/// One without a name: pages of it are pinned, and who has pinned them may be the one who lets go of
/// the file, and would wait for himself. Its blocks cannot be freed before. One with a name: its
/// mapping has entries, and so the kernel would keep it for ever.
pub(super) fn keep(i: &Inode) -> bool {
    let mapping = Mapping::of(i);
    if !i.is_file() || i.is_bad() || mapping.is_empty() {
        return false;
    }
    let keep = i.links() != 0 || mapping.may_be_pinned();
    if keep {
        i.sb().data().tidy().after(RETRY);
    }
    keep
}

/// Empties the mapping of a file that was kept, if nobody has its pages.
fn empty(i: &Inode) {
    let mapping = Mapping::of(i);
    if i.links() == 0 {
        dax::try_empty(mapping);
    } else if !i.is_shared() {
        if let Err(error) = dax::let_go(mapping) {
            let name = i.sb().data().name();
            pr_err!("{name}: inode {}: what was mapped is not durable ({error:?})\n", i.ino());
        }
    }
}

/// Lets go of files that were kept, and whose pages nobody has any more: those without a name are
/// evicted, others can be. `s_umount` is held.
pub(super) fn release(sb: &Super<Pfnfs>) {
    if !sb.is_frozen() {
        evict_late(sb);
        // `keep` looks at each again.
        sb.release_kept(empty);
    }
}

/// Remembers an orphan that cannot be freed now, as the file system is frozen. May be called by a shrinker.
pub(super) fn evict_later(mounted: &Mounted, ino: u64) {
    // If there is no memory for that, the next mount frees it.
    let _ = mounted.late().lock().push(ino, GFP_NOWAIT);
}

/// Frees these orphans. The file system is not frozen, and `s_umount` is held.
pub(super) fn evict_late(sb: &Super<Pfnfs>) {
    let late = core::mem::replace(&mut *sb.data().late().lock(), KVec::new());
    for ino in late {
        finish_orphan(sb, ino);
    }
}

/// Work waits, and can be done in a moment.
pub(super) fn soon(mounted: &Mounted) {
    mounted.tidy().after(RETRY);
}

fn tidy(sb: &Super<Pfnfs>) {
    let mounted = sb.data();
    release(sb);
    let gate = mounted.gate();
    if !gate.read_only() && !sb.is_frozen() && !mounted.is_dead() && gate.changeable().is_err() {
        // Pages are mapped for writing: whoever stores from now on is to ask.
        sb.sync_inodes();
    }
    if mounted.gate().backlog().is_empty() {
        return;
    }
    if let Ok(store) = Gate::try_storing(sb) {
        // What is wrong is in the log; who waits for durability finds out himself.
        let _ = mounted.settle(&store);
    }
}
