// SPDX-License-Identifier: GPL-2.0

//! Layer: linux. Tables of the firmware.
//!
//! C header: [`include/acpi/acpixf.h`](srctree/include/acpi/acpixf.h)

use core::{ptr, ptr::NonNull, slice};

use kernel::prelude::*;

use super::bindings;

/// A table, mapped while this lives.
///
/// # Invariants
///
/// `acpi_get_table` returned the pointer, and the table has not been put back: all of it is mapped and never changes.
pub(crate) struct Table(NonNull<bindings::acpi_table_header>);

impl Table {
    /// The first table with this signature. `ENODEV` if the firmware has none.
    pub(crate) fn find(signature: &CStr) -> Result<Self> {
        let mut table = ptr::null_mut();
        // SAFETY: a string of four characters, which is only read, and a place for the result.
        let status = unsafe { bindings::acpi_get_table(signature.as_char_ptr().cast_mut(), 1, &mut table) };
        let table = NonNull::new(table).filter(|_| status == 0).ok_or(ENODEV)?;
        // INVARIANT: the call above succeeded.
        Ok(Self(table))
    }

    /// The whole table, with its header.
    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: by the invariant the header is mapped, and as many bytes from its beginning as it says.
        unsafe { slice::from_raw_parts(self.0.as_ptr().cast::<u8>(), (*self.0.as_ptr()).length as usize) }
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        // SAFETY: by the invariant it is put back once.
        unsafe { bindings::acpi_put_table(self.0.as_ptr()) };
    }
}

/// The node of a proximity domain, -1 if there is none.
pub(crate) fn node_of(domain: u32) -> i32 {
    let Ok(domain) = i32::try_from(domain) else { return -1 };
    // SAFETY: any number may be asked for.
    unsafe { bindings::pfnfs_pxm_to_node(domain) }
}
