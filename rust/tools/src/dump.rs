// SPDX-License-Identifier: GPL-2.0

//! dump.pfnfs: what lies on a volume, in readable form. It never writes; by default it shows the volume as a mount would see
//! it, with the log replayed in memory.

mod log;
mod tree;

use std::path::PathBuf;

use anyhow::{anyhow, Context};
use clap::{Args, Subcommand};
use pfnfs_core::media::{format, Geometry, Pmem};
use pfnfs_core::meta::log::{Open, Volume};
use uuid::Uuid;

use crate::image::Image;
use crate::overlay::Overlay;

/// What dump.pfnfs takes.
#[derive(Args)]
pub struct Arguments {
    /// Device node (/dev/pfnfs0) or image file
    device: PathBuf,
    /// Show what is in place, without replaying the log
    #[arg(long)]
    no_replay: bool,
    #[command(subcommand)]
    what: Option<What>,
}

/// What to show.
#[derive(Subcommand)]
enum What {
    /// Superblock, slots of the log and free space; the default
    Super,
    /// The records in the lanes of the log
    Log {
        /// Every patch of a record
        #[arg(short, long)]
        patches: bool,
    },
    /// An inode, by number or by path from the root
    Inode {
        /// Number or /path
        inode: String,
    },
    /// The entries of a directory
    Dir {
        /// Number or /path
        inode: String,
        /// With everything below it
        #[arg(short, long)]
        recursive: bool,
    },
    /// The extents of a file
    Extents {
        /// Number or /path
        inode: String,
    },
}

/// A volume over an image that is not written.
type View<'a> = Volume<Overlay<'a>>;

/// Runs dump.pfnfs.
///
/// # Errors
///
/// It is no volume of a format we know, is damaged where we look, or cannot be read.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let image = Image::open(&arguments.device, false)?;
    let geometry =
        Geometry::read(&image).map_err(|error| named(&error)).context(arguments.device.display().to_string())?;
    let view = || -> anyhow::Result<View<'_>> {
        let how = if arguments.no_replay { Open::NoRecovery } else { Open::ReadOnly };
        let overlay = Overlay::new(&image, &geometry);
        Volume::open(overlay, geometry, how).map_err(|error| named(&error)).context("cannot open the volume")
    };
    let done = match arguments.what.as_ref().unwrap_or(&What::Super) {
        What::Super => superblock(&image, &geometry, view()),
        What::Log { patches } => log::show(&image, &geometry, *patches),
        What::Inode { inode } => tree::inode(&view()?, inode),
        What::Dir { inode, recursive } => tree::directory(&view()?, inode, *recursive),
        What::Extents { inode } => tree::extents(&view()?, inode),
    };
    image.check()?;
    done
}

/// An error of the core in words.
pub fn named(error: &pfnfs_core::media::Error) -> anyhow::Error {
    use pfnfs_core::media::Error as E;
    match error {
        E::NotPfnfs => anyhow!("no pfnfs file system"),
        E::Version(version) => anyhow!("format {version}; this program knows format {}", format::VERSION),
        E::Feature(bits) => anyhow!("unknown incompatible features {bits:#x}"),
        E::Damaged(why) => anyhow!("both copies are damaged: {why}"),
        E::WrongSize { media, volume } => anyhow!("a volume of {volume} bytes on a device of {media}"),
        E::Corrupt { at, why } => anyhow!("corrupt at byte {at:#x}: {why}"),
        E::Poison { at } => anyhow!("cannot read at byte {at:#x}"),
        E::NotFound => anyhow!("not found"),
        E::NotDir => anyhow!("not a directory"),
        other => anyhow!("{other:?}"),
    }
}

fn superblock(image: &Image, geometry: &Geometry, view: anyhow::Result<View<'_>>) -> anyhow::Result<()> {
    let (compat, ro_compat) = geometry.features();
    println!("format         {}", format::VERSION);
    println!("uuid           {}", Uuid::from_bytes(*geometry.uuid()));
    println!("label          {}", geometry.label().escape_ascii());
    println!("created        {}", tree::time(geometry.created()));
    println!("features       compat {compat:#x} ro_compat {ro_compat:#x}");
    println!("blocks         {} of 4096 bytes; the device has {} bytes", geometry.blocks(), image.size());
    println!(
        "log            {} lanes of 2 x {} bytes from byte {:#x}",
        geometry.lanes(),
        geometry.half_size(),
        geometry.half_at(0, 0)
    );
    println!("bitmaps        {} from block {}", geometry.groups(), geometry.bitmap_start());
    println!("data           blocks {} to {}", geometry.data().start, geometry.data().end);
    println!("inodes         at most {}, root {}", geometry.max_inodes(), geometry.root());
    if let Some(at) = geometry.damaged() {
        println!("DAMAGED        the superblock at byte {at:#x}; the other copy is in use");
    }
    log::slots(image, geometry);
    let space = view?.space();
    println!(
        "space          {} of {} blocks free; {} of {} inodes free",
        space.free, space.blocks, space.free_inodes, space.inodes
    );
    Ok(())
}
