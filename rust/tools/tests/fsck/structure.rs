// SPDX-License-Identifier: GPL-2.0

//! Damages of how objects belong together: entries, links, extents, bitmaps.

use pfnfs_core::media::format::Time;
use pfnfs_core::meta::ops::{self, Rename};
use pfnfs_core::meta::{dir, inode};

use super::sample::{Sample, ROOT};
use super::{run, Damage};

pub const ENTRIES: &[Damage] = &[
    Damage::new("name with a slash", &["(/many): name of a directory entry"], |s| {
        s.entry("/many", "file 7", |node, slot| node.set(node.entry(slot) + 20, b"/"));
    })
    .moves(&["/many/file 7"]),
    Damage::new("name that is a dot", &["(/): name of a directory entry"], |s| {
        s.entry("/", "a", |node, slot| node.set(node.entry(slot) + 18, b"."));
    })
    .moves(&["/a", "/a/"]),
    Damage::new("hash of a name", &["(/many): hash of a name"], |s| {
        s.entry("/many", "file 7", |node, slot| {
            let (at, slot) = (node.entry(slot), node.slot(slot));
            node.0[at + 1] ^= 1;
            node.0[slot] ^= 1;
        });
    })
    .safe(),
    Damage::new("type of an entry", &["(/many): type of an entry"], |s| {
        s.entry("/many", "file 7", |node, slot| node.set(node.entry(slot) + 16, &[10]));
    })
    .safe(),
    Damage::new("entry of a free inode", &["(/many): entry of a free inode"], |s| {
        let free = s.places.slots.keys().max().unwrap() + 2;
        s.entry("/many", "file 7", |node, slot| node.set(node.entry(slot) + 8, &free.to_le_bytes()));
    })
    .moves(&["/many/file 7"]),
    Damage::new("entry of an impossible inode", &["(/many): directory entry"], |s| {
        s.entry("/many", "file 7", |node, slot| node.set(node.entry(slot) + 8, &3u64.to_le_bytes()));
    })
    .moves(&["/many/file 7"]),
    Damage::new("two names that are the same", &["(/many): name that exists twice"], |s| {
        twins(s);
    })
    .moves(&["/many/"]),
    Damage::new("directory with two names", &["parent of a directory"], |s| {
        let ino = s.ino("/a/b");
        s.entry("/", "fifo", |node, slot| {
            node.set(node.entry(slot) + 8, &ino.to_le_bytes());
            node.set(node.entry(slot) + 16, &[4]);
        });
    })
    .moves(&["/fifo"]),
    Damage::new("name of the root directory", &["(/): parent of a directory"], |s| {
        s.entry("/", "fifo", |node, slot| {
            node.set(node.entry(slot) + 8, &ROOT.to_le_bytes());
            node.set(node.entry(slot) + 16, &[4]);
        });
    })
    .moves(&["/fifo"]),
];

pub const LINKS: &[Damage] = &[
    Damage::new("links of a file", &["(/other): number of links"], |s| s.inode("/other", |i| i.nlink = 9.into()))
        .safe(),
    Damage::new("links of a directory", &["(/a): number of links"], |s| s.inode("/a", |i| i.nlink = 9.into())).safe(),
    Damage::new("size of a directory", &["(/a): size of a directory"], |s| s.inode("/a", |i| i.size = 9.into())).safe(),
    Damage::new("blocks of a directory", &["(/a): size of a directory"], |s| s.inode("/a", |i| i.blocks = 9.into()))
        .safe(),
    Damage::new("blocks of a file", &["(/tree): number of blocks"], |s| s.inode("/tree", |i| i.blocks = 9.into()))
        .safe(),
    Damage::new("blocks of a link", &["(/long link): number of blocks"], |s| {
        s.inode("/long link", |i| i.blocks = 9.into())
    })
    .safe(),
    Damage::new("parent", &["(/a/b/c): parent of a directory"], |s| s.inode("/a/b/c", |i| i.parent = ROOT.into())),
    Damage::new("mark of an orphan", &["(/other): mark of an orphan"], |s| s.mark("/other", true, true)).safe(),
    Damage::new("orphan with a name", &["(/other): number of links"], |s| {
        s.inode("/other", |inode| inode.orphan = 1);
        s.mark("/other", true, true);
    })
    .safe(),
    Damage::new("no mark of an orphan", &["mark of an orphan"], |s| {
        let orphan = *s.places.slots.keys().max().unwrap();
        s.mark_number(s.chunk_of(orphan), orphan, true, false);
    }),
    Damage::new("inode that is marked as free", &["(/many): entry of a free inode"], |s| {
        s.mark("/many/file 7", false, false)
    }),
    Damage::new("free inode that is marked as in use", &["magic of an inode"], |s| {
        let last = *s.places.slots.keys().max().unwrap();
        s.mark_number(s.chunk_of(last), last + 2, false, true);
    }),
    Damage::new("directories in a circle", &["directories in a circle"], |s| s.change(circle))
        .moves(&["/a", "/a/"])
        .safe(),
];

pub const SPACE: &[Damage] = &[
    Damage::new("extent outside the device", &["(/inline): extent outside the data area"], |s| {
        s.inline("/inline", 1, |extent| extent.block = (1 << 30).into());
    })
    .hurts(&["/inline"]),
    Damage::new("unknown flag of an extent", &["(/inline): extent, "], |s| {
        s.inline("/inline", 1, |e| e.flags = 8.into())
    })
    .hurts(&["/inline"]),
    Damage::new("extents that overlap", &["(/inline): extents that overlap"], |s| {
        s.inline("/inline", 1, |extent| extent.file_block = 0.into());
    })
    .hurts(&["/inline"]),
    Damage::new("extent of a tree outside the device", &["(/tree): extent outside the data area"], |s| {
        s.node("/tree", 1, |node| node.set(node.entry(5) + 8, &(1u64 << 30).to_le_bytes()));
    })
    .hurts(&["/tree"]),
    Damage::new("extents of a tree that overlap", &["(/tree): extents that overlap"], |s| {
        s.node("/tree", 1, |node| node.set(node.entry(5) + 16, &3u32.to_le_bytes()));
    })
    .hurts(&["/tree"]),
    Damage::new("block of two files", &["block that is used twice"], |s| {
        let block = s.block("/other", 0);
        s.inline("/inline", 1, |extent| extent.block = block.into());
    })
    .hurts(&["/inline"]),
    Damage::new("block of a file that is a tree node", &["(/inline): block that is used twice"], |s| {
        let block = s.node_block("/many", 1);
        s.inline("/inline", 1, |extent| extent.block = block.into());
    })
    .hurts(&["/inline"]),
    Damage::new("block of a file in the inode table", &["(/inline): block that is used twice"], |s| {
        let block = s.chunk_at("/") / 4096 + 3;
        s.inline("/inline", 1, |extent| extent.block = block.into());
    })
    .hurts(&["/inline"]),
    Damage::new("tree of a directory before", &["(/a/b): block that is used twice"], |s| {
        let block = s.node_block("/many", 0);
        s.inode("/a/b", |inode| {
            inode.root = block.into();
            inode.level = 1;
        });
    })
    .moves(&["/a/b/"]),
    Damage::new("tree of a directory behind", &["(/many): tree node in the wrong place"], |s| {
        let block = s.node_block("/a/b", 0);
        s.inode("/many", |inode| {
            inode.root = block.into();
            inode.level = 0;
        });
    })
    .moves(&["/many/"]),
    Damage::new("lost block", &["block that is lost"], |s| s.bit(1500, true)).safe(),
    Damage::new("lost blocks", &["block that is lost", "300 blocks"], |s| (1500..1800).for_each(|b| s.bit(b, true)))
        .safe(),
    Damage::new("block that is free", &["block that is in use and free"], |s| s.bit(s.block("/inline", 2), false))
        .safe(),
    Damage::new("superblock that is free", &["block that is in use and free, block 0"], |s| s.bit(0, false)).safe(),
    Damage::new("block past the end that is free", &["block that is in use and free"], |s| s.bit(9000, false)).safe(),
];

/// Gives the first entry of a leaf the name of the second, and the key next to its. Both names are of one length.
fn twins(sample: &mut Sample) {
    sample.node("/many", 1, |node| {
        let len = |slot: usize| node.0[node.entry(slot) + 17];
        let (one, two) =
            (0..node.count() - 1).find(|slot| len(*slot) == len(slot + 1)).map(|slot| (slot, slot + 1)).unwrap();
        let (from, to) = (node.entry(two), node.entry(one));
        let name = node.0[from + 18..from + 18 + usize::from(len(two))].to_vec();
        let mut key = node.0[from..from + 8].to_vec();
        key[0] |= 1;
        let fingerprint = [key[1], key[2]];
        node.set(to, &key);
        node.set(to + 18, &name);
        node.set(node.slot(one), &fingerprint);
    });
}

type Volume<'a> = pfnfs_core::meta::Volume<&'a pfnfs_sim::plain::Plain>;

fn now() -> Time {
    Time::default()
}

/// Moves /a below /a/b: the operation leaves it to its caller to see to it that this does not happen.
fn circle(volume: &Volume<'_>) {
    let load = |ino| inode::load(volume, ino, None).unwrap();
    let find = |live: &inode::Live, name: &[u8]| load(dir::lookup(volume, live, name).unwrap().unwrap().ino);
    let mut root = load(ROOT);
    let mut a = find(&root, b"a");
    let mut b = find(&a, b"b");
    let rename = Rename {
        from: &mut root,
        from_name: b"a",
        to: Some(&mut b),
        to_name: b"loop",
        moved: &mut a,
        victim: None,
        now: now(),
    };
    ops::rename(volume, rename).unwrap().reply();
}

#[test]
fn entries() {
    run(ENTRIES, &Sample::new(false));
}

#[test]
fn links() {
    run(LINKS, &Sample::new(false));
}

#[test]
fn space() {
    run(SPACE, &Sample::new(false));
}
