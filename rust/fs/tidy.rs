// SPDX-License-Identifier: GPL-2.0

//! Layer fs: what is done in the background while a volume is mounted for writing: orphans that wait are freed, and the log is
//! emptied. So the next mount has less to replay, and space comes back also if nobody asks for it. Nothing is stored when there
//! is nothing to do, or while the file system is frozen.

use kernel::prelude::*;
use kernel::sync::{Arc, SetOnce};

use super::mount::Pfnfs;
use crate::linux::periodic::{Periodic, Task};
use crate::linux::vfs::sb::{Handle, Super};

/// Milliseconds between two looks.
const PERIOD: u32 = 5000;

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

fn tidy(sb: &Super<Pfnfs>) {
    let mounted = sb.data();
    if sb.read_only() || sb.is_frozen() || mounted.is_dead() || mounted.volume().backlog().is_empty() {
        return;
    }
    // What is wrong is in the log; who waits for durability finds out himself.
    let _ = mounted.settle();
}
