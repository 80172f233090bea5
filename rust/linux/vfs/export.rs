// SPDX-License-Identifier: GPL-2.0

//! Layer linux: `struct export_operations`, file handles for `open_by_handle_at(2)` and NFS. A handle is the
//! 64-bit number and the generation of an inode, and of its parent if that is asked for.
//!
//! C header: [`include/linux/exportfs.h`](srctree/include/linux/exportfs.h)

use core::marker::PhantomData;

use kernel::prelude::*;
use kernel::sync::aref::ARef;

use super::inode::Inode;
use super::sb::Super;
use super::{Ops, Type};
use crate::linux::bindings;

/// How the kernel finds what a handle names.
pub(crate) trait Operations: Sized + Send + Sync + 'static {
    /// The file system type.
    type Fs: Type;

    /// The inode with this number and generation, `ESTALE` if there is none (any more).
    fn find(sb: &Super<Self::Fs>, ino: u64, generation: u32) -> Result<ARef<Inode<Self::Fs>>>;

    /// The directory that a directory is in.
    fn parent(dir: &Inode<Self::Fs>) -> Result<ARef<Inode<Self::Fs>>>;
}

/// The table.
pub(crate) const fn table<E: Operations>() -> Ops<bindings::export_operations, E::Fs> {
    // SAFETY: Each adapter below may be called for any object of a super block of `E::Fs`.
    unsafe { Ops::new(&Adapter::<E>::TABLE) }
}

/// 32-bit words of (number, generation): one inode, and an inode with its parent.
const ONE: usize = 3;
const TWO: usize = 6;

/// Adapters, called by exportfs with live objects of a super block of `E::Fs`.
struct Adapter<E>(PhantomData<E>);

fn words<T: Type>(i: &Inode<T>) -> [u32; ONE] {
    [(i.ino() >> 32) as u32, i.ino() as u32, i.generation()]
}

impl<E: Operations> Adapter<E> {
    const TABLE: bindings::export_operations = bindings::export_operations {
        encode_fh: Some(Self::encode_fh),
        fh_to_dentry: Some(Self::fh_to_dentry),
        fh_to_parent: Some(Self::fh_to_parent),
        get_parent: Some(Self::get_parent),
        ..pin_init::zeroed()
    };

    /// # Safety
    ///
    /// Called by the VFS, as the documentation of the adapters says.
    unsafe extern "C" fn encode_fh(
        inode: *mut bindings::inode,
        fh: *mut u32,
        max_len: *mut c_int,
        parent: *mut bindings::inode,
    ) -> c_int {
        let need = if parent.is_null() { ONE } else { TWO };
        // SAFETY: `max_len` is the caller's.
        let room = unsafe { core::mem::replace(&mut *max_len, need as c_int) };
        if room < need as c_int {
            return bindings::fid_type_FILEID_INVALID as c_int;
        }
        // SAFETY: Live inodes; the caller gives `room` words.
        unsafe {
            fh.cast::<[u32; ONE]>().write(words(Inode::<E::Fs>::from_raw(inode)));
            if parent.is_null() {
                return bindings::fid_type_FILEID_INO64_GEN as c_int;
            }
            fh.add(ONE).cast::<[u32; ONE]>().write(words(Inode::<E::Fs>::from_raw(parent)));
        }
        bindings::fid_type_FILEID_INO64_GEN_PARENT as c_int
    }

    /// Finds what words `skip..skip + ONE` of a handle name.
    ///
    /// # Safety
    ///
    /// `sb` is mounted; `fid` has `len` words.
    unsafe fn decode(
        sb: *mut bindings::super_block,
        fid: *mut bindings::fid,
        len: c_int,
        skip: usize,
    ) -> *mut bindings::dentry {
        if (len as usize) < skip + ONE {
            return core::ptr::null_mut();
        }
        // SAFETY: By the function's contract, and the length was checked.
        let [hi, lo, generation] = unsafe { fid.cast::<u32>().add(skip).cast::<[u32; ONE]>().read() };
        // SAFETY: By the function's contract.
        let sb = unsafe { Super::<E::Fs>::from_raw(sb) };
        match E::find(sb, u64::from(hi) << 32 | u64::from(lo), generation) {
            Ok(inode) => Self::alias(inode),
            Err(e) => e.to_ptr(),
        }
    }

    fn alias(inode: ARef<Inode<E::Fs>>) -> *mut bindings::dentry {
        // SAFETY: Takes over the reference, also when it fails.
        unsafe { bindings::d_obtain_alias(ARef::into_raw(inode).as_ref().as_raw()) }
    }

    /// # Safety
    ///
    /// Called by the VFS, as the documentation of the adapters says.
    unsafe extern "C" fn fh_to_dentry(
        sb: *mut bindings::super_block,
        fid: *mut bindings::fid,
        len: c_int,
        kind: c_int,
    ) -> *mut bindings::dentry {
        match kind as u32 {
            bindings::fid_type_FILEID_INO64_GEN | bindings::fid_type_FILEID_INO64_GEN_PARENT => {
                // SAFETY: The arguments of this call.
                unsafe { Self::decode(sb, fid, len, 0) }
            }
            _ => core::ptr::null_mut(),
        }
    }

    /// # Safety
    ///
    /// Called by the VFS, as the documentation of the adapters says.
    unsafe extern "C" fn fh_to_parent(
        sb: *mut bindings::super_block,
        fid: *mut bindings::fid,
        len: c_int,
        kind: c_int,
    ) -> *mut bindings::dentry {
        match kind as u32 {
            bindings::fid_type_FILEID_INO64_GEN_PARENT => {
                // SAFETY: The arguments of this call.
                unsafe { Self::decode(sb, fid, len, ONE) }
            }
            _ => core::ptr::null_mut(),
        }
    }

    /// # Safety
    ///
    /// Called by the VFS, as the documentation of the adapters says.
    unsafe extern "C" fn get_parent(child: *mut bindings::dentry) -> *mut bindings::dentry {
        // SAFETY: A live dentry of a directory.
        match E::parent(unsafe { Inode::from_raw((*child).d_inode) }) {
            Ok(inode) => Self::alias(inode),
            Err(e) => e.to_ptr(),
        }
    }
}

// Not wrapped: `get_name` (the generic one reads the directory), `commit_metadata` (nothing is left to commit).
