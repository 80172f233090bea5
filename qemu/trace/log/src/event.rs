// SPDX-License-Identifier: GPL-2.0
//! What a vCPU can do to the NVDIMM, as the log tells it.
//!
//! Layer: plain data. All positions are offsets in bytes from the start of the traced range.

/// How a store reaches the media.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreKind {
    /// Goes through the cache.
    Plain,
    /// movnt*: goes past the cache through a write-combining buffer.
    NonTemporal,
    /// Through the cache, by a locked instruction. As that orders what came before it, a [`Fence::Locked`] precedes.
    Locked,
}

/// The marker whose first argument is the address of the kernel's per-CPU variable `current_task`.
pub const TASK_MARK: u64 = 3;

/// One store of 1 to 16 bytes that crosses no page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Store {
    pub kind: StoreKind,
    pub at: u64,
    pub len: u8,
    /// The first `len` bytes are what was stored.
    pub bytes: [u8; 16],
}

impl Store {
    pub fn value(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or(&self.bytes)
    }
}

/// The instruction that wrote a line back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flush {
    Clwb,
    ClflushOpt,
    Clflush,
}

/// What made a vCPU wait for its earlier stores and write-backs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fence {
    Sfence,
    Mfence,
    /// A locked instruction, or xchg with memory.
    Locked,
    /// cpuid, iret, wrmsr, a write of a control register and their like.
    Serialising,
}

/// A marker that the guest emitted, with the counters of its vCPU at that moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Mark {
    pub id: u64,
    pub args: [u64; 2],
    /// Instructions that this vCPU executed since it started; 0 if not counted.
    pub insns: u64,
    /// Locked instructions among them.
    pub locked: u64,
    /// Bytes that it loaded from the NVDIMM.
    pub loaded: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The events that follow are those of this vCPU.
    Cpu(u32),
    /// The stores that follow are those of this instruction: its virtual address.
    Site(u64),
    /// The events that follow are those of this task: where its `task_struct` lies. Told once the guest has said where the kernel keeps
    /// that ([`TASK_MARK`]).
    Task(u64),
    Store(Store),
    /// `at` is the start of a line.
    Flush {
        kind: Flush,
        at: u64,
    },
    Fence(Fence),
    Mark(Mark),
    /// A write-back or half a store whose physical address could not be found.
    Lost {
        vaddr: u64,
    },
    /// The guest ended in order; a log without it is truncated.
    End,
}
