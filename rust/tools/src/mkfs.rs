// SPDX-License-Identifier: GPL-2.0

//! mkfs.pfnfs: lays out an empty volume on a device node or in an image file.

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{anyhow, bail, Context};
use clap::Args;
use pfnfs_core::media::format::{self, Time};
use pfnfs_core::media::{Error, Geometry, Pmem, BLOCK};
use pfnfs_core::meta::mkfs::{self, Options};
use uuid::Uuid;

use crate::foreign;
use crate::image::Image;

/// What mkfs.pfnfs takes.
#[derive(Args)]
pub struct Arguments {
    /// Device node (/dev/pfnfs0) or image file
    device: PathBuf,
    /// Overwrite a file system, of whatever kind, that is there
    #[arg(short, long)]
    force: bool,
    /// Name of the volume, up to 32 bytes
    #[arg(short = 'L', long, value_parser = label, default_value = "")]
    label: Label,
    /// UUID of the volume [default: a random one]
    #[arg(short = 'U', long)]
    uuid: Option<Uuid>,
    /// Key of the hash of names [default: a random one]; only for images that must come out the same each time
    #[arg(long, hide = true)]
    hash_seed: Option<Uuid>,
    /// Largest number of inodes, rounded up to a multiple of 256 [default: one for each 16 KiB]
    #[arg(short = 'N', long)]
    inodes: Option<u64>,
    /// Lanes of the log, 1 to 64 [default: by the size of the device]
    #[arg(long)]
    lanes: Option<u32>,
    /// Bytes of each of the two halves of a lane [default: by the size of the device]
    #[arg(long)]
    half_size: Option<u32>,
    /// Say nothing
    #[arg(short, long)]
    quiet: bool,
}

#[derive(Clone)]
struct Label([u8; 32]);

fn label(text: &str) -> Result<Label, String> {
    let mut label = [0; 32];
    label
        .get_mut(..text.len())
        .ok_or_else(|| format!("{} bytes, at most 32 fit", text.len()))?
        .copy_from_slice(text.as_bytes());
    Ok(Label(label))
}

/// Runs mkfs.pfnfs.
///
/// # Errors
///
/// Something is on the medium already, the medium is too small, or cannot be written.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let image = Image::open(&arguments.device, true)?;
    let name = arguments.device.display();
    if !arguments.force {
        if let Some(what) = occupant(&image)? {
            bail!("{name} holds {what}; -f overwrites it");
        }
    }
    let options = options(arguments, image.size())?;
    if let Err(error) = mkfs::format(&image, &options) {
        image.check()?;
        return Err(match error {
            Error::Invalid(what) => anyhow!("{name} ({} bytes): {what} does not do", image.size()),
            other => anyhow!("{name}: {other:?}"),
        });
    }
    image.sync()?;
    if !arguments.quiet {
        report(&image, &name.to_string())?;
    }
    Ok(())
}

/// What lies on the medium. A superblock of ours counts even if it is damaged or of another version.
fn occupant(image: &Image) -> anyhow::Result<Option<&'static str>> {
    let found = match Geometry::read(image) {
        Err(Error::NotPfnfs) => foreign::find(image).unwrap_or_default(),
        Err(Error::Poison { .. }) => foreign::find(image).unwrap_or_default(),
        Ok(_) => Some("a pfnfs file system"),
        Err(Error::Version(_) | Error::Feature(_)) => Some("a pfnfs file system of another version"),
        Err(_) => Some("a damaged pfnfs file system"),
    };
    image.check()?;
    Ok(found)
}

fn options(arguments: &Arguments, size: u64) -> anyhow::Result<Options> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock is before 1970")?;
    let suited = Options::suited(size);
    Ok(Options {
        uuid: arguments.uuid.unwrap_or_else(Uuid::new_v4).into_bytes(),
        label: arguments.label.0,
        hash_seed: arguments.hash_seed.unwrap_or_else(Uuid::new_v4).into_bytes(),
        lanes: arguments.lanes.unwrap_or(suited.lanes),
        half_size: arguments.half_size.unwrap_or(suited.half_size),
        max_inodes: arguments.inodes.unwrap_or(suited.max_inodes),
        now: Time { sec: i64::try_from(now.as_secs())?.into(), nsec: now.subsec_nanos().into() },
        ..suited
    })
}

fn report(image: &Image, name: &str) -> anyhow::Result<()> {
    let geometry = Geometry::read(image).map_err(|error| anyhow!("{name}: reads back wrong: {error:?}"))?;
    let (blocks, data) = (geometry.blocks(), geometry.data());
    println!(
        "{name}: pfnfs, format {}, {blocks} blocks of {BLOCK} bytes ({} MiB)",
        format::VERSION,
        blocks * BLOCK >> 20
    );
    println!("  uuid {}", Uuid::from_bytes(*geometry.uuid()));
    println!(
        "  log: {} lanes of 2 x {} KiB; up to {} inodes",
        geometry.lanes(),
        geometry.half_size() >> 10,
        geometry.max_inodes()
    );
    println!("  data from block {} on ({} blocks)", data.start, data.end - data.start);
    Ok(())
}
