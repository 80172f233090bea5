// SPDX-License-Identifier: GPL-2.0

//! Damages of single objects: superblocks, slots, chunks, inodes, nodes of trees.

use pfnfs_core::media::format;
use pfnfs_core::media::BLOCK;

use super::damage::LAST;
use super::sample::{Sample, ROOT};
use super::{run, Damage};

pub const GROUND: &[Damage] = &[
    Damage::new("rotten first superblock", &["checksum of the superblock, block 0"], |s| s.rot(100)).safe(),
    Damage::new("no first superblock", &["superblock, block 0"], |s| s.rot(0)).safe(),
    Damage::new("rotten last superblock", &["checksum of the superblock, block 2047"], |s| s.rot(LAST + 100)).safe(),
    Damage::new("superblocks that differ", &["superblock that differs from the first"], |s| {
        s.superblock(LAST, |sb| sb.label[0] = b'x');
    })
    .safe(),
    Damage::new("rotten slot A", &["checksum of the slot, block 1, byte 0x1000"], |s| s.rot(BLOCK + 8)).safe(),
    Damage::new("rotten slot B", &["checksum of the slot, block 1, byte 0x1800"], |s| s.rot(BLOCK + 2048 + 8)).safe(),
    Damage::new("wrong slot B", &["slot, block 1, byte 0x1800"], |s| s.log_slot(2048, |slot| slot.reserved[3] = 1))
        .safe(),
    Damage::new("no slot", &["slot"], |s| {
        s.rot(BLOCK);
        s.rot(BLOCK + 2048);
    }),
    Damage::new("rotten inode table", &["inode table: checksum of an inode, block 2"], |s| s.rot(2 * BLOCK + 100)),
    Damage::new("no inode table", &["inode table: magic of an inode, block 2"], |s| {
        s.bytes[2 * BLOCK as usize..][..256].fill(0);
    }),
    Damage::new("hole in the inode table", &["inode table: hole in the inode table"], |s| {
        s.inline("", 0, |extent| extent.file_block = 16.into());
    }),
    Damage::new("short inode table", &["inode table: number of blocks"], |s| {
        s.inode("", |inode| inode.size = (inode.size.get() - 16 * BLOCK).into());
    }),
    Damage::new("inode table that is elsewhere", &["inode table: magic of an inode chunk"], |s| {
        s.inline("", 0, |extent| extent.block = (extent.block.get() + 1).into());
    }),
];

pub const CHUNKS: &[Damage] = &[
    Damage::new("no magic of a chunk", &["inode table: magic of an inode chunk"], |s| s.rot(s.chunk_at("/") + 64))
        .safe(),
    Damage::new("rotten chunk", &["inode table: checksum of an inode chunk"], |s| s.rot(s.chunk_at("/") + 68)).safe(),
    Damage::new("chunk of another block", &["inode chunk in the wrong place"], |s| s.chunk(|c| c.block = 7.into()))
        .safe(),
    Damage::new("numbers that do not exist", &["first bits of an inode chunk"], |s| {
        s.mark_number(s.chunk_at("/"), 3, false, false);
    })
    .safe(),
    Damage::new("orphan that is free", &["orphan that is not in use"], |s| {
        let last = *s.places.slots.keys().max().unwrap();
        s.mark_number(s.chunk_of(last), last + 1, true, true);
    })
    .safe(),
];

pub const INODES: &[Damage] = &[
    Damage::new("rotten inode", &["(/inline): checksum of an inode"], |s| s.rot(s.slot("/inline") + 16)),
    Damage::new("rotten magic of an inode", &["magic of an inode"], |s| s.rot(s.slot("/inline"))),
    Damage::new("rotten number of an inode", &["inode in the wrong place"], |s| {
        s.rot(s.slot("/tree") + 9);
    }),
    Damage::new("no inode", &["magic of an inode"], |s| {
        s.rot(s.slot("/inline"));
        s.rot(s.slot("/inline") + 16);
    })
    .hurts(&["/inline"]),
    Damage::new("inode of another number", &["inode in the wrong place"], |s| {
        s.inode("/inline", |inode| inode.ino = 99.into());
    })
    .hurts(&["/inline"]),
    Damage::new("no type", &["(/inline): type of an inode"], |s| s.inode("/inline", |inode| inode.mode = 0o644.into()))
        .hurts(&["/inline"]),
    Damage::new("impossible time", &["(/inline): time of an inode"], |s| {
        s.inode("/inline", |inode| inode.mtime.nsec = 2_000_000_000.into());
    }),
    Damage::new("reserved bytes", &["(/a): reserved bytes of an inode"], |s| {
        s.inode("/a", |inode| inode.reserved0 = 1)
    }),
    Damage::new("unknown orphan", &["(/inline): state of an inode"], |s| s.inode("/inline", |inode| inode.orphan = 7)),
    Damage::new("unknown flag", &["(/inline): state of an inode"], |s| {
        s.inode("/inline", |inode| inode.flags = 8.into())
    }),
    Damage::new("root of a tree nowhere", &["(/tree): root block of an inode"], |s| {
        s.inode("/tree", |inode| inode.root = 1.into());
    })
    .hurts(&["/tree"]),
    Damage::new("no tree", &["(/tree): inode without its tree"], |s| s.inode("/tree", |inode| inode.root = 0.into()))
        .hurts(&["/tree"]),
    Damage::new("huge file", &["(/inline): size of an inode"], |s| {
        s.inode("/inline", |inode| inode.blocks = (1 << 40).into());
    }),
    Damage::new("no links and no orphan", &["(/inline): inode without links"], |s| {
        s.inode("/inline", |inode| inode.nlink = 0.into());
    }),
    Damage::new("too many inline extents", &["(/inline): extents of an inode"], |s| {
        s.inode("/inline", |inode| inode.inline_len = 6);
    }),
    Damage::new("parent that cannot be", &["(/a/b): directory inode"], |s| {
        s.inode("/a/b", |inode| inode.parent = 3.into());
    }),
    Damage::new("symlink to nowhere", &["(/short link): symlink inode"], |s| {
        s.inode("/short link", |inode| inode.size = 0.into());
    })
    .hurts(&["/short link"]),
    Damage::new("length of a symlink", &["(/short link): symlink inode"], |s| {
        s.inode("/short link", |inode| inode.inline_len = 3);
    }),
    Damage::new("rotten symlink", &["(/long link): checksum of a symlink"], |s| {
        let at = s.places.long_link;
        s.rot(at + 500);
    })
    .hurts(&["/long link"]),
    Damage::new("symlink of another block", &["(/long link): checksum of a symlink"], |s| {
        let from = s.places.long_link as usize;
        s.bytes.copy_within(from..from + BLOCK as usize, 1500 * BLOCK as usize);
        s.inode("/long link", |inode| inode.root = 1500.into());
    })
    .hurts(&["/long link"]),
    Damage::new("fifo with a tree", &["(/fifo): special inode"], |s| {
        let block = s.node_block("/many", 0);
        s.inode("/fifo", |inode| inode.root = block.into());
    }),
    Damage::new("rotten magic of the root directory", &["inode 16 (/): magic of an inode"], |s| {
        s.rot(s.slot("/"));
    }),
    Damage::new("no root directory", &["inode 16 (/): magic of an inode"], |s| {
        s.rot(s.slot("/"));
        s.rot(s.slot("/") + 16);
    })
    .moves(&["/"]),
    Damage::new("root directory that is marked as free", &["no root directory"], |s| s.mark("/", false, false))
        .moves(&["/"]),
    Damage::new("root directory elsewhere", &["(/): root directory"], |s| {
        s.inode("/", |inode| inode.parent = (ROOT + 1).into());
    }),
];

pub const NODES: &[Damage] = &[
    Damage::new("rotten directory leaf", &["(/many): sum of a tree node"], |s| {
        s.rot(s.node_block("/many", 1) * BLOCK + 56);
    }),
    Damage::new("rotten inner node", &["(/many): sum of a tree node"], |s| {
        s.rot(s.node_block("/many", 0) * BLOCK + 60);
    }),
    Damage::new("rotten magic of a leaf", &["(/many): magic of a tree node"], |s| {
        s.rot(s.node_block("/many", 1) * BLOCK);
    })
    .safe(),
    Damage::new("rotten head of an inner node", &["(/tree): magic of a tree node"], |s| {
        for byte in [0, 4, 5, 13, 17, 25, 33, 41] {
            s.rot(s.node_block("/tree", 0) * BLOCK + byte);
        }
    })
    .safe(),
    Damage::new("no directory leaf", &["(/many): magic of a tree node"], |s| {
        s.rot(s.node_block("/many", 1) * BLOCK);
        s.rot(s.node_block("/many", 1) * BLOCK + 100);
    })
    .moves(&["/many/"]),
    Damage::new("leaf of another volume", &["(/many): magic of a tree node"], |s| {
        s.node("/many", 1, |node| node.set(32, &[1; 8]));
    })
    .moves(&["/many/"]),
    Damage::new("leaf of another inode", &["(/many): tree node in the wrong place"], |s| {
        s.node("/many", 2, |node| node.set(16, &99u64.to_le_bytes()));
    })
    .moves(&["/many/"]),
    Damage::new("leaf of another generation", &["(/many): tree node in the wrong place"], |s| {
        s.node("/many", 2, |node| node.set(12, &9u32.to_le_bytes()));
    })
    .moves(&["/many/"]),
    Damage::new("leaf of another block", &["(/many): tree node in the wrong place"], |s| {
        s.node("/many", 2, |node| node.set(24, &99u64.to_le_bytes()));
    })
    .moves(&["/many/"]),
    Damage::new("no root node of a directory", &["(/many): magic of a tree node"], |s| {
        s.rot(s.node_block("/many", 0) * BLOCK);
        s.rot(s.node_block("/many", 0) * BLOCK + 100);
    })
    .moves(&["/many/"]),
    Damage::new("wrong level", &["(/many): level of a tree node"], |s| s.node("/many", 1, |node| node.set(4, &[1])))
        .moves(&["/many/"]),
    Damage::new("order of slots", &["(/many): order of a tree node"], |s| s.node("/many", 1, |node| node.set(5, &[0])))
        .moves(&["/many/"]),
    Damage::new("keys of an inner node", &["(/many): order of keys"], |s| {
        s.node("/many", 0, |node| node.set(64 + 16, &[0xff; 8]));
    })
    .moves(&["/many/"]),
    Damage::new("number of empty children", &["(/many): number of children"], |s| {
        s.node("/many", 0, |node| node.set(10, &1u16.to_le_bytes()));
    }),
    Damage::new("garbage of a leaf", &["(/many): bytes of a leaf"], |s| {
        s.node("/many", 1, |node| node.set(10, &(node.u16(10) as u16 + 1).to_le_bytes()));
    }),
    Damage::new("offset of an entry", &["(/many): offset of an entry"], |s| {
        s.entry("/many", "file 7", |node, slot| node.set(node.slot(slot) + 2, &5000u16.to_le_bytes()));
    })
    .moves(&["/many/file 7"]),
    Damage::new("fingerprint", &["(/many): fingerprint of an entry"], |s| {
        s.entry("/many", "file 7", |node, slot| node.set(node.slot(slot), &[0xab, 0xcd]));
    }),
    Damage::new("entry that exists twice", &["(/many): entries that overlap"], |s| {
        s.node("/many", 1, |node| {
            let slot = node.0[node.slot(1)..node.slot(2)].to_vec();
            node.set(node.slot(2), &slot);
        });
    })
    .moves(&["/many/"]),
    Damage::new("no leaf of extents", &["(/tree): magic of a tree node"], |s| {
        s.rot(s.node_block("/tree", 2) * BLOCK);
        s.rot(s.node_block("/tree", 2) * BLOCK + 60);
    })
    .hurts(&["/tree"]),
    Damage::new("rotten leaf of extents", &["(/tree): sum of a tree node"], |s| {
        s.rot(s.node_block("/tree", 1) * BLOCK + 60);
    }),
    Damage::new("keys of a leaf of extents", &["(/tree): order of keys"], |s| {
        s.node("/tree", 1, |node| node.set(node.entry(3), &1u64.to_le_bytes()));
    })
    .hurts(&["/tree"]),
    Damage::new("child outside the device", &["(/tree): block outside the data area"], |s| {
        s.node("/tree", 0, |node| node.set(64 + 8, &(1u64 << 30).to_le_bytes()));
    })
    .hurts(&["/tree"]),
];

#[test]
fn superblocks_slots_and_the_inode_table() {
    run(GROUND, &Sample::new(false));
}

#[test]
fn chunks() {
    run(CHUNKS, &Sample::new(false));
}

#[test]
fn inodes() {
    assert_eq!(format::ROOT_INO, ROOT);
    run(INODES, &Sample::new(false));
}

#[test]
fn nodes() {
    run(NODES, &Sample::new(false));
}
