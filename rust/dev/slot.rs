// SPDX-License-Identifier: GPL-2.0

//! Layer: dev. Who uses a device: a mount or one writer of its node, never both; and the calls to the mount's [`Holder`].
//!
//! Two locks: `calls` is held while the holder is called and while it is taken away, so that a holder is never called
//! after it has gone; `state`, inside it, for the few fields. Nobody may drop a `Claimed` while he holds a lock that
//! `Holder::dead` or `Holder::memory_failure` waits for.

use core::ops::Range;

use kernel::{
    new_mutex,
    prelude::*,
    sync::{Arc, Mutex},
};

use crate::linux::{pagemap::Failure, pmem::Poison};

/// Who has mounted a device. Called in a process or a workqueue, may sleep.
pub(crate) trait Holder: Send + Sync {
    /// The device is going away. Flushing still works; everything new fails already. When this returns, no page of the
    /// device is mapped, pinned or associated with a file, and none will be.
    fn dead(&self);

    /// Device pages have failed, and are marked as such already. When this returns, no process maps them.
    fn memory_failure(&self, pages: Range<u64>, flags: i32) -> Result;
}

/// Who uses a device.
enum User {
    Nobody,
    /// A file of the node that is open for writing.
    Writer,
    /// A mount, with its holder as soon as there is something to hold.
    Mount(Option<Arc<dyn Holder>>),
}

struct State {
    user: User,
    dead: bool,
}

/// The use of one device.
#[pin_data]
pub(crate) struct Slot {
    id: u32,
    #[pin]
    calls: Mutex<()>,
    #[pin]
    state: Mutex<State>,
    poison: Arc<Poison>,
}

/// The two ways to use a device exclusively.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    Write,
    Mount,
}

impl Slot {
    pub(super) fn new(id: u32, poison: Arc<Poison>) -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                id,
                calls <- new_mutex!((), "pfnfs_calls"),
                state <- new_mutex!(State { user: User::Nobody, dead: false }, "pfnfs_slot"),
                poison,
            }),
            GFP_KERNEL,
        )
    }

    #[cfg(CONFIG_LIBNVDIMM)]
    pub(super) fn poison(&self) -> &Poison {
        &self.poison
    }

    /// `EBUSY` if it is used, `ENXIO` once removal has begun.
    pub(super) fn take(&self, how: Use) -> Result {
        let mut state = self.state.lock();
        if state.dead {
            return Err(ENXIO);
        }
        if !matches!(state.user, User::Nobody) {
            return Err(EBUSY);
        }
        state.user = match how {
            Use::Write => User::Writer,
            Use::Mount => User::Mount(None),
        };
        Ok(())
    }

    /// Hands in the holder of a mount. `ENXIO` once removal has begun.
    pub(super) fn hold(&self, holder: Arc<dyn Holder>) -> Result {
        let mut state = self.state.lock();
        if state.dead {
            return Err(ENXIO);
        }
        state.user = User::Mount(Some(holder));
        Ok(())
    }

    /// Ends the use, after a call to the holder that is under way.
    pub(super) fn give_back(&self) {
        let calls = self.calls.lock();
        let user = core::mem::replace(&mut self.state.lock().user, User::Nobody);
        drop(calls);
        drop(user);
    }

    /// For sysfs.
    pub(super) fn user(&self) -> &'static str {
        match self.state.lock().user {
            User::Nobody => "none",
            User::Writer => "writer",
            User::Mount(_) => "mount",
        }
    }

    fn holder(&self) -> Option<Arc<dyn Holder>> {
        match &self.state.lock().user {
            User::Mount(Some(holder)) => Some(holder.clone()),
            _ => None,
        }
    }

    /// Refuses new users and lets the holder drain the device.
    pub(super) fn die(&self) {
        let _calls = self.calls.lock();
        self.state.lock().dead = true;
        if let Some(holder) = self.holder() {
            holder.dead();
        }
    }
}

impl Failure for Slot {
    fn memory_failure(&self, pages: Range<u64>, flags: i32) -> Result {
        pr_err!("pfnfs{}: memory failure of pages {}..{}\n", self.id, pages.start, pages.end);
        let marked = self.poison.add(pages.clone());
        self.poison.settle();
        let _calls = self.calls.lock();
        if let Some(holder) = self.holder() {
            holder.memory_failure(pages, flags)?;
        }
        marked
    }
}
