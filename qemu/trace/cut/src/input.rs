// SPDX-License-Identifier: GPL-2.0
//! Opening logs and images.
//!
//! Layer: files in, [`Media`] and events out.

use crate::Source;
use anyhow::{bail, ensure, Context, Result};
use std::fs::{self, File};
use std::io::BufReader;
use std::path::Path;
use store_log::{Decoder, Event, Media};

/// Marker ids that the guest's programs use.
pub mod id {
    /// A step begins; its number.
    pub const BEGIN: u64 = 1;
    /// It has returned; its number.
    pub const RETURN: u64 = 2;
    /// A counted operation begins; its name in 16 bytes.
    pub const COST: u64 = 10;
    /// It has ended; its name again.
    pub const COST_END: u64 = 11;
}

/// The events of a log, with their positions: the number of events before.
pub struct Events {
    decoder: Decoder<BufReader<File>>,
    position: u64,
    ended: bool,
}

impl Events {
    pub fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).with_context(|| path.display().to_string())?;
        let decoder =
            Decoder::new(BufReader::with_capacity(1 << 20, file)).with_context(|| path.display().to_string())?;
        Ok(Events { decoder, position: 0, ended: false })
    }

    /// The next event. A log that does not say that the guest ended is an error.
    pub fn next(&mut self) -> Result<Option<(u64, Event)>> {
        let position = self.position;
        self.position += 1;
        match self.decoder.next() {
            Some(Ok(Event::End)) => {
                self.ended = true;
                Ok(None)
            }
            Some(event) => Ok(Some((position, event.with_context(|| format!("store log, event {position}"))?))),
            None if self.ended => Ok(None),
            None => bail!("the store log is truncated"),
        }
    }
}

/// The media at the start of the log, and the log.
pub fn open(source: &Source) -> Result<(Media, Events)> {
    let events = Events::open(&source.log)?;
    let image = fs::read(&source.start).with_context(|| source.start.display().to_string())?;
    let size = events.decoder.header.size;
    ensure!(image.len() as u64 == size, "the start image has {} bytes, the log is of {size}", image.len());
    Ok((Media::new(image, source.domain.into()), events))
}

/// Applies `event`, or says why it cannot be trusted.
pub fn apply(media: &mut Media, position: u64, event: &Event) -> Result<()> {
    ensure!(media.apply(event), "event {position} stores beyond the image");
    if let Event::Lost { vaddr } = event {
        bail!("event {position}: the physical address of {vaddr:#x} was not found, cut images would be wrong");
    }
    Ok(())
}
