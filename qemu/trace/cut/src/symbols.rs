// SPDX-License-Identifier: GPL-2.0
//! Names for the addresses of instructions.
//!
//! Layer: reads what the guest printed (crash-load's `symbols`).

use anyhow::{ensure, Context, Result};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Functions by their start, with their end.
#[derive(Default)]
pub struct Symbols(BTreeMap<u64, (u64, String)>);

impl Symbols {
    /// Takes the lines `# symbol START END NAME` out of what a guest said.
    pub fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
        let symbols = Self::parse(&text);
        ensure!(!symbols.0.is_empty(), "{} has no symbols", path.display());
        Ok(symbols)
    }

    fn parse(text: &str) -> Self {
        let line = |line: &str| {
            let mut words = line.strip_prefix("# symbol ")?.split_ascii_whitespace();
            let mut address = || u64::from_str_radix(words.next()?, 16).ok();
            let (start, end) = (address()?, address()?);
            Some((start, (end, format!("{:#}", rustc_demangle::demangle(words.next()?)))))
        };
        Symbols(text.lines().filter_map(line).collect())
    }

    /// `NAME+OFFSET (ADDRESS)`; programs of the guest have no names.
    pub fn name(&self, at: u64) -> String {
        match self.0.range(..=at).next_back() {
            Some((start, (end, name))) if at < *end => format!("{name}+{:#x} ({at:#x})", at - start),
            _ if at >> 63 == 0 => format!("a program ({at:#x})"),
            _ => format!("{at:#x}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_named_within_its_function_only() {
        let said = "ok 1\n# symbol ffffffff81000000 ffffffff81000010 __memcpy_flushcache\n\
            # symbol ffffffffc0000020 ffffffffc0000080 _RNvMNtCs1234_5pfnfs4pmemNtB2_6Writer5store\n";
        let symbols = Symbols::parse(said);
        assert_eq!(symbols.name(0xffff_ffff_8100_0004), "__memcpy_flushcache+0x4 (0xffffffff81000004)");
        assert_eq!(symbols.name(0xffff_ffff_8100_0010), "0xffffffff81000010");
        assert!(symbols.name(0xffff_ffff_c000_0020).starts_with("<pfnfs::pmem::Writer>::store+0x0"));
        assert_eq!(symbols.name(0x40_1000), "a program (0x401000)");
    }
}
