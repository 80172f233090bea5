// SPDX-License-Identifier: GPL-2.0

//! Layer linux: a way to the mapping of an inode for those who are not called by the VFS: the device that fails or goes.
//!
//! A reference to the inode would not do. One that is being evicted cannot be referenced any more, and an inode that is
//! referenced at the wrong moment survives its super block. So a [`Link`] holds nothing, is cut when the eviction begins, and
//! the eviction waits for who is on the way at that moment.

use core::ptr::NonNull;

use kernel::new_mutex;
use kernel::prelude::*;
use kernel::sync::{Arc, Mutex};
use kernel::time::{delay::fsleep, Delta};

use super::Mapping;
use crate::linux::vfs::slab::Head;
use crate::linux::{bindings, nofs};

/// How long an eviction waits before it looks again whether somebody is on the way.
const WAIT: Delta = Delta::from_millis(1);

/// # Invariants
///
/// The mapping is live.
struct Target(NonNull<bindings::address_space>);

// SAFETY: A mapping may be used by all tasks (`Mapping` is `Sync`).
unsafe impl Send for Target {}

/// The way to one mapping.
///
/// # Invariants
///
/// It is the link in the [`Head`] of the mapping's inode, which is cut before the inode goes.
#[pin_data]
pub(crate) struct Link {
    #[pin]
    target: Mutex<Option<Target>>,
}

impl Link {
    /// Calls `f` with the mapping, whose inode is not evicted meanwhile; `None` if that has begun. `f` may wait for
    /// `invalidate_lock`, but for nothing that a user can hold. No inode is freed for what it allocates.
    pub(crate) fn with<R>(&self, f: impl FnOnce(&Mapping) -> R) -> Option<R> {
        let target = self.target.lock();
        let _nofs = nofs::Scope::enter();
        // SAFETY: Live by the invariant of `Target`, as long as the lock is held.
        target.as_ref().map(|t| f(unsafe { Mapping::from_raw(t.0.as_ptr()) }))
    }

    /// From now on nobody gets through, and nobody is on the way.
    ///
    /// This is part of evictions, and so of freeing memory, for whatever somebody allocates who holds the `invalidate_lock` of
    /// another mapping; who is on the way may wait for that of his. The two never meet: nobody faults on a mapping that is
    /// evicted. As it is no order of locks, the lock is only tried here.
    pub(in crate::linux) fn cut(&self) {
        loop {
            if let Some(mut target) = self.target.try_lock() {
                *target = None;
                return;
            }
            fsleep(WAIT);
        }
    }
}

impl Mapping {
    /// The head of the slot of a mapping whose table is ours.
    fn head(&self) -> Option<&Head> {
        self.is_ours().then(|| {
            // SAFETY: Our tables are only given to inodes of a `Type`, which live in slots that begin with a head.
            unsafe { &*self.inode().cast::<Head>() }
        })
    }

    /// The link to it, if there is one.
    pub(crate) fn link(&self) -> Option<&Arc<Link>> {
        self.head()?.link.as_ref()
    }

    /// Makes the link to it. `EBUSY` if somebody else does, `EINVAL` if it is not one of ours.
    pub(crate) fn make_link(&self) -> Result<Arc<Link>> {
        let head = self.head().ok_or(EINVAL)?;
        // INVARIANT: Live; and what is made here is in the head, or never looked at.
        let target = NonNull::new(self.as_raw()).map(Target);
        let link = Arc::pin_init(pin_init!(Link { target <- new_mutex!(target, "pfnfs_link") }), GFP_KERNEL)?;
        if head.link.populate(link.clone()) {
            Ok(link)
        } else {
            Err(EBUSY)
        }
    }
}
