// SPDX-License-Identifier: GPL-2.0
//! The guest's registers and page tables, read on behalf of the vCPU that runs the callback.
//!
//! Layer: safe wrappers of [`crate::api`]. Everything here is only to be called from a vCPU's own callback.

use crate::api;
use std::collections::HashMap;
use std::ffi::CStr;
use std::sync::OnceLock;

/// Handles of the vCPUs' registers by gdb's names; all vCPUs of a machine have the same.
static REGISTERS: OnceLock<HashMap<String, usize>> = OnceLock::new();

/// Learns the registers. To be called from the vCPU's init callback.
pub fn learn_registers() {
    REGISTERS.get_or_init(|| {
        let mut known = HashMap::new();
        // SAFETY: called on the vCPU's thread; the array is ours, holds `len` descriptors and is freed once.
        unsafe {
            let array = api::qemu_plugin_get_registers();
            let list = (*array).data.cast::<api::RegDescriptor>();
            for n in 0..(*array).len as usize {
                let reg = &*list.add(n);
                if !reg.name.is_null() {
                    let name = CStr::from_ptr(reg.name).to_string_lossy().into_owned();
                    known.insert(name, reg.handle as usize);
                }
            }
            api::g_array_free(array, 1);
        }
        known
    });
}

/// A GByteArray that is freed with its owner.
struct Bytes(*mut api::GArray);

impl Bytes {
    fn new() -> Self {
        // SAFETY: no precondition; glib aborts rather than returning null.
        Bytes(unsafe { api::g_byte_array_new() })
    }

    /// The first eight bytes, as a little-endian number.
    fn number(&self) -> u64 {
        // SAFETY: the array is valid, and holds `len` initialised bytes.
        let bytes = unsafe {
            let len = (*self.0).len.min(8) as usize;
            if len == 0 {
                return 0;
            }
            std::slice::from_raw_parts((*self.0).data, len)
        };
        bytes.iter().rev().fold(0, |n, b| n << 8 | u64::from(*b))
    }
}

impl Drop for Bytes {
    fn drop(&mut self) {
        // SAFETY: made by `new`, freed once.
        unsafe { api::g_byte_array_free(self.0, 1) };
    }
}

/// Reads a register of the current vCPU. Only from a callback that was registered with `CB_R_REGS`.
pub fn register(name: &str) -> Option<u64> {
    let handle = *REGISTERS.get()?.get(name)?;
    let bytes = Bytes::new();
    // SAFETY: the handle is QEMU's, the array is valid, and the caller is in such a callback.
    let read = unsafe { api::qemu_plugin_read_register(handle as *mut api::Register, bytes.0) };
    (read > 0).then(|| bytes.number())
}

/// Reads eight bytes of the current vCPU's virtual memory.
pub fn word(vaddr: u64) -> Option<u64> {
    let bytes = Bytes::new();
    // SAFETY: called on the vCPU's thread; the array is valid and grows as needed.
    let read = unsafe { api::qemu_plugin_read_memory_vaddr(vaddr, bytes.0, 8) };
    read.then(|| bytes.number())
}

const PRESENT: u64 = 1;
const HUGE: u64 = 1 << 7;
const FRAME: u64 = 0x000f_ffff_ffff_f000;
const CR4_LA57: u64 = 1 << 12;

/// Walks the page tables for `vaddr`. `direct_map` is where physical address 0 is mapped.
pub fn walk(vaddr: u64, direct_map: u64) -> Option<u64> {
    let mut table = register("cr3")? & FRAME;
    let levels = if register("cr4")? & CR4_LA57 != 0 { 5 } else { 4 };
    for level in (0..levels).rev() {
        let shift = 12 + 9 * level;
        let index = vaddr >> shift & 0x1ff;
        let entry = word(direct_map + table + index * 8)?;
        if entry & PRESENT == 0 {
            return None;
        }
        if level == 0 || (level <= 2 && entry & HUGE != 0) {
            let within = (1 << shift) - 1;
            return Some((entry & FRAME & !within) | (vaddr & within));
        }
        table = entry & FRAME;
    }
    None
}
