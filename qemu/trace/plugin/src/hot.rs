// SPDX-License-Identifier: GPL-2.0
//! Where the instructions of counted operations are spent: executions of each translated block while an operation runs.
//!
//! Layer: state of the plugin, fed by [`crate::callbacks`]. For one vCPU. Locks: `blocks` is a leaf.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

#[derive(Default)]
struct Counts {
    /// Name of the operation under way, as in the marker.
    operation: Option<[u64; 2]>,
    /// By operation and start of the block: instructions.
    blocks: HashMap<([u64; 2], u64), u64>,
}

pub struct Hot {
    path: PathBuf,
    counts: Mutex<Counts>,
}

impl Hot {
    pub fn new(path: PathBuf) -> Self {
        Hot { path, counts: Mutex::default() }
    }

    fn with<T>(&self, f: impl FnOnce(&mut Counts) -> T) -> T {
        f(&mut self.counts.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A marker: `begins` an operation, or ends it.
    pub fn mark(&self, begins: bool, name: [u64; 2]) {
        self.with(|counts| counts.operation = begins.then_some(name));
    }

    /// A block of `insns` instructions at `vaddr` is about to run.
    pub fn block(&self, vaddr: u64, insns: u64) {
        self.with(|counts| {
            if let Some(operation) = counts.operation {
                *counts.blocks.entry((operation, vaddr)).or_default() += insns;
            }
        });
    }

    /// Writes `NAME<TAB>ADDRESS<TAB>INSTRUCTIONS` lines.
    pub fn finish(&self) -> std::io::Result<()> {
        let mut out = BufWriter::new(File::create(&self.path)?);
        self.with(|counts| {
            for ((name, vaddr), insns) in &counts.blocks {
                let text: Vec<u8> = name.iter().flat_map(|w| w.to_le_bytes()).take_while(|b| *b != 0).collect();
                writeln!(out, "{}\t{vaddr:x}\t{insns}", String::from_utf8_lossy(&text))?;
            }
            out.flush()
        })
    }
}
