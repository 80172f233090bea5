// SPDX-License-Identifier: GPL-2.0

//! Layer linux: `struct fs_context`, a mount being prepared. Owns the options until they reach
//! [`Type::fill_super`], and the key until it reaches the super block.
//!
//! C header: [`include/linux/fs_context.h`](srctree/include/linux/fs_context.h)

use core::marker::PhantomData;
use core::mem;

use kernel::error::{from_err_ptr, from_result};
use kernel::fmt;
use kernel::prelude::*;
use kernel::str::CStr;

use super::sb::{self, Mount, New, SuperBlock};
use super::Type;
use crate::linux::bindings;

/// Where a mount says what is wrong: the context's own log, which `mount(8)` reads, or the kernel log for the
/// old system call.
pub(crate) struct Log<'a>(&'a bindings::fs_context);

impl Log<'_> {
    /// Says why the mount fails. No newline.
    pub(crate) fn error(&self, args: fmt::Arguments<'_>) {
        self.put(b'e', args);
    }

    /// Says what the user should know of a mount that goes on. No newline.
    pub(crate) fn warn(&self, args: fmt::Arguments<'_>) {
        self.put(b'w', args);
    }

    fn put(&self, level: u8, args: fmt::Arguments<'_>) {
        let p = &self.0.log;
        // SAFETY: The log and its prefix live as long as the context. `%pA` takes the address of formatting
        // arguments, which the call does not keep: the line is formatted before it returns.
        unsafe {
            bindings::logfc(p.log, p.prefix, level as c_char, c"%pA".as_char_ptr(), (&raw const args).cast::<c_void>())
        };
    }
}

/// The callbacks of a context for `T`.
pub(super) struct Table<T>(PhantomData<T>);

impl<T: Type> Table<T> {
    const OPS: bindings::fs_context_operations = bindings::fs_context_operations {
        free: Some(Self::free),
        parse_param: Some(Self::parse_param),
        get_tree: Some(Self::get_tree),
        reconfigure: Some(Self::reconfigure),
        ..pin_init::zeroed()
    };

    /// # Safety
    ///
    /// Called by the VFS with a context that is being set up.
    pub(super) unsafe extern "C" fn init_fs_context(fc: *mut kernel::bindings::fs_context) -> c_int {
        from_result(|| {
            let fc: *mut bindings::fs_context = fc.cast();
            let options = KBox::new(T::Options::default(), GFP_KERNEL)?;
            // SAFETY: The context is valid and nobody else uses it yet.
            unsafe {
                (*fc).fs_private = KBox::into_raw(options).cast();
                (*fc).ops = &Self::OPS;
            }
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// Called by the VFS once, with a context that [`Self::init_fs_context`] set up.
    unsafe extern "C" fn free(fc: *mut bindings::fs_context) {
        // SAFETY: The context is valid until we return; both pointers are ours or null.
        let (options, mount) = unsafe {
            (
                mem::replace(&mut (*fc).fs_private, core::ptr::null_mut()),
                mem::replace(&mut (*fc).s_fs_info, core::ptr::null_mut()),
            )
        };
        if !options.is_null() {
            // SAFETY: From `KBox::into_raw` in `init_fs_context`, taken out of the context just now.
            drop(unsafe { KBox::from_raw(options.cast::<T::Options>()) });
        }
        if !mount.is_null() {
            // SAFETY: From `get_tree`; `sget_fc` clears it when a super block takes it over.
            drop(unsafe { KBox::from_raw(mount.cast::<Mount<T>>()) });
        }
    }

    /// # Safety
    ///
    /// Called by the VFS with a context that [`Self::init_fs_context`] set up and a parameter.
    unsafe extern "C" fn parse_param(fc: *mut bindings::fs_context, param: *mut bindings::fs_parameter) -> c_int {
        from_result(|| {
            // SAFETY: `fs_private` is the `KBox` of `init_fs_context`; the context's mutex is held.
            let options = unsafe { &mut *(*fc).fs_private.cast::<T::Options>() };
            // SAFETY: The parameter is valid and its key is a C string.
            let key = unsafe { CStr::from_char_ptr((*param).key) };
            // SAFETY: As above.
            let value = match unsafe { (*param).type_() } {
                bindings::fs_value_type_fs_value_is_flag => None,
                bindings::fs_value_type_fs_value_is_string => {
                    // SAFETY: The type says that the union holds a C string.
                    Some(unsafe { CStr::from_char_ptr((*param).__bindgen_anon_1.string) })
                }
                _ => return Ok(-(bindings::ENOPARAM as c_int)),
            };
            match T::parse(options, key, value)? {
                true => Ok(0),
                false => Ok(-(bindings::ENOPARAM as c_int)),
            }
        })
    }

    /// # Safety
    ///
    /// Called by the VFS with a context that [`Self::init_fs_context`] set up.
    unsafe extern "C" fn get_tree(fc: *mut bindings::fs_context) -> c_int {
        from_result(|| {
            // SAFETY: The context is valid, and stays so until we return.
            let log = Log(unsafe { &*fc });
            if log.0.source.is_null() {
                log.error(fmt!("no device given"));
                return Err(EINVAL);
            }
            // SAFETY: A C string that lives as long as the context.
            let source = unsafe { CStr::from_char_ptr(log.0.source) };
            // SAFETY: As in `parse_param`.
            let options = unsafe { &mut *log.0.fs_private.cast::<T::Options>() };
            let mount = KBox::new(Mount::<T>::new(T::find(source, options, &log)?), GFP_KERNEL)?;
            // SAFETY: `free`, `sget_fc` or `kill_sb` takes it from here.
            unsafe { (*fc).s_fs_info = KBox::into_raw(mount).cast() };
            // SAFETY: The context is valid; `test` compares two mounts of this type.
            let sb = from_err_ptr(unsafe {
                bindings::sget_fc(fc.cast(), Some(Self::test), Some(bindings::set_anon_super_fc))
            })?;
            // SAFETY: `sget_fc` returned it with `s_umount` held and a reference of ours.
            let result = unsafe { Self::born(sb, fc, mem::take(options)) };
            if result.is_err() {
                // SAFETY: As above; gives back the reference and the lock.
                unsafe { bindings::deactivate_locked_super(sb) };
            }
            result.map(|()| 0)
        })
    }

    /// Fills a new super block, or checks that an old one fits this mount; hands its root to the context.
    ///
    /// # Safety
    ///
    /// `sb` is of this type, with `s_umount` held; `fc` is the context that asked for it.
    unsafe fn born(sb: *mut bindings::super_block, fc: *mut bindings::fs_context, options: T::Options) -> Result {
        // SAFETY: By the function's contract.
        let log = Log(unsafe { &*fc });
        // SAFETY: By the function's contract.
        if unsafe { (*sb).s_root.is_null() } {
            // SAFETY: No root: the super block is new, its `s_fs_info` is the `Mount` of this context.
            let new: SuperBlock<'_, T, New> = unsafe { SuperBlock::from_raw(sb) };
            // SAFETY: As above.
            let key = unsafe { &(*(*sb).s_fs_info.cast::<Mount<T>>()).key };
            T::fill_super(new, key, options, &log)?;
            // SAFETY: `s_umount` is held.
            unsafe { (*sb).s_flags |= bindings::SB_ACTIVE as c_ulong };
        // SAFETY: `s_umount` is held.
        } else if (unsafe { (*sb).s_flags } as u32 ^ log.0.sb_flags) & bindings::SB_RDONLY != 0 {
            log.error(fmt!("device is mounted already, and not in this mode (ro, rw)"));
            return Err(EBUSY);
        }
        // SAFETY: The super block has a root now.
        unsafe { (*fc).root = bindings::pfnfs_dget((*sb).s_root) };
        Ok(())
    }

    /// # Safety
    ///
    /// Called by `sget_fc` under `sb_lock` for live super blocks of this type.
    unsafe extern "C" fn test(sb: *mut bindings::super_block, fc: *mut kernel::bindings::fs_context) -> c_int {
        // SAFETY: A super block that is not dead holds its `Mount` (`kill_sb` frees it after the death is
        // announced under the same lock), and `get_tree` has put one into the context.
        let (a, b) = unsafe {
            (&*(*sb).s_fs_info.cast::<Mount<T>>(), &*(*fc.cast::<bindings::fs_context>()).s_fs_info.cast::<Mount<T>>())
        };
        T::same(&a.key, &b.key).into()
    }

    /// # Safety
    ///
    /// Called by the VFS with `s_umount` held and a context for a mounted super block of this type.
    unsafe extern "C" fn reconfigure(fc: *mut bindings::fs_context) -> c_int {
        from_result(|| {
            // SAFETY: The context is valid and names a root of this type.
            let (log, raw) = unsafe { (Log(&*fc), (*(*fc).root).d_sb) };
            // SAFETY: It is mounted.
            let sb = unsafe { sb::Super::<T>::from_raw(raw) };
            let ro = log.0.sb_flags & bindings::SB_RDONLY != 0;
            if log.0.sb_flags_mask & bindings::SB_RDONLY != 0 && ro != sb.read_only() {
                T::remount(sb, ro, &log)?;
            }
            Ok(0)
        })
    }
}

// Not wrapped: `dup` (no automounts), `parse_monolithic` (the generic one is right).
