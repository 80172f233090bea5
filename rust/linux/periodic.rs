// SPDX-License-Identifier: GPL-2.0

//! Layer linux: something that is done in the background again and again, by a `struct delayed_work` whose owner stops it. (The
//! kernel crate's work items keep themselves alive instead: a module could be gone when the timer fires.)
//!
//! C header: [`include/linux/workqueue.h`](srctree/include/linux/workqueue.h)
//!
//! Not wrapped: work queues of our own.

use kernel::prelude::*;
use kernel::types::Opaque;

use super::bindings;

/// What is to be done.
pub(crate) trait Task: Send + Sync + 'static {
    /// Does it, in process context, never twice at a time. Returns after how many milliseconds it wants to be called again.
    fn run(&self) -> u32;
}

/// A task and the work item that runs it. Stopped when it is dropped, which must not happen in the task.
///
/// # Invariants
///
/// `work` is initialised with [`Periodic::run`], and is neither queued nor running once this is gone.
#[pin_data(PinnedDrop)]
pub(crate) struct Periodic<T: Task> {
    #[pin]
    work: Opaque<bindings::delayed_work>,
    task: T,
}

// SAFETY: Work items are usable from any thread, and the task is too.
unsafe impl<T: Task> Send for Periodic<T> {}
// SAFETY: As above.
unsafe impl<T: Task> Sync for Periodic<T> {}

impl<T: Task> Periodic<T> {
    /// A task that is not scheduled yet.
    pub(crate) fn new(task: T) -> impl PinInit<Self> {
        pin_init!(Self {
            // SAFETY: The slot is pinned, and uninitialised memory is what C wants.
            work <- Opaque::ffi_init(|slot| unsafe { bindings::pfnfs_init_delayed_work(slot, Some(Self::run)) }),
            task,
        })
    }

    /// The task.
    pub(crate) fn task(&self) -> &T {
        &self.task
    }

    /// Runs the task in `ms` milliseconds, or earlier if that was asked for before: nobody can put
    /// it off by asking again and again. In any context. No effect once it is stopped.
    pub(crate) fn after(&self, ms: u32) {
        // SAFETY: Initialised, and by the type invariant stopped before it goes.
        unsafe { bindings::pfnfs_hasten_delayed_work(self.work.get(), ms) };
    }

    /// Waits until the task does not run, and keeps it from running ever again. Sleeps; not for the task itself.
    pub(crate) fn stop(&self) {
        // SAFETY: Initialised.
        unsafe { bindings::disable_delayed_work_sync(self.work.get()) };
    }

    /// # Safety
    ///
    /// Called by the work queue for the `work` of a `Periodic<T>`.
    unsafe extern "C" fn run(work: *mut bindings::work_struct) {
        // SAFETY: By the function's contract `work` is the first member of a `delayed_work` (C asserts it) in a `Periodic<T>`,
        // which is there until the work item has ended.
        let this =
            unsafe { &*kernel::container_of!(Opaque::cast_from(work.cast::<bindings::delayed_work>()), Self, work) };
        let ms = this.task.run();
        // SAFETY: As in `after`. It leaves a time alone that was asked for meanwhile.
        unsafe { bindings::pfnfs_queue_delayed_work(this.work.get(), ms) };
    }
}

#[pinned_drop]
impl<T: Task> PinnedDrop for Periodic<T> {
    fn drop(self: Pin<&mut Self>) {
        self.stop();
    }
}
