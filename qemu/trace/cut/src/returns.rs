// SPDX-License-Identifier: GPL-2.0
//! What must hold whenever a step returns, whatever the file system: a check of every step, without an image.
//!
//! Layer: over [`crate::input`] and the media model.

use crate::input::{self, id};
use crate::Source;
use anyhow::{ensure, Result};
use store_log::Event;

pub fn run(source: &Source, all: bool) -> Result<()> {
    let (mut media, mut events) = input::open(source)?;
    let mut steps = 0;
    while let Some((position, event)) = events.next()? {
        input::apply(&mut media, position, &event)?;
        let Event::Mark(mark) = event else { continue };
        if mark.id == id::RETURN {
            steps += 1;
            let step = mark.args[0];
            let unfenced = media.unfenced_lines();
            ensure!(unfenced == 0, "step {step} returned with {unfenced} lines stored past the cache but not fenced");
            let open = media.unsafe_lines();
            ensure!(!all || open == 0, "step {step} returned with {open} lines that are not durable");
        }
    }
    ensure!(steps > 0, "no step returned");
    println!("{steps} steps returned, each with all that it stored past the cache fenced");
    Ok(())
}
