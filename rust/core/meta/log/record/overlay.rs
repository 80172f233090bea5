// SPDX-License-Identifier: GPL-2.0

//! What a record has staged, seen from the objects it changes: reading through it, and staging the same place again.

use super::{patch, Patch, Record, HEADER};
use crate::meta::machine::Machine;

/// The part of `into`, which lies at `at`, that `len` bytes at `from` cover, and where it begins in them.
fn covered(into: &mut [u8], at: u64, from: u64, len: u64) -> Option<(&mut [u8], usize)> {
    let start = at.max(from);
    let end = at.saturating_add(into.len() as u64).min(from.saturating_add(len));
    let count = end.checked_sub(start)? as usize;
    let skip = start.saturating_sub(at) as usize;
    let part = into.get_mut(skip..skip.saturating_add(count))?;
    Some((part, start.saturating_sub(from) as usize))
}

impl<M: Machine> Record<'_, '_, M> {
    /// Whether any patch of bytes may reach `len` bytes at `at`: most reads are elsewhere.
    fn touches(&self, at: u64, len: u64) -> bool {
        at < self.stage.high && at.saturating_add(len) > self.stage.low
    }

    /// Changes bytes that were read at `at` to what they will be when the record is applied.
    pub(in crate::meta) fn overlay(&self, at: u64, into: &mut [u8]) {
        if !self.touches(at, into.len() as u64) {
            return;
        }
        let mut patches = self.stage.patches();
        while let Some((patch, rest)) = patch::split(patches) {
            match patch {
                Patch::Write { at: from, bytes } => {
                    if let Some((part, skip)) = covered(into, at, from, bytes.len() as u64) {
                        part.iter_mut().zip(bytes.iter().skip(skip)).for_each(|(to, from)| *to = *from);
                    }
                }
                Patch::Zero { at: from, len } => {
                    if let Some((part, _)) = covered(into, at, from, len) {
                        part.fill(0);
                    }
                }
                Patch::Set { .. } | Patch::Clear { .. } => {}
            }
            patches = rest;
        }
    }

    /// Replaces the bytes of a patch of exactly this place, unless a later one touches it too. Returns whether there is one.
    pub(in crate::meta) fn rewrite(&mut self, at: u64, bytes: &[u8]) -> bool {
        let (len, end) = (bytes.len() as u64, at.saturating_add(bytes.len() as u64));
        if !self.touches(at, len) {
            return false;
        }
        let mut offset = HEADER;
        let mut found = None;
        let mut patches = self.stage.patches();
        while let Some((patch, rest)) = patch::split(patches) {
            let (from, size) = patch.range();
            if from < end && from.saturating_add(size) > at {
                let same = matches!(patch, Patch::Write { .. }) && from == at && size == len;
                found = same.then_some(offset.saturating_add(patch::HEAD));
            }
            offset = offset.saturating_add(patches.len().saturating_sub(rest.len()));
            patches = rest;
        }
        let place = found.and_then(|body| self.stage.bytes.get_mut(body..body.saturating_add(bytes.len())));
        let Some(place) = place else { return false };
        place.copy_from_slice(bytes);
        true
    }
}
