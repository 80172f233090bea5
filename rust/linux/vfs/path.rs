// SPDX-License-Identifier: GPL-2.0

//! Layer linux: `struct path`, as far as a mount's source needs it.
//!
//! C header: [`include/linux/namei.h`](srctree/include/linux/namei.h)

use kernel::error::to_result;
use kernel::prelude::*;
use kernel::str::CStr;

use crate::linux::bindings;

/// The number of the character device that a path leads to, in the kernel's form. `ENODEV` if it leads to something else.
pub(crate) fn char_device(path: &CStr) -> Result<u32> {
    let mut found = bindings::path::default();
    // SAFETY: A C string, and a local to fill.
    to_result(unsafe { bindings::kern_path(path.as_char_ptr(), bindings::LOOKUP_FOLLOW, &mut found) })?;
    // SAFETY: Filled by a call that succeeded; the inode lives as long as the path is held.
    let (mode, rdev) = unsafe {
        let inode = (*found.dentry).d_inode;
        ((*inode).i_mode, (*inode).i_rdev)
    };
    // SAFETY: Held since `kern_path`.
    unsafe { bindings::path_put(&found) };
    if u32::from(mode) & bindings::S_IFMT != bindings::S_IFCHR {
        return Err(ENODEV);
    }
    Ok(rdev)
}
