// SPDX-License-Identifier: GPL-2.0

//! Layer fs: /sys/kernel/debug/pfnfs/DEVICE/ of each mount, for tests and for who wants to know which path his faults took.
//! `counters` and `log` have a name and a number a line (`dax::Counters`, `meta::log::Backlog`), `entries` a line for each entry
//! of each mapping (`dax::show`).

use kernel::debugfs::{Dir, Scope};
use kernel::fmt;
use kernel::prelude::*;
use kernel::sync::Arc;

use super::mount::Pfnfs;
use crate::dax;
use crate::linux::sync::Static;
use crate::linux::vfs::sb::{Handle, Super};
use crate::meta::log::Backlog;

static ROOT: Static<Option<Dir>> = Static::new(None);

/// The directory of all mounts, there while the module is.
pub(crate) struct Root(());

impl Root {
    /// Makes it. Without debugfs there is none, and nobody misses it.
    pub(crate) fn new() -> Self {
        *ROOT.lock() = Some(Dir::new(c"pfnfs"));
        Self(())
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        let dir = ROOT.lock().take();
        drop(dir);
    }
}

/// The directory of one mount.
pub(super) type Volume = Pin<KBox<Scope<Arc<Handle<Pfnfs>>>>>;

/// Makes the directory of a mount.
pub(super) fn volume(handle: Arc<Handle<Pfnfs>>, name: &CStr) -> Result<Option<Volume>> {
    let Some(root) = ROOT.lock().clone() else { return Ok(None) };
    let scope = root.scope(handle, name, |handle, dir| {
        dir.read_callback_file(c"counters", handle, &counters);
        dir.read_callback_file(c"entries", handle, &entries);
        dir.read_callback_file(c"log", handle, &log);
    });
    Ok(Some(KBox::pin_init(scope, GFP_KERNEL)?))
}

/// Shows something of a super block, or nothing once it is unmounted.
fn with(handle: &Handle<Pfnfs>, show: impl FnOnce(&Super<Pfnfs>) -> fmt::Result) -> fmt::Result {
    let mut outcome = Ok(());
    handle.with(|sb| outcome = show(sb));
    outcome
}

fn counters(handle: &Arc<Handle<Pfnfs>>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    with(handle, |sb| sb.data().counters.show(f))
}

fn log(handle: &Arc<Handle<Pfnfs>>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    with(handle, |sb| {
        let Backlog { drawn, cut, waiting } = sb.data().gate().backlog();
        writeln!(f, "drawn {drawn}\ncut {cut}\nwaiting {waiting}")
    })
}

fn entries(handle: &Arc<Handle<Pfnfs>>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    with(handle, |sb| {
        let mut outcome = Ok(());
        sb.data().mappings().for_each(|mapping| {
            if outcome.is_ok() {
                outcome = dax::show(mapping, f);
            }
        });
        outcome
    })
}
