// SPDX-License-Identifier: GPL-2.0

//! Layer linux: `struct dentry`, a name in a directory. A lookup ends in [`Spliced`], a creation in [`Made`];
//! neither can be made but from the dentry that the VFS asked about.
//!
//! C header: [`include/linux/dcache.h`](srctree/include/linux/dcache.h)

use core::marker::PhantomData;

use kernel::sync::aref::ARef;

use super::inode::Inode;
use super::spare::Filled;
use super::Type;
use crate::linux::bindings;

/// The name of a dentry whose parent is locked, so that it cannot change for `'a`.
///
/// # Safety
///
/// `raw` is live for `'a`, and its name is stable: it is being looked up, or its parent's `i_rwsem` is held.
pub(super) unsafe fn name<'a>(raw: *mut bindings::dentry) -> &'a [u8] {
    // SAFETY: By the function's contract.
    unsafe {
        let q = &(*raw).__bindgen_anon_1.d_name;
        core::slice::from_raw_parts(q.name, q.__bindgen_anon_1.__bindgen_anon_1.len as usize)
    }
}

/// A dentry that is being looked up, and is not in the hash.
pub(crate) struct Unhashed<'a, T: Type>(*mut bindings::dentry, PhantomData<(&'a (), T)>);

impl<'a, T: Type> Unhashed<'a, T> {
    /// # Safety
    ///
    /// `raw` is the dentry of a call of `->lookup` that lasts for `'a`, on a super block of `T`.
    pub(super) unsafe fn from_raw(raw: *mut bindings::dentry) -> Self {
        Self(raw, PhantomData)
    }

    /// The name.
    pub(crate) fn name(&self) -> &'a [u8] {
        // SAFETY: It is being looked up.
        unsafe { name(self.0) }
    }

    /// Ends the lookup: with the inode that bears this name, or with none.
    pub(crate) fn splice(self, inode: Option<ARef<Inode<T>>>) -> Spliced {
        let inode = inode.map_or(core::ptr::null_mut(), |i| {
            // SAFETY: The reference keeps it alive; the call below takes it over.
            unsafe { ARef::into_raw(i).as_ref() }.as_raw()
        });
        // SAFETY: Both are live. Takes over the reference, also when it fails.
        Spliced(unsafe { bindings::d_splice_alias(inode, self.0) })
    }
}

/// The outcome of a lookup: null, another dentry, or an error, as `->lookup` returns it.
#[must_use]
pub(crate) struct Spliced(pub(super) *mut bindings::dentry);

/// A dentry without an inode, in a directory that is locked for writing.
pub(crate) struct Negative<'a, T: Type>(*mut bindings::dentry, PhantomData<(&'a (), T)>);

impl<'a, T: Type> Negative<'a, T> {
    /// # Safety
    ///
    /// `raw` is the dentry of a call that creates a name, which lasts for `'a`, on a super block of `T`.
    pub(super) unsafe fn from_raw(raw: *mut bindings::dentry) -> Self {
        Self(raw, PhantomData)
    }

    /// The name.
    pub(crate) fn name(&self) -> &'a [u8] {
        // SAFETY: The parent is locked.
        unsafe { name(self.0) }
    }

    /// The name of a new inode is on the media: makes both visible, the name first. So a directory has this dentry before
    /// a file handle could give it another one.
    pub(crate) fn instantiate_new(self, inode: Filled<T>) -> Made {
        // SAFETY: Both are live, and the inode is new; takes over the reference, and unlocks.
        unsafe { bindings::d_instantiate_new(self.0, inode.into_raw().as_ptr()) };
        Made(())
    }

    /// Another name of an inode is on the media: makes it visible.
    pub(crate) fn instantiate(self, inode: ARef<Inode<T>>) -> Made {
        // SAFETY: Both are live; takes over the reference.
        unsafe { bindings::d_instantiate(self.0, ARef::into_raw(inode).as_ref().as_raw()) };
        Made(())
    }
}

/// Proof that a created name was made visible.
#[must_use]
pub(crate) struct Made(());

// Not wrapped: `d_revalidate`, case folding, negative dentries on demand.
