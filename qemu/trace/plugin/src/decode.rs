// SPDX-License-Identifier: GPL-2.0
//! What an instruction means to persistent memory.
//!
//! Layer: decoding only, safe code over iced-x86; knows nothing of QEMU.

use iced_x86::{Decoder, DecoderOptions, Instruction, Mnemonic, OpKind, Register};
use store_log::{Fence, Flush, StoreKind};

/// Displacement of the long NOP that is a marker: `nopl 0x70666e73(%rax)`. scripts/trace/mark.h has the same.
pub const MARK: u64 = 0x7066_6e73;

/// Why an instruction is of interest, apart from its stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Flush(Flush),
    Fence(Fence),
    Mark,
    Other,
}

/// Decodes one instruction at `vaddr`. Code of other modes than 64-bit runs before the kernel does; that it is misread here matters
/// to nothing but a stray fence before the first store.
pub fn decode(code: &[u8], vaddr: u64) -> Instruction {
    Decoder::with_ip(64, code, vaddr, DecoderOptions::NONE).decode()
}

fn names_memory(insn: &Instruction) -> bool {
    (0..insn.op_count()).any(|n| insn.op_kind(n) == OpKind::Memory)
}

/// Locked by its prefix, or by being xchg with memory.
pub fn is_locked(insn: &Instruction) -> bool {
    insn.has_lock_prefix() || (insn.mnemonic() == Mnemonic::Xchg && names_memory(insn))
}

/// How the instruction's stores reach the media.
pub fn store_kind(insn: &Instruction) -> StoreKind {
    use Mnemonic::*;
    match insn.mnemonic() {
        Movnti | Movntq | Movntdq | Movntps | Movntpd | Movntss | Movntsd | Vmovntdq | Vmovntps | Vmovntpd
        | Maskmovq | Maskmovdqu | Vmaskmovdqu | Movdir64b | Movdiri => StoreKind::NonTemporal,
        _ if is_locked(insn) => StoreKind::Locked,
        _ => StoreKind::Plain,
    }
}

pub fn role(insn: &Instruction) -> Role {
    use Mnemonic::*;
    match insn.mnemonic() {
        Clwb => Role::Flush(Flush::Clwb),
        Clflushopt => Role::Flush(Flush::ClflushOpt),
        Clflush => Role::Flush(Flush::Clflush),
        Sfence => Role::Fence(Fence::Sfence),
        Mfence => Role::Fence(Fence::Mfence),
        Nop if names_memory(insn) && insn.memory_displacement64() == MARK => Role::Mark,
        // SDM vol. 3, 9.3. wrmsr to the x2APIC and FS/GS base, which does not serialise, is counted here all the same.
        Cpuid | Iretq | Iretd | Iret | Wrmsr | Invd | Wbinvd | Invlpg | Lgdt | Lidt | Lldt | Ltr | Rsm | Serialize => {
            Role::Fence(Fence::Serialising)
        }
        Mov if matches!(insn.op0_register(), Register::CR0 | Register::CR3 | Register::CR4) => {
            Role::Fence(Fence::Serialising)
        }
        _ if is_locked(insn) => Role::Fence(Fence::Locked),
        _ => Role::Other,
    }
}

/// The address that a write-back names. `register` gives the full 64-bit registers, and for FS and GS their bases.
pub fn address(insn: &Instruction, register: impl Fn(Register) -> Option<u64>) -> Option<u64> {
    insn.virtual_address(0, 0, |reg, _, _| match reg {
        Register::CS | Register::DS | Register::ES | Register::SS => Some(0),
        Register::FS | Register::GS => register(reg),
        _ => {
            let full = register(reg.full_register())?;
            Some(if reg.is_gpr32() { full & 0xffff_ffff } else { full })
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(code: &[u8]) -> (Role, StoreKind) {
        let insn = decode(code, 0x1000);
        assert_eq!(insn.len(), code.len());
        (role(&insn), store_kind(&insn))
    }

    #[test]
    fn write_backs() {
        assert_eq!(of(&[0x66, 0x0f, 0xae, 0x30]).0, Role::Flush(Flush::Clwb));
        assert_eq!(of(&[0x66, 0x0f, 0xae, 0x38]).0, Role::Flush(Flush::ClflushOpt));
        assert_eq!(of(&[0x0f, 0xae, 0x38]).0, Role::Flush(Flush::Clflush));
        // As the kernel's alternatives pad them.
        assert_eq!(of(&[0x3e, 0x0f, 0xae, 0x38]).0, Role::Flush(Flush::Clflush));
    }

    #[test]
    fn fences() {
        assert_eq!(of(&[0x0f, 0xae, 0xf8]).0, Role::Fence(Fence::Sfence));
        assert_eq!(of(&[0x0f, 0xae, 0xf0]).0, Role::Fence(Fence::Mfence));
        assert_eq!(of(&[0xf0, 0x48, 0x0f, 0xc1, 0x00]), (Role::Fence(Fence::Locked), StoreKind::Locked));
        assert_eq!(of(&[0x48, 0x87, 0x00]), (Role::Fence(Fence::Locked), StoreKind::Locked), "xchg with memory");
        assert_eq!(of(&[0x48, 0x87, 0xc3]).0, Role::Other, "xchg of registers");
        assert_eq!(of(&[0x0f, 0xae, 0xe8]).0, Role::Other, "lfence");
        assert_eq!(of(&[0x0f, 0x22, 0xd8]).0, Role::Fence(Fence::Serialising), "mov to cr3");
        assert_eq!(of(&[0x0f, 0x20, 0xd8]).0, Role::Other, "mov from cr3");
        assert_eq!(of(&[0x48, 0xcf]).0, Role::Fence(Fence::Serialising), "iretq");
    }

    #[test]
    fn stores() {
        assert_eq!(of(&[0x48, 0x0f, 0xc3, 0x07]).1, StoreKind::NonTemporal, "movnti");
        assert_eq!(of(&[0x66, 0x0f, 0xe7, 0x07]).1, StoreKind::NonTemporal, "movntdq");
        assert_eq!(of(&[0x0f, 0x2b, 0x07]).1, StoreKind::NonTemporal, "movntps");
        assert_eq!(of(&[0x66, 0x0f, 0x2b, 0x07]).1, StoreKind::NonTemporal, "movntpd");
        assert_eq!(of(&[0xc5, 0xfd, 0xe7, 0x07]).1, StoreKind::NonTemporal, "vmovntdq ymm");
        assert_eq!(of(&[0x48, 0x89, 0x07]).1, StoreKind::Plain);
        assert_eq!(of(&[0xf3, 0x48, 0xab]).1, StoreKind::Plain, "rep stosq");
    }

    #[test]
    fn the_marker_is_the_odd_nop_only() {
        assert_eq!(of(&[0x0f, 0x1f, 0x80, 0x73, 0x6e, 0x66, 0x70]).0, Role::Mark);
        assert_eq!(of(&[0x0f, 0x1f, 0x80, 0, 0, 0, 0]).0, Role::Other);
        assert_eq!(of(&[0x90]).0, Role::Other);
    }

    #[test]
    fn operands_of_write_backs() {
        let registers = |reg| match reg {
            Register::RAX => Some(0x1_0000_1000),
            Register::RCX => Some(0x20),
            Register::R13 => Some(0x5000),
            Register::GS => Some(0x10_0000),
            _ => None,
        };
        let at = |code: &[u8]| address(&decode(code, 0x4000), registers);
        assert_eq!(at(&[0x66, 0x0f, 0xae, 0x30]), Some(0x1_0000_1000), "(%rax)");
        assert_eq!(at(&[0x66, 0x0f, 0xae, 0x74, 0x88, 0x40]), Some(0x1_0000_10c0), "0x40(%rax,%rcx,4)");
        assert_eq!(at(&[0x66, 0x41, 0x0f, 0xae, 0x75, 0x08]), Some(0x5008), "8(%r13)");
        assert_eq!(at(&[0x66, 0x0f, 0xae, 0x35, 0x10, 0, 0, 0]), Some(0x4018), "0x10(%rip)");
        assert_eq!(at(&[0x65, 0x66, 0x0f, 0xae, 0x31]), Some(0x10_0020), "%gs:(%rcx)");
        assert_eq!(at(&[0x67, 0x66, 0x0f, 0xae, 0x30]), Some(0x1000), "(%eax)");
        assert_eq!(at(&[0x66, 0x0f, 0xae, 0x33]), None, "unknown register");
    }
}
