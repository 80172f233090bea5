// SPDX-License-Identifier: GPL-2.0
//! What the store trace must know of this kernel.
//!
//! Layer: reads /proc/kallsyms; prints, and puts a marker.

use crate::mark::{self, mark};
use anyhow::{Context, Result};
use std::fs;

/// Functions of the kernel proper that store to persistent memory for the module contain one of these words.
const STORING: [&str; 7] = ["flushcache", "nocache", "copy", "memset", "memmove", "clear", "atomic"];

/// Prints `# symbol START END NAME` for each function that may store, END being the start of the next; tells the plugin where
/// `current_task` lies.
pub fn print() -> Result<()> {
    let text = fs::read_to_string("/proc/kallsyms").context("/proc/kallsyms")?;
    let mut functions = Vec::new();
    let mut tasks = None;
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        let (Some(at), Some(kind), Some(name)) = (words.next(), words.next(), words.next()) else { continue };
        let at = u64::from_str_radix(at, 16)?;
        if matches!(kind, "t" | "T" | "w" | "W") {
            functions.push((at, name, words.next()));
        } else if name == "current_task" {
            tasks = Some(at);
        }
    }
    functions.sort_unstable();
    for pair in functions.windows(2) {
        let [(start, name, module), (end, ..)] = *pair else { continue };
        let stores = module == Some("[pfnfs]") || module.is_none() && STORING.iter().any(|word| name.contains(word));
        if stores && start != end {
            println!("# symbol {start:x} {end:x} {name}");
        }
    }
    mark(mark::TASKS, tasks.context("the kernel does not say where current_task is")?, 0);
    Ok(())
}
