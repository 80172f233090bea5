// SPDX-License-Identifier: GPL-2.0

//! What must not count as a record: what a user stored, what rotted, what a hostile image holds. One CPU, one lane; records are
//! made by hand.

use std::collections::BTreeSet;
use std::mem::offset_of;

use pfnfs_core::media::{format, Error, Geometry, Pmem, PmemMut, BLOCK};
use pfnfs_core::meta::log::Stage;
use pfnfs_core::meta::{mkfs, Open, Volume};
use pfnfs_core::plat::crc32c;
use pfnfs_sim::media::Cut;
use pfnfs_sim::random::Random;
use pfnfs_sim::world::World;

const BLOCKS: u64 = 48;
/// Position of the only lane's first half.
const HALF: usize = 3 * BLOCK as usize;

fn machine(words: Vec<u64>, seed: u64) -> World {
    let world = World::new(words, 1, seed);
    if let Ok(geometry) = Geometry::read(&world) {
        world.prepare(&geometry);
    }
    world
}

fn open(world: &World, how: Open) -> Result<Volume<World>, Error> {
    Volume::open(world.clone(), Geometry::read(world)?, how)
}

fn image(world: &World) -> Vec<u64> {
    world.media.borrow().cut(Cut::All, &mut Random::new(0))
}

/// A volume, and a metadata block in it that records may patch.
fn volume() -> (Vec<u64>, u64) {
    let world = machine(vec![0; (BLOCKS * BLOCK / 8) as usize], 1);
    let options = mkfs::Options { lanes: 1, half_size: 2048, max_inodes: 256, ..mkfs::Options::suited(BLOCKS * BLOCK) };
    mkfs::format(&world, &options).unwrap();
    let world = machine(image(&world), 2);
    let volume = open(&world, Open::ReadWrite).unwrap();
    let blocks = volume.reserve(0, 1, false).unwrap();
    let at = blocks.first() * BLOCK;
    blocks.zero(0, BLOCK).unwrap();
    let mut stage = Stage::new();
    let mut record = volume.begin(&mut stage);
    record.attach(blocks.written()).unwrap();
    record.commit(()).unwrap().reply();
    volume.close().unwrap();
    (image(&world), at)
}

fn write(volume: &Volume<World>, at: u64, bytes: &[u8]) {
    let mut stage = Stage::new();
    let mut record = volume.begin(&mut stage);
    record.write(at, bytes).unwrap();
    record.commit(()).unwrap().reply();
}

fn read(media: &impl Pmem, at: u64) -> [u8; 8] {
    let mut bytes = [0; 8];
    media.read_bytes(at, &mut bytes).unwrap();
    bytes
}

/// A record as it lies in the log at `at`.
fn forge(at: u64, seq: u64, nonce: u64, patches: &[u8]) -> Vec<u8> {
    let mut rest = Vec::new();
    rest.extend((24 + patches.len() as u32).to_le_bytes());
    rest.extend(seq.to_le_bytes());
    rest.extend(nonce.to_le_bytes());
    let crc = crc32c(crc32c(crc32c(!0, patches), &at.to_le_bytes()), &rest);
    [crc.to_le_bytes().as_slice(), &rest, patches].concat()
}

fn patch(at: u64, bytes: &[u8]) -> Vec<u8> {
    [(at | (bytes.len() as u64) << 48).to_le_bytes().as_slice(), bytes].concat()
}

/// The words of the volume's slot: cut and nonce.
fn slot(image: &[u64]) -> (u64, u64) {
    (image[BLOCK as usize / 8 + 1], image[BLOCK as usize / 8 + 2])
}

#[test]
fn a_forged_payload_is_no_record() {
    let (words, at) = volume();
    let world = machine(words, 3);
    let mounted = open(&world, Open::ReadWrite).unwrap();
    let (cut, _) = slot(&image(&world));
    // A user who knows everything but the nonce stores a record where one will be looked for: at the second line.
    let forged = forge(HALF as u64 + 64, cut + 100, 0x1234_5678_9abc_def0, &patch(at, b"FORGERY!"));
    let mut payload = vec![0xaa; 64 - 24 - 8];
    payload.extend(forged);
    payload.extend([0xaa; 100]);
    write(&mounted, at + 1024, &payload);
    let lines: Vec<u8> =
        image(&world)[HALF / 8 + 8..HALF / 8 + 16].iter().flat_map(|word| word.to_le_bytes()).collect();
    assert!(lines.windows(8).any(|part| part == b"FORGERY!"), "the forgery is where a record would be looked for");
    // The next mount writes one line over the start of that half, and is cut.
    let world = machine(image(&world), 4);
    let mounted = open(&world, Open::ReadWrite).unwrap();
    write(&mounted, at + 8, b"honest");
    let world = machine(image(&world), 5);
    let mounted = open(&world, Open::ReadWrite).unwrap();
    assert_eq!(read(mounted.media(), at + 8), *b"honest\0\0");
    assert_eq!(read(mounted.media(), at), [0; 8], "the forged record was replayed");
}

/// Three records, cut, and one bit of one of them flipped.
fn rotten(record: usize) -> (Result<Volume<World>, Error>, u64) {
    let (words, at) = volume();
    let world = machine(words, 3);
    let mounted = open(&world, Open::ReadWrite).unwrap();
    for number in 0..3 {
        write(&mounted, at + number * 8, &[number as u8 + 1; 8]);
    }
    let mut words = image(&world);
    words[HALF / 8 + record * 8 + 4] ^= 1 << 17;
    (open(&machine(words, 4), Open::ReadWrite), at)
}

#[test]
fn rot_before_a_later_record_is_found() {
    for record in 0..2 {
        let (opened, _) = rotten(record);
        let why = "record behind a damaged one";
        assert!(matches!(opened, Err(Error::Corrupt { why: found, .. }) if found == why), "record {record}");
    }
}

/// What a checkpoint writes back it reads from the log: if that rotted, it says so, and the cut stays where it is.
#[test]
fn a_checkpoint_does_not_trust_a_rotten_record() {
    let (words, at) = volume();
    let world = machine(words, 3);
    let mounted = open(&world, Open::ReadWrite).unwrap();
    write(&mounted, at, &[1; 8]);
    let (cut, _) = slot(&image(&world));
    world.store((HALF + 32) as u64, &[0xff; 8]).unwrap();
    assert!(matches!(mounted.checkpoint(), Err(Error::Corrupt { .. })));
    assert_eq!(slot(&image(&world)).0, cut);
}

/// Rot of the last record cannot be told from a record that was never finished.
#[test]
fn a_damaged_last_record_does_not_count() {
    let (opened, at) = rotten(2);
    let mounted = opened.unwrap();
    assert_eq!(read(mounted.media(), at + 8), [2; 8]);
    assert_eq!(read(mounted.media(), at + 16), [0; 8]);
}

#[test]
fn a_record_that_reaches_outside_its_areas_is_refused_and_nothing_changes() {
    let (words, at) = volume();
    let geometry = Geometry::read(&machine(words.clone(), 0)).unwrap();
    let end = BLOCKS * BLOCK;
    let bits = |at: u64, kind: u64, first: u32, count: u32| {
        let head = (at | 8 << 48 | kind << 62).to_le_bytes();
        [head.as_slice(), &first.to_le_bytes(), &count.to_le_bytes()].concat()
    };
    let group = geometry.bitmap_at(0);
    let bad = [
        patch(0, b"superblock"),
        patch(BLOCK, b"slot"),
        patch(2 * BLOCK + 252, b"beyond the table inode"),
        patch(3 * BLOCK, b"log"),
        patch(group, b"bitmap"),
        patch(geometry.data().start * BLOCK - 4, b"bitmap's end"),
        patch(end - BLOCK - 4, b"last superblock"),
        patch((1 << 48) - 8, b"far away"),
        patch(at, b""),
        bits(group, 2, 0, 1),
        bits(group, 3, BLOCKS as u32 - 1, 1),
        bits(group, 2, u32::MAX, 2),
        bits(group, 2, geometry.data().start as u32, 0),
        bits(group + 8, 2, geometry.data().start as u32, 1),
        bits(at, 2, 255, 2),
        bits(at + 64, 2, 0, 1),
        patch(at, b"good")[..9].to_vec(),
    ];
    for (number, patches) in bad.iter().enumerate() {
        let world = machine(words.clone(), 3);
        drop(open(&world, Open::ReadWrite).unwrap());
        let (cut, nonce) = slot(&image(&world));
        let good = forge(HALF as u64, cut + 1, nonce, &patch(at, b"good"));
        world.store(HALF as u64, &good).unwrap();
        world.store(HALF as u64 + 64, &forge(HALF as u64 + 64, cut + 2, nonce, patches)).unwrap();
        let before = world.media.borrow().live().to_vec();
        let opened = open(&machine(before.clone(), 4), Open::ReadWrite);
        assert!(matches!(opened, Err(Error::Corrupt { .. })), "bad record {number}");
        let again = machine(before.clone(), 5);
        assert!(open(&again, Open::ReadWrite).is_err());
        assert!(*again.media.borrow().live() == before[..], "bad record {number}: something was stored");
        // Its checksum wrong, it is a torn record, and the good one counts.
        let mut torn = before;
        torn[HALF / 8 + 8] ^= 1;
        let mounted = open(&machine(torn, 6), Open::ReadWrite).unwrap();
        assert_eq!(read(mounted.media(), at)[..4], *b"good");
    }
}

#[test]
fn a_record_counts_in_its_own_place_only() {
    let (words, at) = volume();
    for (place, counts) in [(HALF as u64, true), (HALF as u64 + 64, false)] {
        let world = machine(words.clone(), 3);
        drop(open(&world, Open::ReadWrite).unwrap());
        let (cut, nonce) = slot(&image(&world));
        world.store(HALF as u64, &forge(place, cut + 1, nonce, &patch(at, b"moved"))).unwrap();
        let before = world.media.borrow().live().to_vec();
        let mounted = open(&machine(before, 4), Open::ReadWrite).unwrap();
        assert_eq!(read(mounted.media(), at)[..5] == *b"moved", counts);
    }
}

#[test]
fn read_only_mounts() {
    let (words, at) = volume();
    let world = machine(words.clone(), 3);
    drop(open(&world, Open::ReadOnly).unwrap());
    assert!(*world.media.borrow().live() == words[..], "a clean volume mounted for reading is not written");
    let mounted = open(&world, Open::ReadWrite).unwrap();
    write(&mounted, at, b"a record");
    let dirty = image(&world);

    let world = machine(dirty.clone(), 4);
    let mounted = open(&world, Open::NoRecovery).unwrap();
    assert_eq!(read(mounted.media(), at), [0; 8]);
    let mut stage = Stage::new();
    let mut record = mounted.begin(&mut stage);
    record.write(at, b"refused").unwrap();
    assert!(matches!(record.commit(()), Err(Error::ReadOnly)));
    assert!(matches!(mounted.reserve(0, 1, false), Err(Error::ReadOnly)));
    assert!(*world.media.borrow().live() == dirty[..], "without recovery nothing is written");

    let mounted = open(&world, Open::ReadOnly).unwrap();
    assert_eq!(read(mounted.media(), at), *b"a record");
    let again = machine(image(&world), 5);
    assert_eq!(read(open(&again, Open::NoRecovery).unwrap().media(), at), *b"a record", "the replay is durable");

    let world = machine(dirty, 6);
    world.protect();
    assert!(matches!(open(&world, Open::ReadWrite), Err(Error::ReadOnly)));
    assert!(matches!(open(&world, Open::ReadOnly), Err(Error::ReadOnly)), "the log would have to be replayed");
    assert!(open(&world, Open::NoRecovery).is_ok());
}

/// What is read-only becomes writable, and the other way round, as if it were opened anew each time; cut at the end of each.
#[test]
fn a_mount_changes_between_reading_and_writing() {
    let (words, at) = volume();
    let world = machine(words.clone(), 3);
    let mounted = open(&world, Open::ReadOnly).unwrap();
    // Each has a nonce of its own, which tells its records from those of an earlier one.
    let nonce = || read(&world, format::SLOT_BLOCK * BLOCK + offset_of!(format::Slot, nonce) as u64);
    let mut nonces = BTreeSet::from([nonce()]);
    mounted.make_writable().unwrap();
    let before = nonce();
    let again = machine(image(&world), 7);
    drop(open(&again, Open::ReadWrite).unwrap());
    let after: [u8; 8] = read(&again, format::SLOT_BLOCK * BLOCK + offset_of!(format::Slot, nonce) as u64);
    assert!(after != before, "a mount has a nonce of its own");
    for round in 0..3u8 {
        assert!(nonces.insert(nonce()));
        write(&mounted, at, &[round + 1; 8]);
        let cut = machine(world.media.borrow().cut(Cut::Nothing, &mut Random::new(1)), 4);
        assert_eq!(
            read(open(&cut, Open::ReadWrite).unwrap().media(), at),
            [round + 1; 8],
            "a record that returned counts"
        );
        mounted.close().unwrap();
        assert!(mounted.read_only());
        let mut stage = Stage::new();
        let mut record = mounted.begin(&mut stage);
        record.write(at, b"too late").unwrap();
        assert!(matches!(record.commit(()), Err(Error::ReadOnly)));
        let clean = machine(world.media.borrow().cut(Cut::Nothing, &mut Random::new(1)), 5);
        clean.protect();
        assert_eq!(
            read(open(&clean, Open::ReadOnly).unwrap().media(), at),
            [round + 1; 8],
            "nothing is left to replay"
        );
        mounted.make_writable().unwrap();
        mounted.make_writable().unwrap();
    }
    let world = machine(words, 6);
    assert!(matches!(open(&world, Open::NoRecovery).unwrap().make_writable(), Err(Error::ReadOnly)));
    let mounted = open(&world, Open::ReadOnly).unwrap();
    world.protect();
    assert!(matches!(mounted.make_writable(), Err(Error::ReadOnly)));
}

#[test]
fn nothing_enters_a_closed_volume() {
    let (words, at) = volume();
    let world = machine(words, 3);
    let mounted = open(&world, Open::ReadWrite).unwrap();
    write(&mounted, at, b"the last");
    mounted.close().unwrap();
    let mut stage = Stage::new();
    let mut record = mounted.begin(&mut stage);
    record.write(at, b"too late").unwrap();
    assert!(matches!(record.commit(()), Err(Error::ReadOnly)));
    let mounted = open(&machine(image(&world), 4), Open::NoRecovery).unwrap();
    assert_eq!(read(mounted.media(), at), *b"the last");
}

/// A record is given up: what it held is free again.
#[test]
fn a_dropped_record_gives_back_what_it_held() {
    let (words, at) = volume();
    let world = machine(words, 3);
    let mounted = open(&world, Open::ReadWrite).unwrap();
    let before = mounted.space();
    let mut stage = Stage::new();
    let mut record = mounted.begin(&mut stage);
    record.attach(mounted.reserve(0, 3, false).unwrap().written()).unwrap();
    assert!(record.write(at, &[1; 1024]).is_err(), "too big for a record");
    assert_eq!(mounted.space().free, before.free - 3);
    drop(record);
    assert_eq!(mounted.space(), before);
    let blocks = mounted.reserve(0, 4, false).unwrap();
    assert!(blocks.store(4 * BLOCK - 4, &[0; 8]).is_err(), "a store outside the blocks");
    let (head, tail) = blocks.split(1);
    assert_eq!((head.count(), tail.map(|tail| tail.count())), (1, Some(3)));
    drop(head);
    assert_eq!(mounted.space(), before);
}
