// SPDX-License-Identifier: GPL-2.0
//! Markers in the store log; scripts/trace/mark.h in Rust.
//!
//! Layer: one instruction that does nothing where no plugin watches.

/// Step `number` begins.
pub fn begin(number: u64) {
    mark(1, number);
}

/// Step `number` has returned.
pub fn returned(number: u64) {
    mark(2, number);
}

fn mark(id: u64, argument: u64) {
    // SAFETY: a NOP (`nopl 0x70666e73(%rax)`): it touches neither memory nor registers.
    unsafe {
        std::arch::asm!(
            ".byte 0x0f, 0x1f, 0x80, 0x73, 0x6e, 0x66, 0x70",
            in("rdi") id, in("rsi") argument, in("rdx") 0u64,
            options(nostack, preserves_flags)
        );
    }
}
