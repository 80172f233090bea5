# SPDX-License-Identifier: GPL-2.0
"""The mutants of the crash explorer's classes (rust/sim/src/crash/classes.rs): some ten for each, which it has to catch with
nothing but the workloads of that class. The form is that of mutantlist."""

from mutantlist import (ALLOC, CHECK, CHECKPOINT, DIR, EVICT, EXTENT, FREE, INODE, INSERT, LOG, MUTANTS, NAMESPACE, OPEN, OPS_DATA, PATCH,
                        RECORD, REMOVE, REPLAY, SPAN, TABLE, crash, mutant, within)

OPS = "core/meta/ops.rs"
GEOMETRY = "core/media/geometry.rs"
TREE = "core/meta/tree.rs"
EDIT = "core/meta/tree/edit.rs"
NODE = "core/meta/tree/node.rs"
BITMAP = "core/meta/bitmap.rs"

GROUPS = crash("several groups")
LEVELS = crash("trees of two and three levels")
PIECES = crash("files of many extents")
NO_SPACE = crash("no space at an allocation")
LIMBO = crash("limbo full")
FROZEN = crash("freeze and thaw")
READ_ONLY = crash("mounts that may not store")
LOST = crash("lost memory")
DIRECTORY = crash("two CPUs, one directory")
INODES = crash("two CPUs, one inode")
CHECKED = crash("a checker beside operations")
HASHES = crash("equal hashes")
ENDS = crash("numbers at their ends")


def also(by, *names):
    """Mutants that something else catches as well: this class by itself has to."""
    for name in names:
        known = next(known for known in MUTANTS if known["name"] == name)
        mutant(f"{name}: {by[2]}", known["why"], by, *known["edits"])


# --- several groups ---

mutant("blocks of one group given back", "an extent over a border is given back up to it", GROUPS,
       within(ALLOC, "each_group", "left = left.wrapping_sub(piece);", "left = 0; let _ = piece;"))

mutant("bits of one group cleared", "a record that frees an extent over a border clears the bits before it", GROUPS,
       within(RECORD, "free", "left = left.wrapping_sub(piece);", "left = 0; let _ = piece;"))

mutant("bits beyond the group", "a record clears the bits of an extent over a border in the first of the groups", GROUPS,
       within(RECORD, "free", "let piece = left.min(GROUP_BLOCKS.wrapping_sub(bit));", "let piece = left; let _ = GROUP_BLOCKS;"))

mutant("one bitmap for all later groups", "the third group has that of the second", GROUPS,
       within(GEOMETRY, "bitmap_at", "u64::from(group)", "u64::from(group.min(1))"))

mutant("blocks of later groups are the second's", "the number of a block's group is cut off", GROUPS,
       within(GEOMETRY, "bit", "(block >> GROUP_BLOCKS.ilog2()) as u32", "((block >> GROUP_BLOCKS.ilog2()) as u32).min(1)"))

mutant("first bitmap loaded only", "of the others DRAM knows nothing", GROUPS,
       within(ALLOC, "load_groups", "0..self.geometry().groups()", "0..1"))

mutant("free blocks of the first group only", "statfs does not count the others", GROUPS,
       within(ALLOC, "space", "(0..self.geometry().groups())", "(0..1)"))

mutant("blocks behind the last", "the end of the last group can be given out", GROUPS,
       within(ALLOC, "load_group", "bitmap::change(&mut state, bit(data.end), GROUP_BLOCKS.saturating_sub(bit(data.end)), true);", ""))

mutant("block in the wrong group", "what is reserved lies a block further for each group", GROUPS,
       within(ALLOC, "take", "wrapping_mul(u64::from(GROUP_BLOCKS))", "wrapping_mul(u64::from(GROUP_BLOCKS).wrapping_add(1))"))

mutant("near within the first group only", "a place in another group is taken for one in the first", GROUPS,
       within(ALLOC, "search", "self.take(group, here, want)", "self.take(0, here, want)"))

mutant("full group ends the search", "the groups behind a full one are not looked at", GROUPS,
       within(ALLOC, "search", "(0..groups).find_map", "(0..1).find_map"))

# --- trees of two levels and three ---

mutant("right half of an inner node lost", "the split of an inner node is not told to its parent", LEVELS,
       within(INSERT, "link", "right = sibling.1;", "right = None;"))

mutant("split inner node not freed", "the one that two fresh ones replace is lost", LEVELS,
       within(INSERT, "split", "self.discard(change, head.block)?; Ok((fresh, sibling))", "Ok((fresh, sibling))"))

mutant("level of a grown tree not counted", "a new root is taken for an inner node of the first level", LEVELS,
       within(INSERT, "grow", "self.level = level;", "self.level = level.min(1);"))

mutant("no nodes to a planted leaf", "an empty range gets a leaf where an inner node belongs", LEVELS,
       within(INSERT, "plant", "for level in 1..path.stop {", "for level in 1..path.stop.min(1) {"))

mutant("emptied inner node not freed", "it is unlinked only", LEVELS,
       within(REMOVE, "prune", "self.discard(change, head.block)?;", ""))

mutant("emptied inner node stays", "a node loses its last child and is not unlinked", LEVELS,
       within(REMOVE, "prune", "if head.live_children() > 1 {", "if head.live_children() > 0 {"))

mutant("merged leaf stays linked", "its parent leads to a block that is free", LEVELS,
       within(REMOVE, "merge", "edit.absorb(first.saturating_add(1), last)?;", ""))

mutant("merged leaf not linked", "its parent leads to one of the two that are gone", LEVELS,
       within(REMOVE, "merge", "edit.relink(first, a.block, fresh)?;", ""))

mutant("holes of an inner node not counted", "a child that comes back leaves the count of empty ranges as it was", LEVELS,
       within(EDIT, "relink", "self.head.garbage = self.head.garbage.saturating_sub(1);", ""))

mutant("listing ends at an empty range", "entries behind it are not shown", LEVELS,
       within(DIR, "read", "if path.hi == KEY_END {", "if path.hi == KEY_END || path.leaf.is_none() {"))

mutant("last child reaches to the end", "the range of the last child of an inner node has no end", LEVELS,
       within(TREE, "search", "{ path.hi };", "{ KEY_END };"))

mutant("nothing before an empty range", "extents before it are not found", LEVELS,
       within(TREE, "find_le", "Some(before) if self.root != 0 => key = before,", "Some(before) if self.root == 0 => key = before,"))

# --- files of many extents ---

mutant("truncation without a mark", "the inode does not say that it is under way", PIECES,
       within(FREE, "shrink", "raw.orphan = if left { format::ORPHAN_TRUNCATING } else { format::ORPHAN_NONE };", ""))

mutant("truncation without its bit", "no mount finds that it is under way", PIECES,
       within(FREE, "shrink", "change.record().orphan(file.ino(), left)?;", ""))

mutant("truncation ends after its first record", "the rest stays until the next one", PIECES,
       within(FREE, "shrink", "if !left { return Ok(durable); }", "let _ = left; return Ok(durable);"))

mutant("size of a truncation set last", "blocks go before the size", PIECES,
       within(FREE, "shrink", "inode::stage(&mut change, file, &mut raw)?;",
              "if left { raw.size = file.size().into(); }\n        inode::stage(&mut change, file, &mut raw)?;"))

mutant("record of a cut too long", "nobody looks whether one extent more fits", PIECES,
       within(FREE, "cut", "if change.room() < cost.saturating_add(CUT_COST) { return Ok(true); }", "let _ = cost;"))

mutant("record of a conversion too long", "nobody looks whether one extent more fits", PIECES,
       within(OPS_DATA, "convert", "if change.room() < CONVERT_COST { return Ok(to); }", ""))

mutant("time of a hole not set", "punch changes the contents only", PIECES,
       within(FREE, "punch", "super::touch(&mut raw, now);", ""))

mutant("time of zeroes not set", "the contents change only", PIECES,
       within(OPS_DATA, "unwrite_range", "super::touch(&mut raw, now);", ""))

mutant("rest of a cut extent lost", "what lies behind a hole in an extent is not the file's any more", PIECES,
       within(EXTENT, "carve", "set(change, raw, whole.file_block, &before)?; insert(change, raw, &after)",
              "let _ = &after; set(change, raw, whole.file_block, &before)"))

also(PIECES, "cut blocks not freed", "cut blocks still counted", "eviction ends after its first record", "punch ends after its first record",
     "zeroing ends after its first record", "zeroed blocks stay written")

# --- no space at an allocation ---

mutant("dropped reservation kept", "who is refused keeps what he had reserved", NO_SPACE,
       within(SPAN, "drop", "self.volume.give_back(self.block, self.count);", ""))

mutant("merge without space is refused", "a removal says that there is no space", NO_SPACE,
       within(REMOVE, "merge", "Err(Error::NoSpace) => return Ok(()),", ""))

mutant("half a chunk of inodes kept", "blocks that are too few for one are lost", NO_SPACE,
       within(TABLE, "reserve", "return Err(Error::NoSpace);", "blocks.forget(); return Err(Error::NoSpace);"))

mutant("no space for less than is asked", "what is free in pieces is not found", NO_SPACE,
       within(ALLOC, "search", "[Choice::Fit, Choice::Whole, Choice::Any]", "[Choice::Fit, Choice::Whole, Choice::Whole]"))

mutant("zeroing without space is refused", "who zeroes what is his is told that there is no space", NO_SPACE,
       within(OPS_DATA, "unwrite_range", "full = true; continue;", "return Err(Error::NoSpace);"))

mutant("free blocks counted twice when given back", "there seems to be more than there is", NO_SPACE,
       within(BITMAP, "change", "free.saturating_add(changed)", "free.saturating_add(changed).saturating_add(u32::from(changed > 1))"))

also(NO_SPACE, "numbers not given back after an error", "blocks not given back after an error", "blocks given back twice after an error",
     "split leaf not freed", "attached blocks not counted")

# --- limbo full ---

mutant("promise of limbo one too many", "the list is full, and another record is promised room", LIMBO,
       within(ALLOC, "promise_limbo", "used.saturating_add(count) <= limbo.list.len()", "used <= limbo.list.len()"))

mutant("promises of limbo not added", "each record is promised the room of all", LIMBO,
       within(ALLOC, "promise_limbo", "limbo.state.promised = limbo.state.promised.saturating_add(count);", "limbo.state.promised = count.min(1);"))

mutant("full limbo is no reason to wait", "a record that frees former metadata goes on", LIMBO,
       within(ALLOC, "promise_limbo", "if promised {", "if promised || count > 0 {"))

mutant("another block leaves limbo", "the last of the list is forgotten for it", LIMBO,
       within(ALLOC, "release_limbo", "used.swap(index, last);", ""))

mutant("what leaves limbo is not free", "it is lost until the next mount", LIMBO,
       within(ALLOC, "release_limbo", "self.give_back(entry.block, entry.count);", ""))

mutant("limbo is not free", "statfs does not count it", LIMBO,
       within(ALLOC, "space", "saturating_add(limbo)", "saturating_add(limbo.min(0))"))

mutant("limbo of one place", "who comes into limbo takes the place of the last", LIMBO,
       within(ALLOC, "bury", "limbo.state.len = limbo.state.len.saturating_add(1);", "limbo.state.len = limbo.state.len.saturating_add(1).min(62);"))

mutant("no checkpoint for limbo", "a full volume says so while limbo has blocks", LIMBO,
       within(ALLOC, "reserve", "self.checkpoint()?;", ""))

also(LIMBO, "no promise of limbo", "cut blocks not freed", "evicted symlink keeps its block")

# --- freeze and thaw ---

mutant("checkpoint of nothing", "it stores, although nothing was done", FROZEN,
       within(CHECKPOINT, "advance", "if cut != state.cut || clean != state.clean {", "if cut >= state.cut || clean != state.clean {"))

mutant("checkpoint does not write back", "the cut moves, and what is in place may be lost", FROZEN,
       within(CHECKPOINT, "write_back_half", "patch::write_back(&self.machine, buffer.patches());", ""))

mutant("checkpoint of one half", "the records of the other half of each lane are not written back", FROZEN,
       within(CHECKPOINT, "write_back_lanes", "for half in &lane.halves {", "for half in lane.halves.iter().take(1) {"))

mutant("checkpoint of one lane", "the records of the others are not written back", FROZEN,
       within(CHECKPOINT, "write_back_lanes", "for number in 0..self.geometry.lanes() {", "for number in 0..1 {"))

mutant("orphans freed one at a time", "reclaim frees what one record takes", FROZEN,
       within(EVICT, "reclaim", "while gone.list.iter().any(Option::is_some) {", "if gone.list.iter().any(Option::is_some) {"),
       within(EVICT, "together", "if change.record().room() < COST {", "if change.record().room() < COST || freed > 0 {"))

also(FROZEN, "cut stored without write-back", "cut stored without the fence of the write-back", "cut stored with part of the lines",
     "blocks of a freed inode stay")

# --- mounts that may not store ---

mutant("recovery although none is wanted", "a mount without recovery replays", READ_ONLY,
       within(OPEN, "open_in_spite", "if how != Open::NoRecovery && slot.state", "if slot.state"))

mutant("recovery on a device that is read-only", "it stores", READ_ONLY,
       within(OPEN, "recover", "if !self.machine.writable() { return if records == 0 { Ok(highest) } else { Err(Error::ReadOnly) }; }",
              "let _ = records;"))

mutant("records not seen on a device that is read-only", "it is mounted, and what they did is not there", READ_ONLY,
       within(OPEN, "recover", "if records == 0 { Ok(highest) } else { Err(Error::ReadOnly) }", "{ let _ = records; Ok(highest) }"))

mutant("slots of a device that is read-only", "a mount writes them", READ_ONLY,
       within(OPEN, "open_in_spite", "&& volume.machine.writable();", ";"))

mutant("open for reading, and writable", "who is to read may change everything", READ_ONLY,
       within(OPEN, "open_in_spite", "AtomicBool::new(!write)", "AtomicBool::new(false)"))

mutant("unmount of who reads stores", "it says in the slots that the log is empty", READ_ONLY,
       within(CHECKPOINT, "close", "if self.read_only() { return Ok(()); }", ""))

mutant("no recovery for who reads", "only a mount for writing replays", READ_ONLY,
       within(OPEN, "open_in_spite", "if how != Open::NoRecovery && slot.state", "if write && slot.state"))

mutant("refused for an empty log", "a device that is read-only cannot be mounted", READ_ONLY,
       within(OPEN, "recover", "if records == 0 { Ok(highest) }", "if records == u64::MAX { Ok(highest) }"))

mutant("slots without recovery", "a mount without recovery marks the volume", READ_ONLY,
       within(OPEN, "open_in_spite", "if write || how == Open::ReadOnly && dirty {", "if write || dirty {"))

mutant("no remount", "a volume that was mounted for reading stays so", READ_ONLY,
       within(OPEN, "make_writable", "self.read_only.store(false, Ordering::Release);", ""))

also(READ_ONLY, "crc ignored")

# --- lost memory ---

mutant("lost log is an empty one", "records that cannot be read do not count", LOST,
       within(REPLAY, "accept", "let header: format::Record = media.read(at)?;",
              "let Ok(header) = media.read::<format::Record>(at) else { return Ok(None) };"))

mutant("lost bits are free", "a number whose bit cannot be read is not found", LOST,
       within(INODE, "slot", "let word: u64 = volume.media().read(volume.used_at(ino)?.wrapping_add((index / 64).wrapping_mul(8)))?;",
              "let word: u64 = volume.media().read(volume.used_at(ino)?.wrapping_add((index / 64).wrapping_mul(8))).unwrap_or(0);"))

mutant("lost leaf is the end", "a listing ends where it cannot go on", LOST,
       within(DIR, "read", "let path = tree.descend(media, geometry, from)?;",
              "let Ok(path) = tree.descend(media, geometry, from) else { return Ok(()) };"))

mutant("lost node is no entry", "a name is not found where its leaf is lost", LOST,
       within(DIR, "lookup", "let search = search(volume.media(), volume.geometry(), &inode::tree(&dir.raw), name)?;",
              "let Ok(search) = search(volume.media(), volume.geometry(), &inode::tree(&dir.raw), name) else { return Ok(None) };"))

mutant("lost inode is none", "one that cannot be read is not there", LOST,
       within(INODE, "slot", "volume.media().read(at)", "volume.media().read(at).map_err(|_| Error::NotFound)"))

mutant("lost extents are a hole", "a file reads as zeroes where its tree is lost", LOST,
       within(EXTENT, "map", "last_before(media, geometry, raw, file_block)?", "last_before(media, geometry, raw, file_block).unwrap_or(None)"))

mutant("a lost bitmap is a free one", "what cannot be read is given out", LOST,
       within(ALLOC, "load_group", "let words: [zerocopy::little_endian::U64; WORDS] = self.media().read(at)?;",
              "let words: [zerocopy::little_endian::U64; WORDS] = self.media().read(at).unwrap_or([0.into(); WORDS]);"))

mutant("lost chunk is left out", "a part of the inode table that cannot be read is not there", LOST,
       within(TABLE, "load_chunk", "return tell(&Problem { error, ino: Some(format::TABLE_INO), fix: Fix::Table }),",
              "{ let _ = (error, &tell); return Ok(()) }"))

also(LOST, "lost blocks are given out", "a fresh block that fails is lost metadata", "link not counted", "no orphan mark")

# --- two CPUs in one directory, and on one inode; a checker beside them ---

mutant("number given twice", "a reserved number is not marked", DIRECTORY,
       within(ALLOC, "reserve_number", "*bits.get_mut((found / 64) as usize)? |= 1u64.wrapping_shl(found);", ""))

mutant("blocks given twice", "reserved blocks are not marked", INODES,
       within(ALLOC, "take", "bitmap::change(&mut state, first, count, true);", "let _ = &mut state;"))

also(DIRECTORY, "number drawn before the lane lock", "apply before the fence", "evicted inode keeps its number",
     "number of a waiting orphan given back", "entry before the inode", "old name stays", "link not counted",
     "inode looked at while its bit is ignored")

also(INODES, "number drawn before the lane lock", "apply before the fence", "attached blocks not marked",
     "cut blocks not freed", "size set by a record of its own", "preallocated blocks can be read", "converted blocks stay unwritten",
     "overwrite without a fence", "mapped block not zeroed")

also(CHECKED, "number drawn before the lane lock", "apply before the fence", "crc ignored",
     "attached blocks not marked", "evicted inode keeps its number", "size of a directory not updated", "checksum of an inode not updated",
     "link of a new directory forgotten")

# --- equal hashes ---

mutant("names compared in part", "what is equal at the start is equal", HASHES,
       within(DIR, "same_name", "at = at.saturating_add(piece.len() as u64);", "return Ok(true);"))

mutant("one key for a hash", "a second name gets the key of the first", HASHES,
       within(DIR, "search_but", "Ok(Search { found: None, free, last })",
              "let _ = free; Ok(Search { found: None, free: Some(first), last })"))

mutant("keys that are taken are not seen", "the first key seems to be free", HASHES,
       within(DIR, "search_but", "*word |= 1 << (bit % 64);", "*word |= 0;"))

mutant("search ends at another hash", "a fingerprint that two hashes share hides a name", HASHES,
       within(DIR, "search_but", "if entry.key & !0xff != first { continue; }", "if entry.key & !0xff != first || entry.key & 0xff != 0 { continue; }"))

mutant("search ends at a leaf's end", "names of a hash in the next leaf are not found", HASHES,
       within(DIR, "search_but", "if path.hi >= end {", "if path.hi >= first {"))

mutant("names of a hash in one leaf", "the keys of a hash seem to be one", HASHES,
       within(DIR, "search_but", "let end = first.saturating_add(SAME);", "let end = first.saturating_add(1);"))

mutant("entry in a leaf of another range", "the last leaf that was looked at takes it", HASHES,
       within(DIR, "insert", "Some(path) if (path.lo..path.hi).contains(&key) =>", "Some(path) if path.lo <= path.hi =>"))

mutant("equal hashes are damage", "a leaf must not have two of them", HASHES,
       within(DIR, "sorted_keys", "if a >> 8 == b >> 8", "if a >> 16 == b >> 16"))

mutant("equal hashes are one position", "a listing does not tell them apart", HASHES,
       within(DIR, "show", "pos: head.key.get()", "pos: head.key.get() & !0xff"))

mutant("any name of the hash", "names of one length are not compared", HASHES,
       within(DIR, "search_but", "if other && same_name(media, &leaf, &entry, name)? {", "if other && (true || same_name(media, &leaf, &entry, name)?) {"))

# --- numbers at their ends ---

mutant("records without an end", "the log takes them when there are no numbers", ENDS,
       within(LOG, "append", "|| lane.cut >= format::SEQ_END", ""))

mutant("mounted without numbers", "a volume whose log can take no record is mounted for writing", ENDS,
       within(OPEN, "open_in_spite", "if write && cut >= format::SEQ_END {", "if write && cut > format::SEQ_MAX {"))

mutant("remounted without numbers", "it is made writable", ENDS,
       within(OPEN, "make_writable", "if state.cut >= format::SEQ_END {", "if state.cut > format::SEQ_MAX {"))

mutant("last records do not count", "the log takes them, and no mount", ENDS,
       within(REPLAY, "accept", "seq > format::SEQ_MAX", "seq >= format::SEQ_END"))

mutant("slots of the last records", "a volume that came to the end of its numbers is damaged", ENDS,
       within(CHECK, "slot", "slot.cut.get() > format::SEQ_MAX", "slot.cut.get() >= format::SEQ_END"))

mutant("last generation stays", "all further files of a number have it", ENDS,
       within(TABLE, "fresh", "before.wrapping_add(1)", "before.saturating_add(1)"))

mutant("generation zero", "the one behind the last says that the slot was never used", ENDS,
       within(TABLE, "fresh", "generation.max(1).into()", "generation.into()"))

mutant("last nanosecond refused", "a time of 999,999,999 ns is said to make no sense", ENDS,
       within(INODE, "valid_time", "time.nsec.get() < 1_000_000_000", "time.nsec.get() < 999_999_999"))

mutant("last nanosecond is damage", "an inode that has it cannot be read", ENDS,
       within(CHECK, "inode", "time.nsec.get() >= 1_000_000_000", "time.nsec.get() >= 999_999_999"))

mutant("no time before the epoch", "it becomes the epoch", ENDS,
       within(OPS, "touch", "raw.mtime = now;", "raw.mtime = now; if now.sec.get() < 0 { raw.mtime.sec = 0.into(); }"))

mutant("end of the numbers is damage", "who wants to change something is told that the volume is", ENDS,
       within(LOG, "enter", "Entry::Closed => return Err(Error::ReadOnly),",
              "Entry::Closed => return Err(Error::Corrupt { at: 0, why: \"numbers\" }),"))

# What no workload catches yet, though it breaks a rule: each is a hole in its class. They are told, and not counted.
OPEN = {
    "blocks of one group given back", "blocks behind the last", "no nodes to a planted leaf", "truncation without a mark",
    "record of a conversion too long", "dropped reservation kept", "merge without space is refused",
    "half a chunk of inodes kept", "zeroing without space is refused", "promises of limbo not added",
    "refused for an empty log", "records without an end", "remounted without numbers", "slots of the last records",
    "end of the numbers is damage",
}
