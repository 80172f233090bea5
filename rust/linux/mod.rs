// SPDX-License-Identifier: GPL-2.0

//! Layer: linux. The kernel's C interfaces as safe Rust types; the only place with `unsafe`. Knows nothing of the other
//! layers: each file wraps one C object for all of them and could be sent upstream as it is.

#![allow(unsafe_code)]

#[cfg(all(CONFIG_ACPI, not(CONFIG_LIBNVDIMM)))]
pub(crate) mod acpi;
pub(crate) mod bindings;
pub(crate) mod cdev;
pub(crate) mod dax;
pub(crate) mod errno;
pub(crate) mod mm;
#[cfg(CONFIG_LIBNVDIMM)]
pub(crate) mod nd;
pub(crate) mod nofault;
pub(crate) mod nofs;
pub(crate) mod pagemap;
pub(crate) mod periodic;
pub(crate) mod pmem;
pub(crate) mod random;
pub(crate) mod ratelimit;
pub(crate) mod resource;
#[allow(dead_code, unused_macros, unused_imports, reason = "complete for the layers above")]
pub(crate) mod rwsem;
pub(crate) mod srcu;
pub(crate) mod sync;
pub(crate) mod trace;
pub(crate) mod vfs;
pub(crate) mod warn;
