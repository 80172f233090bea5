// SPDX-License-Identifier: GPL-2.0

//! Layer: linux. A value behind a `struct rw_semaphore`: many readers or one writer, all may sleep.
//!
//! C header: [`include/linux/rwsem.h`](srctree/include/linux/rwsem.h)
//!
//! Not wrapped: interruptible and killable variants, downgrading.

use core::cell::UnsafeCell;
use core::ops::{Deref, DerefMut};

use kernel::prelude::*;
use kernel::str::CStr;
use kernel::sync::LockClassKey;
use kernel::types::{NotThreadSafe, Opaque};

use super::bindings;

/// Makes a [`RwSem`] with a lock class of its own for this place in the source.
macro_rules! new_rwsem {
    ($value:expr, $name:literal) => {
        $crate::linux::rwsem::RwSem::new($value, $name, kernel::static_lock_class!())
    };
}
pub(crate) use new_rwsem;

/// A value behind a reader-writer semaphore.
///
/// # Invariants
///
/// `value` is reached for reading only while `sem` is held, for writing only while it is held for writing.
#[pin_data]
pub(crate) struct RwSem<T> {
    #[pin]
    sem: Opaque<bindings::rw_semaphore>,
    value: UnsafeCell<T>,
}

// SAFETY: The value moves with it.
unsafe impl<T: Send> Send for RwSem<T> {}
// SAFETY: Readers share the value, a writer has it alone and may move it out.
unsafe impl<T: Send + Sync> Sync for RwSem<T> {}

impl<T> RwSem<T> {
    /// Makes one; see [`new_rwsem!`].
    pub(crate) fn new(value: T, name: &'static CStr, key: Pin<&'static LockClassKey>) -> impl PinInit<Self> {
        pin_init!(Self {
            // SAFETY: The slot is pinned; name and key are static.
            sem <- Opaque::ffi_init(|slot| unsafe {
                bindings::__init_rwsem(slot, name.as_char_ptr(), key.as_ptr())
            }),
            value: UnsafeCell::new(value),
        })
    }

    /// Sleeps until there is no writer.
    pub(crate) fn read(&self) -> ReadGuard<'_, T> {
        // SAFETY: It is initialised and pinned.
        unsafe { bindings::down_read(self.sem.get()) };
        ReadGuard { of: self, _task: NotThreadSafe }
    }

    /// Sleeps until nobody else holds it.
    pub(crate) fn write(&self) -> WriteGuard<'_, T> {
        self.write_nested(0)
    }

    /// As [`RwSem::write`], when others of the same class are held: the `depth`-th in an order that all keep to,
    /// 0 to 7.
    pub(crate) fn write_nested(&self, depth: u32) -> WriteGuard<'_, T> {
        // SAFETY: It is initialised and pinned.
        unsafe { bindings::pfnfs_down_write_nested(self.sem.get(), depth) };
        WriteGuard { of: self, _task: NotThreadSafe }
    }
}

/// Shared access to the value.
#[must_use]
pub(crate) struct ReadGuard<'a, T> {
    of: &'a RwSem<T>,
    _task: NotThreadSafe,
}

impl<T> Deref for ReadGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: It is held, so there is no writer.
        unsafe { &*self.of.value.get() }
    }
}

impl<T> Drop for ReadGuard<'_, T> {
    fn drop(&mut self) {
        // SAFETY: This task holds it for reading.
        unsafe { bindings::up_read(self.of.sem.get()) };
    }
}

/// Sole access to the value.
#[must_use]
pub(crate) struct WriteGuard<'a, T> {
    of: &'a RwSem<T>,
    _task: NotThreadSafe,
}

impl<T> Deref for WriteGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: It is held for writing.
        unsafe { &*self.of.value.get() }
    }
}

impl<T> DerefMut for WriteGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: It is held for writing, and the guard is borrowed exclusively.
        unsafe { &mut *self.of.value.get() }
    }
}

impl<T> Drop for WriteGuard<'_, T> {
    fn drop(&mut self) {
        // SAFETY: This task holds it for writing.
        unsafe { bindings::up_write(self.of.sem.get()) };
    }
}
