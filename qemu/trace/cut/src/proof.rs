// SPDX-License-Identifier: GPL-2.0
//! The expectations for scripts/trace/proof.c: which of its stores a power cut at its second marker leaves.
//!
//! Layer: a test of tracer and model together, on real instructions.

use crate::{input, Source};
use anyhow::{ensure, Context, Result};
use store_log::{Event, Rest, LINE};

const TAG: &[u8] = b"pfnfs store trace proof\0";
const PAGE: usize = 4096;
const END: u64 = 2;

/// Lines that must survive, with the first word's value.
const KEPT: [(u64, u64); 10] = [(1, 1), (2, 2), (3, 3), (4, 4), (5, 5), (6, 6), (7, 7), (8, 8), (9, 9), (11, 11)];
/// Words that must be lost when nothing unsafe arrives: line, word, value.
const LOST: [(u64, u64, u64); 5] = [(20, 0, 20), (21, 0, 21), (11, 1, 12), (22, 0, 22), (23, 0, 23)];

fn page(image: &[u8]) -> Result<&[u8]> {
    image.chunks_exact(PAGE).find(|p| p.starts_with(TAG)).context("the tagged page is not in the image")
}

fn word(page: &[u8], line: u64, word: u64) -> u64 {
    let at = (line * LINE + word * 8) as usize;
    page.get(at..at + 8).and_then(|b| b.try_into().ok()).map_or(0, u64::from_le_bytes)
}

pub fn run(source: &Source) -> Result<()> {
    let (mut media, mut events) = input::open(source)?;
    loop {
        let (position, event) = events.next()?.context("the log has no second marker")?;
        if matches!(event, Event::Mark(mark) if mark.id == END) {
            break;
        }
        input::apply(&mut media, position, &event)?;
    }
    let (dropped, kept) = (media.cut(Rest::Dropped), media.cut(Rest::Kept));
    let (dropped, kept) = (page(&dropped)?, page(&kept)?);
    for (line, value) in KEPT {
        ensure!(word(dropped, line, 0) == value, "line {line}: lost, though written back and fenced");
    }
    let text = 10 * LINE as usize + 3;
    ensure!(dropped.get(text..text + 10) == Some(b"tornornot?"), "line 10: lost, though written back and fenced");
    for (line, at, value) in LOST {
        ensure!(word(kept, line, at) == value, "line {line}, word {at}: the store itself is not in the log");
        ensure!(word(dropped, line, at) == 0, "line {line}, word {at}: survived without write-back or fence");
    }
    println!("{} stores kept, {} lost, as the instructions say", KEPT.len() + 1, LOST.len());
    Ok(())
}
