// SPDX-License-Identifier: GPL-2.0

//! Layer: dax. Counters of a volume, for debugfs: which path did faults take?

use kernel::fmt;
use kernel::sync::atomic::{Atomic, Relaxed};

/// One counter.
pub(super) struct Count(Atomic<u64>);

impl Default for Count {
    fn default() -> Self {
        Self(Atomic::new(0))
    }
}

impl Count {
    /// Adds one.
    pub(super) fn one(&self) {
        self.many(1);
    }

    /// Adds `n`.
    pub(super) fn many(&self, n: u64) {
        self.0.fetch_add(n, Relaxed);
    }
}

/// What happened on a volume since it was mounted.
#[derive(Default)]
pub(crate) struct Counters {
    /// Faults answered from `i_pages` alone.
    pub(super) hits: Count,
    /// Faults that had to ask.
    pub(super) misses: Count,
    /// Calls of `populate_pfns`.
    pub(super) populates: Count,
    /// Small and huge entries inserted.
    pub(super) inserted: [Count; 2],
    /// Holes inserted.
    pub(super) holes: Count,
    /// Copies inserted.
    pub(super) copies: Count,
    /// Pages put into page tables, small and huge.
    pub(super) mapped: [Count; 2],
    /// The zero page put into page tables.
    pub(super) zero: Count,
    /// Pages given to the kernel to copy.
    pub(super) copied: Count,
    /// 2 MiB faults answered with 4 KiB.
    pub(super) fallbacks: Count,
    /// Faults refused: beyond the end, failed memory, errors.
    pub(super) refused: Count,
    /// Entries cleaned.
    pub(super) cleaned: Count,
    /// Times that taking entries out had to wait for a pin.
    pub(super) waits: Count,
}

impl Counters {
    /// Writes a line for each: its name, a space, the number.
    pub(crate) fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [pages, huge] = &self.inserted;
        let [mapped_4k, mapped_2m] = &self.mapped;
        for (name, count) in [
            ("hits", &self.hits),
            ("misses", &self.misses),
            ("populates", &self.populates),
            ("inserted_4k", pages),
            ("inserted_2m", huge),
            ("inserted_holes", &self.holes),
            ("inserted_copies", &self.copies),
            ("mapped_4k", mapped_4k),
            ("mapped_2m", mapped_2m),
            ("mapped_zero", &self.zero),
            ("copied", &self.copied),
            ("fallbacks", &self.fallbacks),
            ("refused", &self.refused),
            ("cleaned", &self.cleaned),
            ("waits", &self.waits),
        ] {
            writeln!(f, "{name} {}", count.0.load(Relaxed))?;
        }
        Ok(())
    }
}
