// SPDX-License-Identifier: GPL-2.0

//! A workload close to the log: operations fill, change, patch, swap and clear the rows of [`crate::oracle`], and overwrite the
//! data of their blocks, under locks of their own as the file system's shell has them.

use std::cell::{Cell, RefCell};

use pfnfs_core::media::{Error, Geometry, PmemMut};
use pfnfs_core::meta::log::Stage;
use pfnfs_core::meta::{Open, Volume};

use crate::media::Cut;
use crate::oracle::{self, cell_at, read_row, row_at, Kind, Oracle, Pending, Place, Row, CELLS};
use crate::random::{mix, Random};
use crate::world::{Lock, World};

/// A run of the workload on a mounted volume.
pub struct Run {
    pub world: World,
    pub place: Place,
    pub oracle: RefCell<Oracle>,
    volume: Volume<World>,
    next_id: Cell<u64>,
    /// Operations done, and those refused for want of space.
    pub done: Cell<u64>,
    pub refused: Cell<u64>,
}

impl Run {
    /// Mounts.
    pub fn new(world: &World, place: &Place, oracle: Oracle, seed: u64) -> Self {
        let geometry = Geometry::read(world).expect("the superblock is sound");
        world.prepare(&geometry);
        let volume = Volume::open(world.clone(), geometry, Open::ReadWrite).expect("the image was mounted before");
        let next_id = Cell::new(mix(seed) | 1);
        let (done, refused) = (Cell::new(0), Cell::new(0));
        Self {
            world: world.clone(),
            place: place.clone(),
            oracle: RefCell::new(oracle),
            volume,
            next_id,
            done,
            refused,
        }
    }

    pub fn volume(&self) -> &Volume<World> {
        &self.volume
    }

    /// What a CPU does.
    pub fn program(&self, cpu: usize, seed: u64) {
        let mut random = Random::new(seed ^ mix(cpu as u64 + 1));
        for _ in 0..self.place.config.operations {
            self.operation(cpu, &mut random);
            self.done.set(self.done.get() + 1);
        }
    }

    fn operation(&self, cpu: usize, random: &mut Random) {
        let rows = self.place.config.rows as usize;
        let index = random.below(rows);
        if random.chance(self.place.config.checkpoints) {
            return self.volume.checkpoint().expect("the log can be read");
        }
        match random.below(15) {
            0..=4 => self.fill(cpu, index, if random.chance(128) { Kind::Data } else { Kind::Meta }),
            5..=8 => self.patch(cpu, index, random),
            9..=10 => self.clear(cpu, index),
            11 => self.swap(cpu, index, random.below(rows)),
            _ => self.overwrite(cpu, index, random),
        }
    }

    fn id(&self) -> u64 {
        self.next_id.set(self.next_id.get() + 2);
        mix(self.next_id.get()) | 1
    }

    fn row(&self, index: usize) -> Row {
        self.oracle.borrow().rows[index]
    }

    /// What everybody sees has to be what the last operation on the row left. Its lock is held.
    fn look(&self, index: usize) -> Row {
        let row = self.row(index);
        let found = read_row(self.volume.media(), &self.place, index).expect("the row is sound");
        assert_eq!(found, row, "row {index} in live memory, and what it should be");
        row
    }

    fn pend(&self, cpu: usize, pending: Option<Pending>) {
        self.oracle.borrow_mut().pending[cpu] = pending;
    }

    /// The operation has returned: from now on it must survive.
    fn settle(&self, cpu: usize, changes: &[(usize, Row)]) {
        self.pend(cpu, None);
        let rows = &mut self.oracle.borrow_mut().rows;
        changes.iter().for_each(|(index, row)| rows[*index] = *row);
    }

    /// A row gets a new block, and loses the one it had.
    pub fn fill(&self, cpu: usize, index: usize, kind: Kind) {
        let id = self.id();
        let mut stage = Stage::new();
        let mut record = self.volume.begin(&mut stage);
        // As for the nodes of a tree: near another one.
        let near = if kind == Kind::Meta { self.place.table } else { 0 };
        let blocks = match self.volume.reserve(near, 1, false) {
            Ok(blocks) => blocks,
            Err(Error::NoSpace) => return self.refuse(),
            Err(error) => panic!("reserve: {error:?}"),
        };
        let block = blocks.first();
        let mut cells = [0; CELLS];
        for (cell, value) in cells.iter_mut().enumerate() {
            *value = mix(id ^ cell as u64);
            blocks.store(cell as u64 * 72, &value.to_le_bytes()).expect("the block is there");
        }
        let blocks = blocks.written();
        self.world.locked(Lock::Object(index as u32), || {
            let old = self.look(index);
            let new = Row { version: old.version + 1, kind, block, id, cells };
            record.diff(row_at(&self.place, index), &old.bytes(), &new.bytes()).expect("it fits");
            record.attach(blocks).expect("it fits");
            match old.kind {
                Kind::None => {}
                Kind::Data => record.free_data(old.block, 1).expect("it is in use"),
                Kind::Meta => record.free_meta(old.block, 1).expect("it is in use"),
            }
            self.pend(cpu, Some(Pending::Rows(vec![(index, new)])));
            record.commit(()).expect("nothing is in the way").reply();
            self.settle(cpu, &[(index, new)]);
        });
    }

    /// There was no space: with one CPU, and so no reservations of others, this has to be true.
    fn refuse(&self) {
        let owned = self.oracle.borrow().rows.iter().filter(|row| row.kind != Kind::None).count() as u64;
        assert!(
            self.place.config.cpus > 1 || owned == self.place.config.free,
            "refused a block while {owned} are owned"
        );
        self.refused.set(self.refused.get() + 1);
    }

    /// A record changes two cells of a metadata block, and the row.
    pub fn patch(&self, cpu: usize, index: usize, random: &mut Random) {
        let mut stage = Stage::new();
        let mut record = self.volume.begin(&mut stage);
        self.world.locked(Lock::Object(index as u32), || {
            let old = self.look(index);
            if old.kind != Kind::Meta {
                return;
            }
            let mut new = Row { version: old.version + 1, ..old };
            record.diff(row_at(&self.place, index), &old.bytes(), &new.bytes()).expect("it fits");
            for _ in 0..2 {
                let cell = random.below(CELLS);
                let value = random.word() & if random.chance(64) { 0xff } else { u64::MAX };
                let at = cell_at(old.block, cell);
                record.diff(at, &new.cells[cell].to_le_bytes(), &value.to_le_bytes()).expect("it fits");
                new.cells[cell] = value;
            }
            self.pend(cpu, Some(Pending::Rows(vec![(index, new)])));
            record.commit(()).expect("nothing is in the way").reply();
            self.settle(cpu, &[(index, new)]);
        });
    }

    /// A row loses its block.
    pub fn clear(&self, cpu: usize, index: usize) {
        self.clear_after(cpu, index, || {});
    }

    /// The same; calls `wait` when the record is begun and no lock is held.
    pub fn clear_after(&self, cpu: usize, index: usize, wait: impl FnOnce()) {
        let mut stage = Stage::new();
        let mut record = self.volume.begin(&mut stage);
        wait();
        self.world.locked(Lock::Object(index as u32), || {
            let old = self.look(index);
            let new = Row { version: old.version + 1, ..Row::EMPTY };
            match old.kind {
                Kind::None => return,
                Kind::Data => record.free_data(old.block, 1).expect("it is in use"),
                Kind::Meta => {
                    // As a merge does: the node that goes is changed as well.
                    let (cell, gone) = (old.cells[0].to_le_bytes(), (!old.cells[0]).to_le_bytes());
                    record.diff(cell_at(old.block, 0), &cell, &gone).expect("it fits");
                    record.free_meta(old.block, 1).expect("it is in use");
                }
            }
            record.diff(row_at(&self.place, index), &old.bytes(), &new.bytes()).expect("it fits");
            self.pend(cpu, Some(Pending::Rows(vec![(index, new)])));
            record.commit(()).expect("nothing is in the way").reply();
            self.settle(cpu, &[(index, new)]);
        });
    }

    /// Two rows exchange their blocks: neither may be lost, nor doubled.
    pub fn swap(&self, cpu: usize, one: usize, two: usize) {
        let (one, two) = (one.min(two), one.max(two));
        if one == two {
            return;
        }
        let mut stage = Stage::new();
        let mut record = self.volume.begin(&mut stage);
        self.world.locked(Lock::Object(one as u32), || {
            self.world.locked(Lock::Object(two as u32), || {
                let (a, b) = (self.look(one), self.look(two));
                let changes = [(one, Row { version: a.version + 1, ..b }), (two, Row { version: b.version + 1, ..a })];
                for ((index, new), old) in changes.iter().zip([a, b]) {
                    record.diff(row_at(&self.place, *index), &old.bytes(), &new.bytes()).expect("it fits");
                }
                self.pend(cpu, Some(Pending::Rows(changes.to_vec())));
                record.commit(()).expect("nothing is in the way").reply();
                self.settle(cpu, &changes);
            });
        });
    }

    /// User data changes in place, without a record.
    pub fn overwrite(&self, cpu: usize, index: usize, random: &mut Random) {
        self.world.locked(Lock::Object(index as u32), || {
            let old = self.look(index);
            if old.kind != Kind::Data {
                return;
            }
            let (cell, value) = (random.below(CELLS), random.word());
            let mut new = old;
            new.cells[cell] = value;
            self.pend(cpu, Some(Pending::Cell(index, cell, value)));
            self.world.store_nt(cell_at(old.block, cell), &value.to_le_bytes()).expect("the block is there");
            self.world.fence();
            self.settle(cpu, &[(index, new)]);
        });
    }

    /// Compares live memory with the oracle while nothing is under way, unmounts, and compares what is durable.
    pub fn finish(&self) -> Result<(Oracle, Vec<u64>), String> {
        let geometry = *self.volume.geometry();
        let oracle = self.oracle.borrow();
        let words = self.world.media.borrow().live();
        oracle::compare(&words, self.volume.media(), &geometry, &self.place, &oracle)
            .map_err(|error| format!("live: {error}"))?;
        self.volume.close().map_err(|error| format!("unmount: {error:?}"))?;
        let image = self.world.media.borrow().cut(Cut::All, &mut Random::new(0));
        let world = World::new(image.clone(), 1, 0);
        let durable = oracle::compare(&image, &world, &geometry, &self.place, &oracle);
        durable.map_err(|error| format!("after the unmount: {error}"))?;
        oracle::recover(&image, &self.place, &oracle, 0).map_err(|error| format!("remount: {error}"))
    }
}
