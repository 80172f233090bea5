// SPDX-License-Identifier: GPL-2.0

//! What a walk finds wrong, and what would make it right.

use crate::media::Error;
use crate::meta::tree::Link;

/// Something that is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where it lies on the media, and what it is: `Corrupt`, `Damaged` or `Poison`.
    pub error: Error,
    /// The inode it belongs to, if it belongs to one; 0 is the inode table.
    pub ino: Option<u64>,
    /// What would make it right.
    pub fix: Fix,
}

/// A repair. Each looks again before it changes anything, so one that came too late does no harm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fix {
    /// Nothing can.
    None,
    /// The superblock here is written anew from its copy.
    Super(u64),
    /// A copy of the log's slots is written anew; opening for writing does it.
    Slots,
    /// The records of the log are thrown away; opening for writing does it.
    Log,
    /// The inode table is put together again from its chunks, which say who they are.
    Table,
    /// The header of this chunk of the inode table is made anew around its bits.
    Chunk(u64),
    /// The inode gets values that can be, or is freed if nothing in it can be trusted; the root directory is made anew.
    Inode(u64),
    /// The inode is freed.
    Free(u64),
    /// The inode is marked as in use again.
    Use(u64),
    /// The tree node is cut off its tree.
    Node(u64, Link),
    /// What says which tree node it is is written anew.
    Head(u64, Link),
    /// Entries of the leaf that cannot be are taken out.
    Leaf(u64, Link),
    /// Number of children and sum of the inner node are calculated anew.
    Inner(u64, Link),
    /// The sum of the node is calculated anew.
    Sum(u64, Link),
    /// Extents in the inode that cannot be are taken out.
    Inline(u64),
    /// The extent that starts at this file block is taken out.
    Extent(u64, u64),
    /// The entry at this position of the directory is taken out.
    Drop(u64, u64),
    /// The entry at this position of the directory gets its file's type.
    Kind(u64, u64),
    /// The entry at this position of the directory names a directory that has another parent, or name: it goes, unless it is the
    /// only one, and then the parent follows it.
    Parent(u64, u64),
    /// The mark of an orphan becomes what the inode says.
    Mark(u64),
    /// Blocks are marked as in use, or as free: first, count.
    Bits(u64, u64, bool),
    /// The number of links; an inode with some is no orphan, one with none is.
    Links(u64, u32),
    /// The size.
    Size(u64, u64),
    /// The number of blocks.
    Blocks(u64, u64),
    /// The file gets copies of blocks that others use as well: inode, first file block, count.
    Copy(u64, u64, u32),
    /// The file gets a hole where its blocks are somebody's metadata: inode, first file block, count.
    Hole(u64, u64, u32),
    /// The inode gets a name in lost+found.
    Connect(u64),
    /// The entry at this position of the directory moves to where its name belongs.
    Rehash(u64, u64),
}

/// When a repair has its turn: what it relies on has been repaired by those of lower ranks, and checked again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rank {
    /// Log and inode table: where everything is.
    Ground,
    /// Inodes and trees, each by itself.
    Objects,
    /// Entries of directories.
    Entries,
    /// Bitmaps: from here on blocks can be allocated.
    Space,
    /// Numbers that follow from the rest.
    Counts,
    /// What needs blocks.
    Contents,
}

impl Fix {
    /// When it has its turn.
    pub fn rank(&self) -> Rank {
        match self {
            Fix::None | Fix::Super(_) | Fix::Slots | Fix::Log | Fix::Table | Fix::Chunk(_) => Rank::Ground,
            Fix::Inode(_) | Fix::Free(_) | Fix::Use(_) | Fix::Node(..) | Fix::Leaf(..) | Fix::Inner(..) => {
                Rank::Objects
            }
            Fix::Head(..) | Fix::Sum(..) | Fix::Inline(_) | Fix::Extent(..) => Rank::Objects,
            Fix::Drop(..) | Fix::Kind(..) | Fix::Parent(..) => Rank::Entries,
            Fix::Bits(..) => Rank::Space,
            Fix::Mark(_) | Fix::Links(..) | Fix::Size(..) | Fix::Blocks(..) => Rank::Counts,
            Fix::Copy(..) | Fix::Hole(..) | Fix::Connect(_) | Fix::Rehash(..) => Rank::Contents,
        }
    }

    /// Whether nobody can lose anything by it: it is done without asking where only safe repairs are wanted.
    pub fn safe(&self) -> bool {
        matches!(
            self,
            Fix::Super(_) | Fix::Slots | Fix::Chunk(_) | Fix::Kind(..) | Fix::Mark(_) | Fix::Bits(..) | Fix::Links(..)
        ) || matches!(self, Fix::Size(..) | Fix::Blocks(..) | Fix::Connect(_) | Fix::Rehash(..))
            || matches!(self, Fix::Head(..))
    }

    /// What it does, in words.
    pub fn verb(&self) -> &'static str {
        match self {
            Fix::None => "none",
            Fix::Super(_) | Fix::Slots | Fix::Head(..) => "write it anew",
            Fix::Log => "throw the log away",
            Fix::Table => "find the chunks of the table",
            Fix::Chunk(_) => "make the header anew",
            Fix::Inode(_) => "correct or clear the inode",
            Fix::Free(_) => "clear the inode",
            Fix::Use(_) => "mark it as in use",
            Fix::Node(..) => "cut it off",
            Fix::Leaf(..) => "take out bad entries",
            Fix::Inner(..) | Fix::Sum(..) => "calculate it anew",
            Fix::Inline(_) | Fix::Extent(..) => "take the extent out",
            Fix::Drop(..) => "remove the entry",
            Fix::Kind(..) | Fix::Parent(..) => "correct it",
            Fix::Mark(_) | Fix::Links(..) | Fix::Size(..) | Fix::Blocks(..) => "correct it",
            Fix::Bits(_, _, true) => "mark as in use",
            Fix::Bits(_, _, false) => "mark as free",
            Fix::Copy(..) => "give the file a copy",
            Fix::Hole(..) => "make a hole",
            Fix::Connect(_) => "connect to lost+found",
            Fix::Rehash(..) => "move the entry",
        }
    }
}
