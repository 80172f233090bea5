// SPDX-License-Identifier: GPL-2.0

//! Layer: linux. A mutex-protected value in a static, for the module's one registry.
//!
//! `kernel::sync::global_lock!` needs an `unsafe` call from the owner's code to initialise the lock; here the mutex is
//! initialised at build time by C (`shim.c`), so the layers above stay safe.
//!
//! C header: [`include/linux/mutex.h`](srctree/include/linux/mutex.h)
//!
//! Not wrapped: interruptible and try variants.

use core::{
    cell::UnsafeCell,
    ops::{Deref, DerefMut},
};

use kernel::types::NotThreadSafe;

use super::bindings;

/// A value in a `static` behind a mutex. All values of this kind share one mutex: never lock two at the same time.
///
/// A module's statics are not dropped when it is unloaded: the owner empties the value himself.
///
/// # Invariants
///
/// `value` is accessed only while the mutex of `shim.c` is held.
pub(crate) struct Static<T> {
    value: UnsafeCell<T>,
}

// SAFETY: by the invariant only the holder of the mutex reaches the value.
unsafe impl<T: Send> Sync for Static<T> {}

impl<T> Static<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self { value: UnsafeCell::new(value) }
    }

    /// Sleeps until the value is free.
    pub(crate) fn lock(&'static self) -> Guard<T> {
        // SAFETY: the mutex is initialised at build time; the guard unlocks it in the same task (it is not `Send`).
        unsafe { bindings::pfnfs_static_lock() };
        Guard { of: self, _pinned: NotThreadSafe }
    }
}

/// Exclusive access to a [`Static`].
///
/// # Invariants
///
/// This task holds the mutex of `shim.c`.
#[must_use]
pub(crate) struct Guard<T: 'static> {
    of: &'static Static<T>,
    _pinned: NotThreadSafe,
}

impl<T> Deref for Guard<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: the mutex is held, and a shared borrow of the guard excludes `deref_mut`.
        unsafe { &*self.of.value.get() }
    }
}

impl<T> DerefMut for Guard<T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the mutex is held, and the guard is borrowed exclusively.
        unsafe { &mut *self.of.value.get() }
    }
}

impl<T> Drop for Guard<T> {
    fn drop(&mut self) {
        // SAFETY: by the invariant this task holds the mutex.
        unsafe { bindings::pfnfs_static_unlock() };
    }
}
