// SPDX-License-Identifier: GPL-2.0
//! The part of QEMU's plugin API (version 4, QEMU 9.2 and later) that the plugin uses, declared by hand: Debian packages no
//! qemu-plugin.h, and the crates that carry it ask for a newer compiler.
//!
//! Layer: foreign functions only. QEMU resolves them, and glib's, when it loads the plugin.
//!
//! C header: `include/qemu/qemu-plugin.h` of QEMU 10.0.

use std::ffi::{c_char, c_int, c_uint, c_void};

/// The API version that is asked for; QEMU refuses to load what it does not support.
pub const VERSION: c_int = 4;

pub const CB_NO_REGS: c_int = 0;
pub const CB_R_REGS: c_int = 1;
pub const MEM_R: c_int = 1;
pub const MEM_W: c_int = 2;
pub const INLINE_ADD_U64: c_int = 0;

/// Declares types that only pointers are passed of.
macro_rules! opaque {
    ($($name:ident),*) => {$(
        #[repr(C)]
        pub struct $name {
            _opaque: [u8; 0],
        }
    )*};
}
opaque!(Tb, Insn, HwAddr, Register, Scoreboard, Info);

/// glib's GArray, and GByteArray, which looks the same.
#[repr(C)]
pub struct GArray {
    pub data: *mut u8,
    pub len: c_uint,
}

#[repr(C)]
pub struct RegDescriptor {
    pub handle: *mut Register,
    pub name: *const c_char,
    pub feature: *const c_char,
}

/// `qemu_plugin_mem_value`: a type (0 to 4: 8 to 128 bits) and the value.
#[repr(C)]
pub struct MemValue {
    pub kind: c_int,
    pub data: MemData,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub union MemData {
    pub small: u64,
    /// Low word first.
    pub wide: [u64; 2],
}

/// `qemu_plugin_u64`: a word in each vCPU's entry of a scoreboard.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Counter {
    pub score: *mut Scoreboard,
    pub offset: usize,
}

pub type SimpleCb = extern "C" fn(id: u64, vcpu: c_uint);
pub type TransCb = extern "C" fn(id: u64, tb: *mut Tb);
pub type InsnCb = extern "C" fn(vcpu: c_uint, data: *mut c_void);
pub type MemCb = extern "C" fn(vcpu: c_uint, info: u32, vaddr: u64, data: *mut c_void);
pub type ExitCb = extern "C" fn(id: u64, data: *mut c_void);

extern "C" {
    pub fn qemu_plugin_register_vcpu_init_cb(id: u64, cb: SimpleCb);
    pub fn qemu_plugin_register_vcpu_tb_trans_cb(id: u64, cb: TransCb);
    pub fn qemu_plugin_register_atexit_cb(id: u64, cb: ExitCb, data: *mut c_void);
    pub fn qemu_plugin_register_vcpu_insn_exec_cb(insn: *mut Insn, cb: InsnCb, flags: c_int, data: *mut c_void);
    pub fn qemu_plugin_register_vcpu_insn_exec_inline_per_vcpu(insn: *mut Insn, op: c_int, entry: Counter, imm: u64);
    pub fn qemu_plugin_register_vcpu_mem_cb(insn: *mut Insn, cb: MemCb, flags: c_int, rw: c_int, data: *mut c_void);
    pub fn qemu_plugin_register_vcpu_tb_exec_cb(tb: *mut Tb, cb: InsnCb, flags: c_int, data: *mut c_void);
    pub fn qemu_plugin_tb_vaddr(tb: *const Tb) -> u64;
    pub fn qemu_plugin_tb_n_insns(tb: *const Tb) -> usize;
    pub fn qemu_plugin_tb_get_insn(tb: *const Tb, index: usize) -> *mut Insn;
    pub fn qemu_plugin_insn_data(insn: *const Insn, to: *mut c_void, len: usize) -> usize;
    pub fn qemu_plugin_insn_vaddr(insn: *const Insn) -> u64;
    pub fn qemu_plugin_mem_size_shift(info: u32) -> c_uint;
    pub fn qemu_plugin_mem_get_value(info: u32) -> MemValue;
    pub fn qemu_plugin_get_hwaddr(info: u32, vaddr: u64) -> *mut HwAddr;
    pub fn qemu_plugin_hwaddr_is_io(addr: *const HwAddr) -> bool;
    pub fn qemu_plugin_hwaddr_phys_addr(addr: *const HwAddr) -> u64;
    pub fn qemu_plugin_get_registers() -> *mut GArray;
    pub fn qemu_plugin_read_register(handle: *mut Register, into: *mut GArray) -> c_int;
    pub fn qemu_plugin_read_memory_vaddr(vaddr: u64, into: *mut GArray, len: usize) -> bool;
    pub fn qemu_plugin_scoreboard_new(size: usize) -> *mut Scoreboard;
    pub fn qemu_plugin_u64_get(entry: Counter, vcpu: c_uint) -> u64;

    pub fn g_byte_array_new() -> *mut GArray;
    pub fn g_byte_array_free(array: *mut GArray, free_segment: c_int) -> *mut u8;
    pub fn g_array_free(array: *mut GArray, free_segment: c_int) -> *mut c_char;
}
