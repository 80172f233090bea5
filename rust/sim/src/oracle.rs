// SPDX-License-Identifier: GPL-2.0

//! The oracle of the rows workload: what a volume may look like after a power cut at any moment, and the comparison.
//!
//! One metadata block holds a table of *rows* of 20 bytes: they share words and lines, and each belongs to its own lock. A
//! row may own one block, of user data (stored in place, never by a record) or of metadata (stored fresh, then patched by
//! records). The oracle knows what each row was when its last operation returned, and what the operations under way want:
//! after a power cut each of these happened, or did not, in full.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;

use pfnfs_core::media::format::{Slot, Time};
use pfnfs_core::media::{check, Geometry, Pmem, BLOCK};
use pfnfs_core::meta::log::Stage;
use pfnfs_core::meta::{mkfs, Open, Volume};
use zerocopy::FromBytes;

use crate::media::Cut;
use crate::random::{mix, Random};
use crate::world::{Policy, World};

/// Identity of the volumes.
const UUID: [u8; 16] = [7; 16];
/// Bytes of a row.
const ROW: usize = 20;
/// Words of a block that are used: one in each of so many lines.
pub const CELLS: usize = 8;

/// Whose bytes the block of a row has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    None,
    Data,
    Meta,
}

/// A row and the contents of its block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    pub version: u32,
    pub kind: Kind,
    pub block: u64,
    pub id: u64,
    pub cells: [u64; CELLS],
}

impl Row {
    /// A row that owns nothing.
    pub const EMPTY: Self = Self { version: 0, kind: Kind::None, block: 0, id: 0, cells: [0; CELLS] };

    /// As it lies in the table.
    pub fn bytes(&self) -> [u8; ROW] {
        let mut bytes = [0; ROW];
        bytes[..4].copy_from_slice(&self.version.to_le_bytes());
        bytes[4..8].copy_from_slice(&(self.kind as u32).to_le_bytes());
        bytes[8..12].copy_from_slice(&(self.block as u32).to_le_bytes());
        bytes[12..].copy_from_slice(&self.id.to_le_bytes());
        bytes
    }
}

/// What a run is like.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    pub cpus: usize,
    pub lanes: u32,
    pub half_size: u32,
    /// Blocks that rows can own.
    pub free: u64,
    pub rows: u32,
    /// Operations per CPU.
    pub operations: usize,
    /// So many of 256 operations are checkpoints.
    pub checkpoints: u8,
}

/// The volume's blocks that are in use whatever the rows say, and where the rows are.
#[derive(Clone)]
pub struct Place {
    pub table: u64,
    fixed: BTreeSet<u64>,
    pub config: Config,
}

/// An operation under way.
#[derive(Clone, Debug)]
pub enum Pending {
    /// These rows become these.
    Rows(Vec<(usize, Row)>),
    /// One cell of a row's data is overwritten in place.
    Cell(usize, usize, u64),
}

/// What the rows may be.
#[derive(Clone)]
pub struct Oracle {
    pub rows: Vec<Row>,
    pub pending: Vec<Option<Pending>>,
}

/// Makes a volume and its table. Returns the memory's words.
pub fn format(config: Config) -> (Vec<u64>, Place) {
    let lanes = (u64::from(config.lanes) * 2 * u64::from(config.half_size)).div_ceil(BLOCK);
    let blocks = (3 + lanes + 1 + 16 + 1 + config.free + 1).max(mkfs::BLOCKS_MIN);
    let world = World::new(vec![0; (blocks * BLOCK / 8) as usize], 1, 1);
    let options = mkfs::Options {
        uuid: UUID,
        lanes: config.lanes,
        half_size: config.half_size,
        max_inodes: 256,
        now: Time::default(),
        ..mkfs::Options::suited(blocks * BLOCK)
    };
    mkfs::format(&world, &options).expect("the volume is large enough");
    let geometry = Geometry::read(&world).expect("it was just made");
    world.prepare(&geometry);
    let volume = Volume::open(world.clone(), geometry, Open::ReadWrite).expect("it was just made");
    let blocks = volume.reserve(0, 1, false).expect("there is a free block");
    let table = blocks.first();
    blocks.zero(0, BLOCK).expect("the block is there");
    let mut stage = Stage::new();
    let mut record = volume.begin(&mut stage);
    record.attach(blocks.written()).expect("the record is empty");
    // Ballast, for volumes smaller than mkfs makes them.
    while volume.space().free > config.free {
        let blocks =
            volume.reserve(0, (volume.space().free - config.free) as u32, false).expect("there are free blocks");
        record.attach(blocks.written()).expect("the record is empty");
    }
    record.commit(()).expect("the log is empty").reply();
    volume.close().expect("nothing is in the way");
    assert_eq!(volume.space().free, config.free);
    let image = world.media.borrow().cut(Cut::All, &mut Random::new(0));
    let fixed = (0..blocks_of(&image)).filter(|block| bit(&image, &geometry, *block)).collect();
    (image, Place { table, fixed, config })
}

/// Whether the slot in these words is sound.
pub fn slot_is_sound(image: &[u64], start: usize) -> bool {
    let bytes: Vec<u8> = image[start..start + 8].iter().flat_map(|word| word.to_le_bytes()).collect();
    let slot = Slot::read_from_bytes(&bytes).expect("64 bytes");
    check::slot(&UUID, &slot, start as u64 * 8).is_ok()
}

fn blocks_of(image: &[u64]) -> u64 {
    image.len() as u64 * 8 / BLOCK
}

fn bit(image: &[u64], geometry: &Geometry, block: u64) -> bool {
    let (group, bit) = geometry.bit(block);
    image[geometry.bitmap_at(group) as usize / 8 + bit as usize / 64] >> (bit % 64) & 1 == 1
}

pub fn row_at(place: &Place, index: usize) -> u64 {
    place.table * BLOCK + (index * ROW) as u64
}

pub fn cell_at(block: u64, cell: usize) -> u64 {
    block * BLOCK + cell as u64 * 72
}

/// A row as it lies there, with the contents of its block.
pub fn read_row(media: &impl Pmem, place: &Place, index: usize) -> Result<Row, String> {
    let mut bytes = [0; ROW];
    media.read_bytes(row_at(place, index), &mut bytes).map_err(|error| format!("{error:?}"))?;
    let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    let kind = match word(4) {
        0 => Kind::None,
        1 => Kind::Data,
        2 => Kind::Meta,
        _ => return Err(format!("row {index} is garbage: {bytes:02x?}")),
    };
    let id = u64::from(word(12)) | u64::from(word(16)) << 32;
    let mut row = Row { version: word(0), kind, block: u64::from(word(8)), id, cells: [0; CELLS] };
    if kind != Kind::None {
        for (cell, value) in row.cells.iter_mut().enumerate() {
            let mut bytes = [0; 8];
            media.read_bytes(cell_at(row.block, cell), &mut bytes).map_err(|error| format!("{error:?}"))?;
            *value = u64::from_le_bytes(bytes);
        }
    }
    Ok(row)
}

impl Oracle {
    /// To tell states apart.
    pub fn hash(&self) -> u64 {
        format!("{:?}{:?}", self.rows, self.pending).bytes().fold(0, |hash, byte| mix(hash ^ u64::from(byte)))
    }

    pub fn new(place: &Place) -> Self {
        let config = place.config;
        Self { rows: vec![Row::EMPTY; config.rows as usize], pending: vec![None; config.cpus] }
    }

    /// Whether `found` is what the rows may be after a power cut now. Returns the oracle of what happened.
    fn settle(&self, found: &[Row]) -> Result<Self, String> {
        let mut rows = self.rows.clone();
        for pending in self.pending.iter().flatten() {
            match pending {
                Pending::Rows(changes)
                    if changes.iter().any(|(index, _)| found[*index].version != rows[*index].version) =>
                {
                    changes.iter().for_each(|(index, row)| rows[*index] = *row);
                }
                Pending::Cell(index, cell, value) if found[*index].cells[*cell] == *value => {
                    rows[*index].cells[*cell] = *value;
                }
                _ => {}
            }
        }
        for (index, (found, expected)) in found.iter().zip(&rows).enumerate() {
            if found != expected {
                return Err(format!(
                    "row {index} is {found:x?}\n  instead of {expected:x?}, pending {:x?}",
                    self.pending
                ));
            }
        }
        Ok(Self { rows, pending: vec![None; self.pending.len()] })
    }

    fn used(&self, place: &Place) -> BTreeSet<u64> {
        let blocks = self.rows.iter().filter(|row| row.kind != Kind::None).map(|row| row.block);
        place.fixed.iter().copied().chain(blocks).collect()
    }
}

/// Compares rows and bitmap with the oracle; returns what happened to the operations under way.
pub fn compare(
    words: &[u64],
    media: &impl Pmem,
    geometry: &Geometry,
    place: &Place,
    oracle: &Oracle,
) -> Result<Oracle, String> {
    let found: Result<Vec<Row>, String> =
        (0..place.config.rows as usize).map(|row| read_row(media, place, row)).collect();
    let settled = oracle.settle(&found?)?;
    let used: BTreeSet<u64> = (0..blocks_of(words)).filter(|block| bit(words, geometry, *block)).collect();
    let expected = settled.used(place);
    if used != expected {
        let leaked: Vec<_> = used.difference(&expected).collect();
        let lost: Vec<_> = expected.difference(&used).collect();
        return Err(format!("bitmap: in use for nothing {leaked:?}, in use but free {lost:?}"));
    }
    Ok(settled)
}

/// Mounts an image and compares. Returns the oracle of what happened, and what is durable then.
pub fn recover(image: &[u64], place: &Place, oracle: &Oracle, seed: u64) -> Result<(Oracle, Vec<u64>), String> {
    let world = World::new(image.to_vec(), place.config.cpus, seed);
    let settled = mount(&world, place, oracle)?;
    let image = world.media.borrow().cut(Cut::All, &mut Random::new(seed));
    Ok((settled, image))
}

/// Mounts what is in this world's memory, and compares what is seen with the oracle.
fn mount(world: &World, place: &Place, oracle: &Oracle) -> Result<Oracle, String> {
    let geometry = Geometry::read(world).map_err(|error| format!("superblock: {error:?}"))?;
    world.prepare(&geometry);
    let volume = Volume::open(world.clone(), geometry, Open::ReadWrite).map_err(|error| format!("mount: {error:?}"))?;
    let words = world.media.borrow().live();
    let settled = compare(&words, volume.media(), &geometry, place, oracle)?;
    let free = volume.space().free;
    let expected = place.config.free - settled.rows.iter().filter(|row| row.kind != Kind::None).count() as u64;
    if free != expected {
        return Err(format!("{free} blocks are free instead of {expected}"));
    }
    Ok(settled)
}

/// The same, with power cuts within the mount: whatever they leave has to mount to the same.
pub fn recover_with_cuts(image: &[u64], place: &Place, oracle: &Oracle, seed: u64) -> Result<u64, String> {
    let world = World::new(image.to_vec(), place.config.cpus, seed);
    let (expected, _) = recover(image, place, oracle, seed)?;
    let mut random = Random::new(seed ^ 1);
    let outcome: Rc<RefCell<Result<u64, String>>> = Rc::new(RefCell::new(Ok(0)));
    let program = {
        let (world, place, expected, outcome) = (world.clone(), place.clone(), expected.clone(), outcome.clone());
        Box::new(move || {
            if let Err(error) = mount(&world, &place, &expected) {
                *outcome.borrow_mut() = Err(error);
            }
        })
    };
    world.run(vec![program], Policy::Chance(0), &mut |world, fenced| {
        if outcome.borrow().is_ok() && (fenced || random.chance(16)) {
            let image = world.media.borrow().cut(any_cut(&mut random), &mut random);
            let again = recover(&image, place, &expected, random.word());
            let mut outcome = outcome.borrow_mut();
            *outcome = again
                .map(|_| outcome.clone().unwrap_or(0) + 1)
                .map_err(|error| format!("cut within the mount: {error}"));
        }
    });
    let outcome = outcome.borrow().clone();
    outcome
}

/// A kind of cut.
pub fn any_cut(random: &mut Random) -> Cut {
    match random.below(8) {
        6 | 7 => Cut::Part,
        0 => Cut::All,
        1 => Cut::Nothing,
        2 => Cut::Some(32),
        3 => Cut::Some(224),
        _ => Cut::Some(128),
    }
}
