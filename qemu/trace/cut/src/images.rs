// SPDX-License-Identifier: GPL-2.0
//! Builds cut images.
//!
//! Layer: walks a log once, writes sparse files.

use crate::input::{self, Events};
use crate::plan::{self, Cut, Finder, Point};
use crate::Source;
use anyhow::{bail, ensure, Context, Result};
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;
use store_log::Rest;

const PAGE: usize = 4096;

/// Writes `image` with holes for zero pages.
pub fn write(path: &Path, image: &[u8]) -> Result<()> {
    let file = File::create(path).with_context(|| path.display().to_string())?;
    file.set_len(image.len() as u64)?;
    for (n, page) in image.chunks(PAGE).enumerate() {
        if page.iter().any(|b| *b != 0) {
            file.write_all_at(page, (n * PAGE) as u64)?;
        }
    }
    Ok(())
}

pub fn one(source: &Source, point: Point, rest: Rest, out: &Path) -> Result<()> {
    let (mut media, mut events) = input::open(source)?;
    let mut finder = Finder::new(point);
    while let Some((position, event)) = events.next()? {
        if finder.here(position, &event) {
            println!("cut after {position} events, {} lines not safe", media.unsafe_lines());
            return write(out, &media.cut(rest));
        }
        input::apply(&mut media, position, &event)?;
    }
    bail!("the log ends before that point")
}

pub fn many(source: &Source, out: &Path, count: usize, seed: u64) -> Result<()> {
    let cuts = plan::choose(Events::open(&source.log)?, count, seed)?;
    ensure!(!cuts.is_empty(), "the log has no step that returned");
    fs::create_dir_all(out)?;
    let mut list = File::create(out.join("cuts"))?;
    let (mut media, mut events) = input::open(source)?;
    let mut left = cuts.iter().enumerate().peekable();
    while let Some((position, event)) = events.next()? {
        while let Some((n, cut)) = left.next_if(|(_, cut)| cut.position == position) {
            write(&out.join(format!("{n}.img")), &media.cut(cut.rest))?;
            writeln!(list, "{}", describe(n, cut))?;
        }
        if left.peek().is_none() {
            break;
        }
        input::apply(&mut media, position, &event)?;
    }
    println!("{} cut images", cuts.len());
    Ok(())
}

/// `N DONE BEGUN` and words for people.
fn describe(n: usize, cut: &Cut) -> String {
    let rest = match cut.rest {
        Rest::Dropped => "dropped".into(),
        Rest::Kept => "kept".into(),
        Rest::Seeded(seed) => format!("{seed}"),
    };
    format!("{n} {} {} position={} at={} rest={rest}", cut.done, cut.begun, cut.position, cut.why)
}
