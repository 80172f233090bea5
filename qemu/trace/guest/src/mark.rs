// SPDX-License-Identifier: GPL-2.0
//! Markers in the store log; scripts/trace/mark.h in Rust.
//!
//! Layer: one instruction that does nothing where no plugin watches.

/// Step `number` of process `who` begins.
pub const BEGIN: u64 = 1;
/// It has returned; the second argument has the process in its low half, and a result in its high one.
pub const RETURN: u64 = 2;
/// The address of the kernel's `current_task`.
pub const TASKS: u64 = 3;
/// A workload begins; its number.
pub const START: u64 = 4;
/// All its processes have ended.
pub const END: u64 = 5;

/// Puts a marker into the log.
pub fn mark(id: u64, first: u64, second: u64) {
    // SAFETY: a NOP (`nopl 0x70666e73(%rax)`): it touches neither memory nor registers.
    unsafe {
        std::arch::asm!(
            ".byte 0x0f, 0x1f, 0x80, 0x73, 0x6e, 0x66, 0x70",
            in("rdi") id, in("rsi") first, in("rdx") second,
            options(nostack, preserves_flags)
        );
    }
}
