// SPDX-License-Identifier: GPL-2.0

//! Layer: dev. Who uses a device: a mount or one writer of its node, never both; and the calls to the mount's [`Holder`].
//!
//! No lock is held while a holder is called: removal waits in such a call for who has pinned pages, and meanwhile memory may
//! fail, which is called under a lock of all the machine's memory. So a call may still be under way when the use has ended.

use core::ops::Range;

use kernel::{
    new_mutex,
    prelude::*,
    sync::{Arc, Mutex},
};

use crate::linux::{pagemap::Failure, pmem::Poison};

/// Who has mounted a device. Called in a process or a workqueue, may sleep, also when the mount has just ended: whatever it
/// keeps must not be in the way of the next one.
pub(crate) trait Holder: Send + Sync {
    /// The device is going away. Flushing still works; everything new fails already. When this returns, no page of the
    /// device is mapped, pinned or associated with a file, and none will be. May wait for users, with no lock held that others
    /// need.
    fn dead(&self);

    /// Device pages have failed, and are marked as such already. When this returns, no process maps them. Must not wait for
    /// users: until then no other failure is handled, of no memory.
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

    /// Ends the use.
    pub(super) fn give_back(&self) {
        let user = core::mem::replace(&mut self.state.lock().user, User::Nobody);
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
        self.state.lock().dead = true;
        if let Some(holder) = self.holder() {
            holder.dead();
        }
    }
}

impl Failure for Slot {
    fn memory_failure(&self, pages: Range<u64>, flags: i32) -> Result {
        pr_err!("pfnfs{}: memory failure of pages {}..{}\n", self.id, pages.start, pages.end);
        let marked = self.poison.fail(pages.clone());
        if let Some(holder) = self.holder() {
            holder.memory_failure(pages, flags)?;
        }
        marked
    }
}
