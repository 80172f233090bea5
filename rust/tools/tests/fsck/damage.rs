// SPDX-License-Identifier: GPL-2.0

//! Ways to damage a sample: bytes anywhere, or objects with their checksums made right again, so that what is wrong is reached.

use pfnfs_core::media::format::{self, Chunk, Extent, Inode, Slot, Super};
use pfnfs_core::media::{check, BLOCK};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::sample::{Sample, SIZE, UUID};

/// Position of the last superblock.
pub const LAST: u64 = SIZE as u64 - BLOCK;

/// A leaf or an inner node, as bytes.
pub struct Node<'a>(pub &'a mut [u8]);

impl Node<'_> {
    pub fn u16(&self, at: usize) -> usize {
        usize::from(u16::from_le_bytes([self.0[at], self.0[at + 1]]))
    }

    pub fn set(&mut self, at: usize, bytes: &[u8]) {
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
    }

    pub fn count(&self) -> usize {
        self.u16(6)
    }

    /// Offset of slot `index`.
    pub fn slot(&self, index: usize) -> usize {
        64 + 4 * index
    }

    /// Offset of the entry of slot `index`.
    pub fn entry(&self, index: usize) -> usize {
        self.u16(self.slot(index) + 2)
    }

    /// Slot of the directory entry with this name.
    pub fn find(&self, name: &str) -> Option<usize> {
        (0..self.count()).find(|index| {
            let at = self.entry(*index) + 18;
            self.0[at..].starts_with(name.as_bytes()) && usize::from(self.0[at - 1]) == name.len()
        })
    }
}

/// The factor of a node's word, as the format's description has it.
fn weight(index: u64) -> u64 {
    let mut z = (index + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31 | 1
}

/// Makes the sum of a tree node right.
fn fix_sum(node: &mut [u8]) {
    node[56..64].fill(0);
    let words = node.chunks_exact(4).map(|word| u64::from(u32::from_le_bytes(word.try_into().expect("4 bytes"))));
    let sum = words.zip(0..).fold(0u64, |sum, (word, index)| sum.wrapping_add(word.wrapping_mul(weight(index))));
    node[56..64].copy_from_slice(&sum.to_le_bytes());
}

impl Sample {
    /// Inverts a byte.
    pub fn rot(&mut self, at: u64) {
        self.bytes[at as usize] ^= 0xff;
    }

    pub fn object<T: FromBytes + IntoBytes + Immutable>(&mut self, at: u64, f: impl FnOnce(&mut T)) {
        let bytes = &mut self.bytes[at as usize..at as usize + size_of::<T>()];
        let mut object = T::read_from_bytes(bytes).expect("an object");
        f(&mut object);
        bytes.copy_from_slice(object.as_bytes());
    }

    pub fn ino(&self, path: &str) -> u64 {
        self.places.inos[path]
    }

    /// Position of an inode's slot; of the inode table for "".
    pub fn slot(&self, path: &str) -> u64 {
        if path.is_empty() {
            format::TABLE_BLOCK * BLOCK
        } else {
            self.places.slots[&self.ino(path)]
        }
    }

    /// Changes an inode, its checksum as well.
    pub fn inode(&mut self, path: &str, f: impl FnOnce(&mut Inode)) {
        let at = self.slot(path);
        self.object::<Inode>(at, |inode| {
            f(inode);
            inode.crc = check::inode_crc(&UUID, inode).into();
        });
    }

    /// Changes an extent in an inode, its checksum as well.
    pub fn inline(&mut self, path: &str, index: usize, f: impl FnOnce(&mut Extent)) {
        self.inode(path, |inode| {
            let bytes = &mut inode.inline[24 * index..24 * index + 24];
            let mut extent = Extent::read_from_bytes(bytes).expect("an extent");
            f(&mut extent);
            bytes.copy_from_slice(extent.as_bytes());
        });
    }

    pub fn superblock(&mut self, at: u64, f: impl FnOnce(&mut Super)) {
        self.object::<Super>(at, |sb| {
            f(sb);
            sb.crc = check::super_crc(sb, at).into();
        });
    }

    pub fn log_slot(&mut self, offset: u64, f: impl FnOnce(&mut Slot)) {
        let at = format::SLOT_BLOCK * BLOCK + offset;
        self.object::<Slot>(at, |slot| {
            f(slot);
            slot.crc = check::slot_crc(&UUID, slot, at).into();
        });
    }

    /// Position of the chunk that an inode is in.
    pub fn chunk_at(&self, path: &str) -> u64 {
        self.chunk_of(self.ino(path))
    }

    pub fn chunk_of(&self, ino: u64) -> u64 {
        self.places.slots[&ino] - ino % format::CHUNK_INODES * format::INODE_SIZE
    }

    /// Changes the header of the first chunk, its checksum as well.
    pub fn chunk(&mut self, f: impl FnOnce(&mut Chunk)) {
        let at = self.chunk_at("/");
        self.object::<Chunk>(at, |chunk| {
            f(chunk);
            chunk.crc = check::chunk_crc(&UUID, chunk, at).into();
        });
    }

    /// Changes a bit of an inode in its chunk's header: in use, or orphan.
    pub fn mark(&mut self, path: &str, orphan: bool, set: bool) {
        let (ino, chunk) = (self.ino(path), self.chunk_at(path));
        self.mark_number(chunk, ino, orphan, set);
    }

    pub fn mark_number(&mut self, chunk: u64, ino: u64, orphan: bool, set: bool) {
        let bit = (ino % format::CHUNK_INODES) as usize;
        let byte = &mut self.bytes[chunk as usize + bit / 8 + if orphan { 32 } else { 0 }];
        *byte = if set { *byte | 1 << (bit % 8) } else { *byte & !(1 << (bit % 8)) };
    }

    /// Block of node `index` of an inode's tree, in the order of the walk: the root first.
    pub fn node_block(&self, path: &str, index: usize) -> u64 {
        self.places.nodes[&self.ino(path)][index]
    }

    /// Changes a node, its sum as well.
    pub fn node(&mut self, path: &str, index: usize, f: impl FnOnce(&mut Node<'_>)) {
        let at = (self.node_block(path, index) * BLOCK) as usize;
        let bytes = &mut self.bytes[at..at + BLOCK as usize];
        f(&mut Node(bytes));
        fix_sum(bytes);
    }

    /// Changes the entry of a name in a directory: leaf and slot are given to `f`.
    pub fn entry(&mut self, dir: &str, name: &str, f: impl FnOnce(&mut Node<'_>, usize)) {
        let nodes = self.places.nodes[&self.ino(dir)].len();
        for index in 0..nodes {
            let at = (self.node_block(dir, index) * BLOCK) as usize;
            let node = Node(&mut self.bytes[at..at + BLOCK as usize]);
            if node.0[4] != 0 {
                continue;
            }
            if let Some(slot) = node.find(name) {
                self.node(dir, index, |node| f(node, slot));
                return;
            }
        }
        panic!("no {name} in {dir}");
    }

    /// Block of a file.
    pub fn block(&self, path: &str, file_block: u64) -> u64 {
        self.places.extents[&(self.ino(path), file_block)]
    }

    /// Changes a block's bit in the bitmap.
    pub fn bit(&mut self, block: u64, set: bool) {
        let (group, bit) = self.geometry.bit(block);
        let byte = &mut self.bytes[(self.geometry.bitmap_at(group) + u64::from(bit / 8)) as usize];
        *byte = if set { *byte | 1 << (bit % 8) } else { *byte & !(1 << (bit % 8)) };
    }
}
