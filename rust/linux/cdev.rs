// SPDX-License-Identifier: GPL-2.0

//! Layer: linux. A character device node with positioned reads and writes, and the read-only sysfs attributes of its
//! device.
//!
//! The `cdev` is allocated apart from everything else, so an open file keeps only it and the module, and may outlive
//! the device.
//!
//! C headers: [`include/linux/cdev.h`](srctree/include/linux/cdev.h),
//! [`include/linux/device/class.h`](srctree/include/linux/device/class.h)
//!
//! Not wrapped: mmap, ioctl, poll, attributes that can be written.

use core::{fmt, marker::PhantomData, ptr::NonNull};

use kernel::{
    device,
    error::{from_err_ptr, from_result, to_result},
    iov::{IovIterDest, IovIterSource},
    page::PAGE_SIZE,
    prelude::*,
    sync::Arc,
    types::ForeignOwnable,
};

use super::{bindings, dax::Devt};

/// A device class: the folder in /sys/class.
///
/// # Invariants
///
/// The pointer is a class made by `class_create`, which we own.
pub(crate) struct Class(NonNull<bindings::class>);

// SAFETY: a class may be used and destroyed by any task.
unsafe impl Send for Class {}
// SAFETY: as above.
unsafe impl Sync for Class {}

impl Class {
    pub(crate) fn new(name: &'static CStr) -> Result<Self> {
        // SAFETY: the name lives as long as the module, which is at least as long as the class.
        let class = unsafe { from_err_ptr(bindings::class_create(name.as_char_ptr()))? };
        // INVARIANT: made just now.
        Ok(Self(NonNull::new(class).ok_or(ENOMEM)?))
    }
}

impl Drop for Class {
    fn drop(&mut self) {
        // SAFETY: ours by the invariant; nodes keep an `Arc` of it, so it has no devices left.
        unsafe { bindings::class_destroy(self.0.as_ptr()) };
    }
}

/// How a node is opened.
#[derive(Clone, Copy)]
pub(crate) struct Open {
    pub(crate) write: bool,
}

/// What stands behind a node and its sysfs attributes.
pub(crate) trait Operations: Send + Sync + 'static {
    /// The state of an open file.
    type File: Send + Sync + 'static;

    /// Names of the sysfs attributes, at most eight.
    const ATTRIBUTES: &'static [&'static CStr];

    /// Writes the value of an attribute, without the final newline.
    fn show(&self, attribute: &CStr, out: &mut dyn fmt::Write) -> fmt::Result;

    /// The node with this number is being opened.
    fn open(devt: Devt, how: Open) -> Result<Self::File>;

    /// The size in bytes, for seeking.
    fn size(file: &Self::File) -> u64;

    /// Reads at a position; 0 at the end. Sleeps.
    fn read(file: &Self::File, at: u64, dst: &mut IovIterDest<'_>) -> Result<usize>;

    /// Writes at a position. Sleeps.
    fn write(file: &Self::File, at: u64, src: &mut IovIterSource<'_>) -> Result<usize>;

    /// fsync(2), fdatasync(2).
    fn fsync(file: &Self::File) -> Result;
}

/// A registered node. On drop it goes away: no new opens, no attribute is being read any more; open files stay.
///
/// # Invariants
///
/// `cdev` has been added; `dev` is a registered device of `class` whose driver data is a reference to `T` of ours.
pub(crate) struct Node<T: Operations> {
    cdev: NonNull<bindings::cdev>,
    dev: NonNull<bindings::device>,
    data: *const T,
    _class: Arc<Class>,
}

// SAFETY: the device core may be called from any task; `T` is `Send` and `Sync`.
unsafe impl<T: Operations> Send for Node<T> {}
// SAFETY: a shared reference gives access to nothing.
unsafe impl<T: Operations> Sync for Node<T> {}

impl<T: Operations> Node<T> {
    /// Makes `/dev/NAME` and `/sys/class/CLASS/NAME` with the number `devt`.
    pub(crate) fn new(
        class: &Arc<Class>,
        parent: &device::Device,
        devt: Devt,
        name: &CStr,
        data: Arc<T>,
    ) -> Result<Self> {
        // SAFETY: allocates or returns NULL.
        let cdev = NonNull::new(unsafe { bindings::cdev_alloc() }).ok_or(ENOMEM)?;
        let data = Arc::into_raw(data);
        // SAFETY: the cdev is ours and new. Its owner keeps the module while files are open.
        let added = unsafe {
            (*cdev.as_ptr()).ops = &Table::<T>::FILE;
            (*cdev.as_ptr()).owner = crate::THIS_MODULE.as_ptr();
            to_result(bindings::cdev_add(cdev.as_ptr(), devt.0, 1))
        };
        let dev = added.and_then(|()| {
            let parent = core::ptr::from_ref(parent).cast_mut().cast::<bindings::device>();
            // SAFETY: `Device` is a transparent wrapper of the C structure; the class lives as long as `_class`; the
            // format takes one string; the groups are constant; the data lives until `drop`.
            unsafe {
                from_err_ptr(bindings::device_create_with_groups(
                    class.0.as_ptr(),
                    parent,
                    devt.0,
                    data.cast_mut().cast(),
                    (&raw const Table::<T>::GROUPS_REF[0]).cast_mut(),
                    c"%s".as_char_ptr(),
                    name.as_char_ptr(),
                ))
            }
        });
        match dev.and_then(|dev| NonNull::new(dev).ok_or(ENOMEM)) {
            // INVARIANT: added and created above.
            Ok(dev) => Ok(Self { cdev, dev, data, _class: class.clone() }),
            Err(e) => {
                // SAFETY: the cdev is ours; deleting one that was not added only drops the reference. The data was
                // turned into a pointer above and given to nobody.
                unsafe {
                    bindings::cdev_del(cdev.as_ptr());
                    drop(Arc::from_raw(data));
                }
                Err(e)
            }
        }
    }
}

impl<T: Operations> Drop for Node<T> {
    fn drop(&mut self) {
        // SAFETY: by the invariants. After the device is unregistered no attribute is shown any more, so the reference
        // that served them can go.
        unsafe {
            bindings::device_unregister(self.dev.as_ptr());
            bindings::cdev_del(self.cdev.as_ptr());
            drop(Arc::from_raw(self.data));
        }
    }
}

/// The longest list of attributes.
const MAX_ATTRIBUTES: usize = 8;

/// The C tables of a node.
struct Table<T>(PhantomData<T>);

impl<T: Operations> Table<T> {
    const FILE: bindings::file_operations = bindings::file_operations {
        open: Some(Self::open),
        release: Some(Self::release),
        llseek: Some(Self::llseek),
        read_iter: Some(Self::read_iter),
        write_iter: Some(Self::write_iter),
        fsync: Some(Self::fsync),
        ..pin_init::zeroed()
    };

    const ATTRS: [bindings::device_attribute; MAX_ATTRIBUTES] = {
        assert!(T::ATTRIBUTES.len() <= MAX_ATTRIBUTES);
        let mut attrs = [const { pin_init::zeroed::<bindings::device_attribute>() }; MAX_ATTRIBUTES];
        let mut i = 0;
        while i < T::ATTRIBUTES.len() {
            attrs[i].attr.name = T::ATTRIBUTES[i].to_bytes_with_nul().as_ptr().cast();
            attrs[i].attr.mode = 0o444;
            attrs[i].__bindgen_anon_1.show = Some(Self::show);
            i += 1;
        }
        attrs
    };
    const ATTRS_REF: &'static [bindings::device_attribute; MAX_ATTRIBUTES] = &Self::ATTRS;

    const LIST: [*const bindings::attribute; MAX_ATTRIBUTES + 1] = {
        let mut list = [core::ptr::null(); MAX_ATTRIBUTES + 1];
        let mut i = 0;
        while i < T::ATTRIBUTES.len() {
            list[i] = &raw const Self::ATTRS_REF[i].attr;
            i += 1;
        }
        list
    };
    const LIST_REF: &'static [*const bindings::attribute; MAX_ATTRIBUTES + 1] = &Self::LIST;

    const GROUP: bindings::attribute_group = bindings::attribute_group {
        __bindgen_anon_2: bindings::attribute_group__bindgen_ty_2 {
            attrs_const: (&raw const Self::LIST_REF[0]).cast_mut(),
        },
        ..pin_init::zeroed()
    };
    const GROUP_REF: &'static bindings::attribute_group = &Self::GROUP;
    const GROUPS: [*const bindings::attribute_group; 2] = [Self::GROUP_REF, core::ptr::null()];
    const GROUPS_REF: &'static [*const bindings::attribute_group; 2] = &Self::GROUPS;

    /// # Safety
    ///
    /// Called by sysfs for an attribute of [`Self::ATTRS`] of a registered device, with a page.
    unsafe extern "C" fn show(
        dev: *mut bindings::device,
        attr: *mut bindings::device_attribute,
        buf: *mut u8,
    ) -> isize {
        // SAFETY: sysfs shows attributes of a registered device, whose driver data is a `T` until it is unregistered;
        // the name is one of `T::ATTRIBUTES`; the buffer is a page, as sysfs promises.
        let (data, name, page) = unsafe {
            (
                &*bindings::dev_get_drvdata(dev).cast::<T>(),
                CStr::from_char_ptr((*attr).attr.name),
                core::slice::from_raw_parts_mut(buf, PAGE_SIZE),
            )
        };
        let mut out = Cursor { page, len: 0 };
        let shown = data.show(name, &mut out).and_then(|()| fmt::Write::write_str(&mut out, "\n"));
        if shown.is_err() {
            return EIO.to_errno() as isize;
        }
        out.len as isize
    }

    /// # Safety
    ///
    /// Called by the VFS with the inode and the new file of a node.
    unsafe extern "C" fn open(inode: *mut bindings::inode, file: *mut bindings::file) -> i32 {
        from_result(|| {
            // SAFETY: the VFS passes a valid inode and a file that is being opened.
            let (devt, mode) = unsafe { (Devt((*inode).i_rdev), (*file).f_mode) };
            let write = mode & bindings::FMODE_WRITE != 0;
            let state = KBox::new(T::open(devt, Open { write })?, GFP_KERNEL)?;
            // SAFETY: the file is ours to set up; `release` takes the state back.
            unsafe { (*file).private_data = state.into_foreign() };
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// Called by the VFS once, when the last user of a file that `open` accepted has gone.
    unsafe extern "C" fn release(_: *mut bindings::inode, file: *mut bindings::file) -> i32 {
        // SAFETY: `open` put it there, and nobody uses the file any more.
        drop(unsafe { KBox::<T::File>::from_foreign((*file).private_data) });
        0
    }

    /// # Safety
    ///
    /// `file` was opened by `open` and stays open during `'a`.
    unsafe fn state<'a>(file: *mut bindings::file) -> &'a T::File {
        // SAFETY: by the contract of this function.
        unsafe { KBox::<T::File>::borrow((*file).private_data) }
    }

    /// # Safety
    ///
    /// Called by the VFS with a file that `open` accepted.
    unsafe extern "C" fn llseek(file: *mut bindings::file, off: i64, whence: i32) -> i64 {
        // SAFETY: the VFS passes an open file of ours.
        unsafe {
            let size = T::size(Self::state(file));
            bindings::fixed_size_llseek(file, off, whence, size.min(i64::MAX as u64) as i64)
        }
    }

    /// # Safety
    ///
    /// Called by the VFS with a request to a file that `open` accepted and a destination.
    unsafe extern "C" fn read_iter(iocb: *mut bindings::kiocb, iter: *mut bindings::iov_iter) -> isize {
        from_result(|| {
            // SAFETY: the VFS passes an open file of ours and a destination, both for the time of the call.
            let (state, pos, dst) =
                unsafe { (Self::state((*iocb).ki_filp), &mut (*iocb).ki_pos, IovIterDest::from_raw(iter)) };
            let n = T::read(state, u64::try_from(*pos)?, dst)?;
            *pos = pos.saturating_add(n as i64);
            Ok(n as isize)
        })
    }

    /// # Safety
    ///
    /// Called by the VFS with a request to a file that `open` accepted and a source.
    unsafe extern "C" fn write_iter(iocb: *mut bindings::kiocb, iter: *mut bindings::iov_iter) -> isize {
        from_result(|| {
            // SAFETY: the VFS passes an open file of ours and a source, both for the time of the call.
            let (state, pos, src) =
                unsafe { (Self::state((*iocb).ki_filp), &mut (*iocb).ki_pos, IovIterSource::from_raw(iter)) };
            let n = T::write(state, u64::try_from(*pos)?, src)?;
            *pos = pos.saturating_add(n as i64);
            Ok(n as isize)
        })
    }

    /// # Safety
    ///
    /// Called by the VFS with a file that `open` accepted.
    unsafe extern "C" fn fsync(file: *mut bindings::file, _: i64, _: i64, _: i32) -> i32 {
        // SAFETY: the VFS passes an open file of ours.
        from_result(|| T::fsync(unsafe { Self::state(file) }).map(|()| 0))
    }
}

/// Text into a page of sysfs.
struct Cursor<'a> {
    page: &'a mut [u8],
    len: usize,
}

impl fmt::Write for Cursor<'_> {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        let end = self.len.checked_add(s.len()).ok_or(fmt::Error)?;
        self.page.get_mut(self.len..end).ok_or(fmt::Error)?.copy_from_slice(s.as_bytes());
        self.len = end;
        Ok(())
    }
}
