// SPDX-License-Identifier: GPL-2.0
//! The tracer's self-check: nothing may reach the NVDIMM that is not in the log.
//!
//! Layer: over [`crate::input`] and the media model.

use crate::{input, Source};
use anyhow::{bail, ensure, Context, Result};
use std::fs;
use std::path::Path;
use store_log::Rest;

pub fn run(source: &Source, end: &Path) -> Result<()> {
    let (mut media, mut events) = input::open(source)?;
    let mut marks = 0;
    while let Some((position, event)) = events.next()? {
        input::apply(&mut media, position, &event)?;
        marks += u64::from(matches!(event, store_log::Event::Mark(_)));
    }
    let expected = fs::read(end).with_context(|| end.display().to_string())?;
    let replayed = media.cut(Rest::Kept);
    ensure!(
        expected.len() == replayed.len(),
        "the final image has {} bytes, the log gives {}",
        expected.len(),
        replayed.len()
    );
    let wrong = replayed.iter().zip(&expected).filter(|(a, b)| a != b).count();
    if wrong > 0 {
        let first = replayed.iter().zip(&expected).position(|(a, b)| a != b).unwrap_or(0);
        bail!("{wrong} bytes differ from the final image, the first at {first:#x}");
    }
    let t = media.totals;
    println!(
        "{} stores of {} bytes, {} write-backs, {} fences, {marks} markers; the final image is equal; {} lines were never made safe",
        t.stores,
        t.stored_bytes,
        t.flushes,
        t.fences,
        media.unsafe_lines()
    );
    Ok(())
}
