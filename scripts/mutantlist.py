# SPDX-License-Identifier: GPL-2.0
"""The mutants: each breaks one rule of the protocol (Documentation/media-format.rst) by an edit of the sources, and names the
test that has to fail. White space in what is replaced does not matter, but it must be found exactly once, in the body of one
function.

`core/` is the code under test, and what the module is made of. Where the rule is one of the machine, the edit is made to the
simulated machine. What moves the bytes of files on the host (`sim/src/fs/carrier.rs`) has no rules to break."""

LOG = "core/meta/log.rs"
RECORD = "core/meta/log/record.rs"
CHECKPOINT = "core/meta/log/checkpoint.rs"
REPLAY = "core/meta/log/replay.rs"
OPEN = "core/meta/log/open.rs"
PATCH = "core/meta/log/patch.rs"
SPAN = "core/meta/span.rs"
ALLOC = "core/meta/alloc.rs"
CHANGE = "core/meta/change.rs"
NAMESPACE = "core/meta/ops/namespace.rs"
FREE = "core/meta/ops/free.rs"
EVICT = "core/meta/ops/evict.rs"
TABLE = "core/meta/table.rs"
INODE = "core/meta/inode.rs"
OPS = "core/meta/ops.rs"
OPS_DATA = "core/meta/ops/data.rs"
ORPHANS_FINISHED = "core/meta/ops/orphans.rs"
FILE = "core/meta/file.rs"
WRITE = "core/meta/file/write.rs"
RANGE = "core/meta/file/range.rs"
SIZE = "core/meta/file/size.rs"
FAULT = "core/meta/file/fault.rs"
DIR = "core/meta/dir.rs"
EXTENT = "core/meta/extent.rs"
INSERT = "core/meta/tree/insert.rs"
REMOVE = "core/meta/tree/remove.rs"
CHECK = "core/media/check.rs"
WORLD = "sim/src/world.rs"

THREE = ("rows", "three_cpus_on_two_lanes")
TWO_FREE = ("rows", "two_free_blocks")
FREE_ALLOCATE = ("rows", "every_interleaving_of_a_free_and_an_allocation")
WITHIN = ("rows", "block_freed_within_a_checkpoint")
INTERLEAVED = ("rows", "every_interleaving_of_small_cases")
PROMISE = ("refused", "former_nodes_wait_for_a_checkpoint_when_there_are_too_many")
GIVEN_BACK = ("refused", "what_is_given_back_is_not_stored_to_any_more")
REMOVED = ("refused", "a_removed_directory_takes_no_names")
FILES_ONLY = ("refused", "only_files_have_contents")
SETTLED = ("refused", "an_interrupted_truncation_is_finished_before_anything_else")
ALL_LANES = ("refused", "no_lane_takes_a_record_after_damage")
FULL = ("rows", "full_lanes")
STEPS = ("steps", "operations_happen_or_do_not")
TAILS = ("steps", "tails_are_zero_when_seen")
STALE = ("limits", "stale_generations_are_not_found")
WAITING = ("limits", "orphans_that_wait_are_freed_when_somebody_needs_what_they_have")
ORPHANS = ("limits", "many_orphans_are_freed")
NUMBERS = ("limits", "numbers_that_wait_are_used_before_the_table_grows")
GROUPS = ("limits", "an_extent_over_many_groups_is_freed")
REMOUNT = ("log", "a_mount_changes_between_reading_and_writing")
TRUNCATIONS = ("steps", "interrupted_truncations_are_finished")
LOST = ("poison", "metadata_that_is_lost_ends_all_changes")
HOSTILE = ("fuzz", "corpus_and_first_images")
TOUCHED = ("times", "a_record_takes_along_what_was_touched")
STEPPED = ("data", "a_step_of_a_write_is_bounded")
FASTER = ("data", "a_fault_may_be_faster_than_a_write")
ALIGNED = ("data", "two_mebibytes_of_a_file_are_two_mebibytes_of_the_media")
BEHIND = ("data", "what_continues_a_file_lies_behind_it")
HUGE_HOLE = ("data", "a_fault_in_a_hole_takes_a_huge_page_where_it_can")
CONVERTED = ("data", "a_fault_converts_no_more_than_it_is_to")
SHOWN = ("data", "the_end_of_a_file_is_zeroed_or_shown_as_a_copy")
BEYOND = ("data", "what_lies_beyond_the_end_is_zeroed_before_it_moves")
CLEARED = ("data", "a_range_is_cleared_as_far_as_it_goes")
TIMES_SET = ("times", "times_that_are_set_win_over_those_touched")


def crash(only):
    """The crash explorer on sequences whose last operation has this in it; "long": on long ones by chance."""
    return ("crash", "a_part_of_the_plan", only)


MUTANTS = []


AID = object()


def aid(name, old, new):
    """A field or a function that a mutant needs, and that does nothing by itself: it is there whichever mutant is awake."""
    return name, old, new, AID


def within(name, function, old, new):
    """An edit in the function of this name."""
    return name, old, new, function


def mutant(name, why, by, *edits):
    MUTANTS.append({"name": name, "why": why, "by": by, "edits": [edit if len(edit) == 4 else (*edit, None) for edit in edits]})


# --- limbo: former metadata must not be used again while a record that patches it could be replayed ---

mutant("no limbo", "former metadata can be used again at once", TWO_FREE,
       (RECORD, "self.volume.bury(block, count, seq);", "let _ = seq; self.volume.give_back(block, count);"))

mutant("limbo for data reuse only", "whoever wants a block for metadata (near other metadata) gets it out of limbo at once", TWO_FREE,
       (ALLOC, "if let Some(blocks) = self.sound(near, want, align2m) { return Ok(blocks); }",
        "if near != 0 { self.release_limbo(u64::MAX); }\n"
        "if let Some(blocks) = self.sound(near, want, align2m) { return Ok(blocks); }"))

mutant("limbo released before the cut is durable", "releases, then writes the slots", THREE,
       (CHECKPOINT, "self.write_back_lanes(&mut state.buffer)?;", "self.release_limbo(cut); self.write_back_lanes(&mut state.buffer)?;"))

# A number that a record takes along.
TAG = (aid(RECORD, "    limbo: u128,\n", "    limbo: u128,\n    pub(super) tag: u64,\n"),
       aid(RECORD, "count: 0, limbo: 0,", "count: 0, limbo: 0, tag: 0,"))

mutant("limbo tag taken before the locks", "the sequence that a limbo entry waits for is read when the record is begun", WITHIN,
       *TAG,
       (RECORD, "stage.reset();", "stage.reset(); stage.tag = volume.machine.drawn();"),
       (RECORD, "self.publish(seq);", "let _ = seq; self.publish(self.stage.tag);"))

mutant("limbo released one record early", "the record that frees a block may patch it as well, as a merge does: it has to be "
       "behind the cut itself", INTERLEAVED,
       (ALLOC, "position(|entry| entry.seq <= cut)", "position(|entry| entry.seq <= cut.wrapping_add(1))"))

mutant("no promise of limbo", "a record frees more former metadata than the list has room for", PROMISE,
       (RECORD, "self.volume.promise_limbo(limbo)?;", ""))

mutant("bitmap reloaded while limbo exists", "a checkpoint reads the DRAM bits from the media again", THREE,
       (CHECKPOINT, "self.release_limbo(state.cut);", "self.release_limbo(state.cut); self.load_groups(&mut |_| Ok(()))?;"))

# --- bits ---

mutant("bits by read-modify-write", "a word of a bitmap is read, changed and stored", THREE,
       (PATCH, "Patch::Set { at, bits } => media.set_bits(at, bits.first.get(), bits.count.get()),",
        "Patch::Set { at, bits } => modify(media, at, bits, true),"),
       (PATCH, "Patch::Clear { at, bits } => media.clear_bits(at, bits.first.get(), bits.count.get()),",
        "Patch::Clear { at, bits } => modify(media, at, bits, false),"),
       aid(PATCH, "/// Starts the write-back of every line that these patches changed.",
        "fn modify(media: &impl PmemMut, at: u64, bits: Bits, set: bool) -> Result {\n"
        "    for bit in bits.first.get()..bits.first.get().wrapping_add(bits.count.get()) {\n"
        "        let place = at.wrapping_add(u64::from(bit / 64).wrapping_mul(8));\n"
        "        let mut word = [0; 8];\n"
        "        media.read_bytes(place, &mut word)?;\n"
        "        let mask = 1u64.wrapping_shl(bit);\n"
        "        let old = u64::from_le_bytes(word);\n"
        "        media.flush(place, 0);\n"
        "        media.store(place, &(if set { old | mask } else { old & !mask }).to_le_bytes())?;\n"
        "    }\n"
        "    Ok(())\n"
        "}\n"
        "/// Starts the write-back of every line that these patches changed."))

mutant("absolute bitmap words", "a record carries the byte of the bitmap as it will be, not the bit", THREE,
       within(RECORD, "set_blocks", "self.push(Patch::Set { at, bits: patch::bits(bit, count) })",
        "let place = at.wrapping_add(u64::from(bit / 8));\n"
        "let mut byte = [0; 1];\n"
        "crate::media::Pmem::read_bytes(&self.volume.machine, place, &mut byte)?;\n"
        "let [old] = byte;\n"
        "let _ = count;\n"
        "self.push(Patch::Write { at: place, bytes: &[old | 1u8.wrapping_shl(bit % 8)] })"),
       (PATCH, "len > 0 && (at >= table", "len > 0 && (block_of_bitmap(geometry, at) || at >= table"),
       aid(PATCH, "fn bits_allowed(", "fn block_of_bitmap(geometry: &Geometry, at: u64) -> bool {\n"
        "    at / BLOCK >= geometry.bitmap_start() && at / BLOCK < geometry.data().start\n}\n\nfn bits_allowed("))

# --- order within a commit ---

EARLY = aid(RECORD, "fn push(&mut self, at: u64, len: u64, kind: u8, payload: &[u8]) -> Result {",
            "pub(super) fn publish_early<M: Machine>(&self, volume: &Volume<M>) {\n"
            "    let (mut patches, mut limbo) = (self.patches(), self.limbo);\n"
            "    while let Some((patch, rest)) = patch::split(patches) {\n"
            "        if let (Patch::Clear { .. }, Some((block, count)), 0) = (patch, patch.blocks(&volume.geometry), limbo & 1) {\n"
            "            volume.give_back(block, count);\n"
            "        }\n"
            "        limbo >>= 1;\n"
            "        patches = rest;\n"
            "    }\n"
            "}\n"
            "fn push(&mut self, at: u64, len: u64, kind: u8, payload: &[u8]) -> Result {")

mutant("publish before the apply", "freed blocks can be had again before the record is applied", FREE_ALLOCATE,
       (LOG, "let applied = patch::apply", "stage.publish_early(self);\n        let applied = patch::apply"),
       (RECORD, "} else { self.volume.give_back(block, count); } } limbo >>= 1;", "} } limbo >>= 1;"),
       EARLY,
       (WORLD, "Lock::Lane(_) | Lock::Group(_)", "Lock::Lane(_) => !matches!(self, Lock::Lane(_) | Lock::Checkpoint),\n            Lock::Group(_)"))

mutant("publish before the fence", "freed blocks can be had again before the record is durable", FREE_ALLOCATE,
       (LOG, "self.machine.store_nt(at, stage.lines())?;", "self.machine.store_nt(at, stage.lines())?; stage.publish_early(self);"),
       (RECORD, "} else { self.volume.give_back(block, count); } } limbo >>= 1;", "} } limbo >>= 1;"),
       EARLY,
       (WORLD, "Lock::Lane(_) | Lock::Group(_)", "Lock::Lane(_) => !matches!(self, Lock::Lane(_) | Lock::Checkpoint),\n            Lock::Group(_)"))

mutant("number drawn before the object locks", "the sequence number is drawn when the record is begun", THREE,
       *TAG,
       (RECORD, "stage.reset();", "stage.reset(); stage.tag = volume.machine.draw();"),
       (LOG, "let seq = self.machine.draw();", "let seq = stage.tag;"))

mutant("number drawn before the lane lock", "the sequence number is drawn when the commit begins", THREE,
       *TAG,
       within(LOG, "enter", "let crc = crc32c", "stage.tag = self.machine.draw(); let crc = crc32c"),
       (LOG, "let seq = self.machine.draw();", "let seq = stage.tag;"))

mutant("object lock released before the fence", "a commit returns while its record is not durable: the next one in the lane fences it",
       THREE, (LOG, "self.machine.store_nt(at, stage.lines())?; self.machine.fence();",
               "self.machine.fence(); self.machine.store_nt(at, stage.lines())?;"))

mutant("lane lock released before the fence", "store, unlock, fence, lock, apply", THREE,
       (LOG, "Entry::Done(seq, applied) => return Ok((seq, applied)),",
        "Entry::Done(seq, _) => {\n"
        "    self.machine.fence();\n"
        "    let applied = self.machine.lane(number, |_| patch::apply(&self.machine, stage.patches()));\n"
        "    return Ok((seq, applied));\n"
        "}"),
       (LOG, "self.machine.store_nt(at, stage.lines())?; self.machine.fence();", "self.machine.store_nt(at, stage.lines())?;"),
       (LOG, "let applied = patch::apply(&self.machine, stage.patches());", "let applied = Ok(());"))

mutant("apply before the fence", "the record is applied, then fenced", THREE,
       (LOG, "self.machine.store_nt(at, stage.lines())?; self.machine.fence();", "self.machine.store_nt(at, stage.lines())?;"),
       (LOG, "let applied = patch::apply(&self.machine, stage.patches());",
        "let applied = patch::apply(&self.machine, stage.patches()); self.machine.fence();"))

mutant("wait for space under the lane lock", "a full lane runs the checkpoint without letting go of the lane", FULL,
       (LOG, "return Ok(Entry::Full);", "self.checkpoint()?; return Ok(Entry::Full);"),
       (WORLD, "Lock::Lane(_) | Lock::Group(_)", "Lock::Lane(_) => true,\n            Lock::Group(_)"))

mutant("no data fence", "fresh blocks count as written without a fence", THREE,
       within(SPAN, "written", "self.volume.fence();", ""))

mutant("fence on another CPU", "a fence waits for the stores of another CPU (of the machine: the core cannot name a CPU)", THREE,
       (WORLD, "self.media.borrow_mut().fence(self.current());",
        "let cpus = self.waiting.borrow().len(); self.media.borrow_mut().fence((self.current() + 1) % cpus);"))

# --- checkpoint ---

mutant("cut stored without write-back", "nothing is written back", THREE,
       (CHECKPOINT, "patch::write_back(&self.machine, buffer.patches());", ""))

mutant("cut stored without the fence of the write-back", "the write-backs may be late", THREE,
       (CHECKPOINT, "self.write_back_lanes(&mut state.buffer)?; self.machine.fence();", "self.write_back_lanes(&mut state.buffer)?;"))

mutant("cut stored with part of the lines", "only the first line of each patch is written back", THREE,
       (PATCH, "media.flush(at, len);", "media.flush(at, len.min(1));"))

mutant("lanes not visited after the cut is read", "the cut is read last: a record drawn before it may not be applied yet", THREE,
       (CHECKPOINT, "self.write_back_lanes(&mut state.buffer)?; self.machine.fence();",
        "self.write_back_lanes(&mut state.buffer)?; self.machine.fence();\n        let cut = self.machine.drawn();"))

mutant("half reused early", "a half is filled again although its records are not in place", FULL,
       (LOG, "if half.last > cut { return false; }", "let _ = cut;"))

mutant("single slot", "only one copy of the slot is written", THREE,
       (CHECKPOINT, "for offset in if last == one { [two, one] } else { [one, two] } {",
        "let _ = (last, two);\n    for offset in [one] {"))

mutant("alternating slot", "each checkpoint writes one of the two copies", THREE,
       (CHECKPOINT, "for offset in if last == one { [two, one] } else { [one, two] } {",
        "let _ = last;\n    for offset in [if slot.cut.get() % 2 == 0 { one } else { two }] {"))

# --- recovery ---

mutant("crc ignored", "a torn record counts", THREE,
       (REPLAY, "Ok((header.crc.get() == crc).then_some((lines, seq)))", "let _ = crc; Ok(Some((lines, seq)))"),
       (REPLAY, "patch::check(geometry, buffer.patches(), at)?;", "if patch::check(geometry, buffer.patches(), at).is_err() { break; }"))

mutant("nonce ignored", "a record of any mount counts, and one that a user wrote", ("log", "a_forged_payload_is_no_record"),
       (REPLAY, "header.nonce.get() != nonce || seq <= last", "(nonce == 0 && header.nonce.get() != nonce) || seq <= last"))

mutant("replay unsorted", "lane by lane", THREE,
       (REPLAY, "half.next_seq < other.next_seq", "half.next_seq < other.next_seq && false"))

mutant("replay of one half only", "the other half of each lane is not looked at", THREE,
       within(REPLAY, "scan", "for number in 0..2u8", "for number in 0..1u8"),
       (REPLAY, "for number in 0..2u8 { peek(", "for number in 0..1u8 { peek("))

mutant("replay done before its write-back", "the new cut is stored before what was replayed is fenced", THREE,
       (OPEN, "replay::replay(&self.machine, &self.geometry, expected)?; self.machine.fence();",
        "replay::replay(&self.machine, &self.geometry, expected)?;"))

# --- trees, orphans, and what the caller of the core has to do ---

mutant("no node fence", "fresh nodes of a tree are not fenced before the record that links them", crash("split"),
       (CHANGE, "if self.stored { self.volume.fence(); }", ""))

mutant("no orphan mark", "the last unlink does not mark the inode", STEPS,
       (NAMESPACE, "change.record().orphan(victim.ino(), true)?;", ""))

mutant("mark not cleared", "a freed inode keeps its orphan bit", STEPS,
       (EVICT, "change.record().orphan(live.ino(), false)?;", ""))

mutant("blocks of a freed inode stay", "only its number is freed", STEPS,
       (EVICT, "contents(&mut change, live)?;", "let _ = contents::<M>;"))

mutant("number of a waiting orphan given back", "it can be used again before the record that frees it", STEPS,
       (EVICT, "*place = Some(live);", "volume.give_back_number(live.ino()); *place = Some(live);"))

mutant("waiting orphan forgotten", "the one that fills the queue is not freed with the others, nor kept", ORPHANS,
       (EVICT, "if change.record().room() < COST { break; }", "if change.record().room() < COST || freed > 8 { freed = 16; break; }"))

mutant("waiting orphan found", "whoever knows its number gets a file that is about to be freed", STALE,
       (INODE, "Ok(live) if live.nlink() == 0 => return Err(Error::NotFound),", ""))

mutant("full volume leaves waiting orphans", "no space, although they have some", WAITING,
       (ALLOC, "let _ = self.reclaim();", ""))

mutant("unmount leaves waiting orphans", "the next mount has to free them", WAITING,
       (CHECKPOINT, "let _ = self.reclaim();", ""))

mutant("table grows beside waiting orphans", "their numbers are not looked at", NUMBERS,
       (TABLE, "Err(Error::NoInodes) if volume.reclaim().is_ok_and(|freed| freed > 0) => {}", ""))

mutant("remount keeps the nonce", "records of the time before it could count again", REMOUNT,
       (OPEN, "self.nonce.store(self.machine.random(), Ordering::Relaxed);", ""))

mutant("remount keeps the lanes", "they were closed, and their ends are where nobody looks for a record of a new nonce", REMOUNT,
       (OPEN, "self.empty_lanes(state.cut); self.read_only", "for lane in 0..self.geometry.lanes() { self.machine.lane(lane, |lane| lane.closed = false); } self.read_only"))

mutant("remount without replay", "what was opened without a look at the log becomes writable", REMOUNT,
       (OPEN, "|| !self.recovered", ""))

mutant("extent freed as a whole", "however many groups it reaches into", GROUPS,
       (FREE, "from.max(whole.end().min(to).saturating_sub(GROUP_BLOCKS.into()))", "{ let _ = GROUP_BLOCKS; from }"))

mutant("interrupted truncation finished lazily", "a mount leaves it to the file's next truncation", TRUNCATIONS,
       (ORPHANS_FINISHED, "Orphan::Truncating => truncate(ino),", "Orphan::Truncating => { let _ = truncate; Ok(()) }"),
       (OPS, "let _durable = finish_truncate(volume, file)?;", "let _ = (volume, finish_truncate::<M>);"))

mutant("extend trusts zeroes past the end", "nobody zeroes the tail", TAILS,
       within(SIZE, "prepare_end", "zero_written(volume, live, live.size()..to, carrier)",
              "if to < live.size() { zero_written(volume, live, live.size()..to, carrier) } else { Ok(()) }"))

mutant("tail zeroed through the log", "the tail is zeroed by a record", TAILS,
       within(SIZE, "zero_written", "let zeroed = carrier.zero(start, len.saturating_mul(BLOCK).saturating_sub(used));",
              "let mut stage = crate::meta::log::Stage::new();\n"
              "let mut record = volume.begin(&mut stage);\n"
              "record.zero(start, len.saturating_mul(BLOCK).saturating_sub(used))?;\n"
              "drop(record.commit(())?);\n"
              "let zeroed = Ok(());"))

mutant("tail zeroed before the record", "a truncation zeroes what it will cut off, then stores its record", TAILS,
       within(SIZE, "resize", "let done = ops::truncate(volume, live, size, now).map(drop);",
              "if let Extent::Data { block, unwritten: false, .. } = extent::find(volume, live, size / BLOCK)? {\n"
              "    let end = old.min(size.next_multiple_of(BLOCK));\n"
              "    let _ = carrier.zero(block * BLOCK + size % BLOCK, end.saturating_sub(size));\n"
              "    carrier.fence();\n"
              "}\n"
              "let done = ops::truncate(volume, live, size, now).map(drop);"))

mutant("tail zeroed after the record", "the file is made larger, then its old tail zeroed", TAILS,
       within(SIZE, "resize", "prepare_end(volume, live, size, carrier)?; ops::extend(volume, live, size, now)?.reply();",
              "let before = live.clone();\n"
              "ops::extend(volume, live, size, now)?.reply(); prepare_end(volume, &before, size, carrier)?;"))

mutant("tail zeroed from the start of its block", "what the file has of it goes as well", TAILS,
       within(SIZE, "zero_written", "let used = bytes.start.saturating_sub(at.saturating_mul(BLOCK));", "let used = 0;"))

mutant("tail zeroed in its own block only", "what a power cut kept of a longer append is seen when the end moves over it", BEYOND,
       within(SIZE, "prepare_end", "live.size()..to", "live.size()..to.min(live.size().next_multiple_of(BLOCK))"))

mutant("tail zeroed without a fence", "the end moves first", crash("truncate /f - 9000"),
       within(SIZE, "zero_written", "carrier.fence();", ""))

mutant("appended data not fenced", "an append in place stores its data and its record without a fence between", TAILS,
       within(WRITE, "put", "source.fence();", ""))

mutant("block of the new end not written back", "a truncation forgets what mappings stored into what stays", crash("truncate /f - 4600"),
       within(SIZE, "resize", "write_back(volume, live, stays.clone(), carrier);", ""))

# --- operations: what an operation patches, what it gives back, and what its caller stores ---

mutant("link of a new directory forgotten", "mkdir does not count the link to the parent", crash("mkdir"),
       (NAMESPACE, "if live.is_dir() { link_to(&mut parent)?; }", ""))

mutant("new inode not staged", "create writes the entry and not the inode", crash("create"),
       (NAMESPACE, "inode::stage_new(&mut change, &mut live)?; let durable = change.commit(())?; dir.accept(&parent);",
        "let durable = change.commit(())?; dir.accept(&parent);"))

mutant("entry before the inode", "create is two records: the entry, then the inode", crash("create"),
       (NAMESPACE, "inode::stage_new(&mut change, &mut live)?; let durable = change.commit(())?; dir.accept(&parent);",
        "let _ = change.commit(())?;\n"
        "let mut stage = Stage::new();\n"
        "let mut change = Change::new(volume, &mut stage);\n"
        "inode::stage_new(&mut change, &mut live)?; let durable = change.commit(())?; dir.accept(&parent);"))

mutant("directory in DRAM not updated", "create leaves the caller's copy of the directory as it was", crash("create"),
       (NAMESPACE, "let durable = change.commit(())?; dir.accept(&parent); Ok(durable.map(|()| live))", "let durable = change.commit(())?; Ok(durable.map(|()| live))"))

mutant("link not counted", "link adds the entry only", crash("link"),
       (NAMESPACE, "link_to(&mut linked)?;", ""))

mutant("linked inode not staged", "link counts in DRAM only", crash("link"),
       (NAMESPACE, "inode::stage(&mut change, target, &mut linked)?;", ""))

mutant("orphan bit stays with the first name", "a file without a name gets one and stays an orphan", crash("link @"),
       (NAMESPACE, "change.record().orphan(target.ino(), false)?;", ""))

mutant("orphan mark stays with the first name", "the same for the mark in the inode", crash("link @"),
       (NAMESPACE, "linked.orphan = format::ORPHAN_NONE;", ""))

mutant("file without a name is no orphan", "tmpfile does not set the bit", crash("tmpfile"),
       (NAMESPACE, "change.record().orphan(live.ino(), true)?;", ""))

mutant("link of a removed directory stays", "rmdir does not take the link off the parent", crash("rmdir"),
       (NAMESPACE, "if victim.is_dir() { unlink_from(&mut parent, dir.at)?; }", ""))

mutant("link count updated before the entry", "unlink is two records: the link count, then the entry", crash("unlink"),
       (NAMESPACE, "dir::remove(&mut change, &mut parent, name, victim.ino())?; if victim.is_dir()",
        "bereave(&mut change, victim, &mut gone, now)?;\n"
        "let _ = change.commit(())?;\n"
        "victim.accept(&gone);\n"
        "let mut stage = Stage::new();\n"
        "let mut change = Change::new(volume, &mut stage);\n"
        "dir::remove(&mut change, &mut parent, name, victim.ino())?; if victim.is_dir()"),
       (NAMESPACE, "inode::stage(&mut change, dir, &mut parent)?; bereave(&mut change, victim, &mut gone, now)?;",
        "inode::stage(&mut change, dir, &mut parent)?;"))

mutant("entry removed before the link count", "unlink is two records: the entry, then the link count", crash("unlink"),
       (NAMESPACE, "inode::stage(&mut change, dir, &mut parent)?; bereave(&mut change, victim, &mut gone, now)?;",
        "inode::stage(&mut change, dir, &mut parent)?;\n"
        "let _ = change.commit(())?;\n"
        "let mut stage = Stage::new();\n"
        "let mut change = Change::new(volume, &mut stage);\n"
        "bereave(&mut change, victim, &mut gone, now)?;"))

mutant("old name stays", "rename adds the new name only", crash("rename"),
       (NAMESPACE, "dir::remove(&mut change, &mut source, from_name, moved.ino())?;", ""))

mutant("rename that leaves two names", "rename is two records: the new name, then the old one's removal", crash("rename"),
       (NAMESPACE, "dir::remove(&mut change, &mut source, from_name, moved.ino())?;",
        "if target.is_none() {\n"
        "    let mut early = source;\n"
        "    inode::stage(&mut change, from, &mut early)?;\n"
        "    let _ = change.commit(())?;\n"
        "    from.accept(&early);\n"
        "    source = early;\n"
        "    stage = Stage::new();\n"
        "    change = Change::new(volume, &mut stage);\n"
        "}\n"
        "dir::remove(&mut change, &mut source, from_name, moved.ino())?;"))

mutant("parent of a moved directory stays", "its inode names the old one", crash("rename"),
       (NAMESPACE, "renamed.parent = to.ino().into();", ""))

mutant("link of a moved directory stays", "with the old parent", crash("rename"),
       (NAMESPACE, "unlink_from(&mut source, from.at)?;", ""))

mutant("replaced file keeps its link", "rename does not touch the victim", crash("rename"),
       (NAMESPACE, "if let (Some(victim), Some(gone)) = (victim.as_deref(), gone.as_mut()) { bereave(&mut change, victim, gone, now)?; }", ""))

mutant("type of a replaced entry stays", "the entry's inode number changes, but not its type", crash("rename"),
       (DIR, "head.kind = found.kind; let leaf", "let leaf"))

mutant("size of a directory not updated", "an entry more is not counted", crash("create"),
       (DIR, "dir.size = dir.size.get().saturating_add(1).into();", ""))

mutant("evicted inode keeps its number", "its in-use bit stays", crash("unlink"),
       (EVICT, "change.record().free_number(live.ino())?;", ""))

mutant("evicted symlink keeps its block", "nobody frees it", crash("unlink"),
       (EVICT, "return change.record().free_meta(live.raw.root.get(), 1);", "return Ok(());"))

mutant("cut blocks not freed", "a truncation takes them out of the map only", crash("truncate"),
       (FREE, "change.record().free_data(part.block, part.len)?;", ""))

mutant("cut blocks still counted", "the inode's number of blocks stays", crash("truncate"),
       (FREE, "raw.blocks = raw.blocks.get().saturating_sub(u64::from(part.len)).into();", ""))

mutant("attached blocks not marked", "their bits are set in DRAM only", crash("write"),
       within(RECORD, "attach", "self.set_blocks(blocks.first(), blocks.count())?;", ""))

mutant("attached blocks not counted", "the inode's number of blocks stays", crash("write"),
       (OPS_DATA, "raw.blocks = raw.blocks.get().saturating_add(u64::from(run.len)).into();", ""))

mutant("preallocated blocks can be read", "what was in them is visible", crash("reserve"),
       (OPS_DATA, "let flags = format::EXTENT_UNWRITTEN;", "let flags = 0;"))

mutant("converted blocks stay unwritten", "what was written reads as zeroes", crash("write /g"),
       (OPS_DATA, "let done = Run { flags: part.flags ^ format::EXTENT_UNWRITTEN, ..*part };", "let done = *part;"))

mutant("extents joined by their place in the file only", "what follows in the file need not follow on the media", crash("write"),
       (EXTENT, "&& self.block.saturating_add(u64::from(self.len)) == next.block", ""))

mutant("size set by a record of its own", "an append gives the file its blocks, then its size", crash("write /f - 5000"),
       (OPS_DATA, "change.record().attach(blocks)?; fill(change, file, run, size, now)",
        "change.record().attach(blocks)?;\n"
        "let done = fill(change, file, run, None, now)?;\n"
        "match size {\n"
        "    Some(size) => extend(volume, file, size, now),\n"
        "    None => Ok(done),\n"
        "}"))

mutant("checksum of an inode not updated", "that of the version before stays", crash("chmod"),
       (INODE, "new.crc = check::inode_crc(change.geometry().uuid(), new).into();", ""))

mutant("numbers not given back after an error", "a create that fails loses its inode number", crash("create /f"),
       (ALLOC, "if !self.taken.get() { self.volume.give_back_number(self.ino); }", ""))

mutant("numbers given back although they are taken", "a record has taken the number, and its owner gives it back", crash("create /f"),
       (RECORD, "self.number.inspect(|number| number.take());", ""))

mutant("blocks not given back after an error", "an operation that fails loses its blocks", crash("symlink /f"),
       within(RECORD, "drop", "if let (Patch::Set { .. }, Some((block, count))) = (patch, patch.blocks(&self.volume.geometry)) { self.volume.give_back(block, count); }",
              "let _ = patch;"))

mutant("blocks given back twice after an error", "a reservation that a record took over is given back by both", crash("symlink /f"),
       (CHANGE, "self.record.attach_unwritten(blocks)?; Ok(block)", "self.record.attach_unwritten(blocks)?; self.volume.give_back(block, 1); Ok(block)"))

mutant("emptied leaf not unlinked", "the root of an emptied directory stays", crash("unlink"),
       (REMOVE, "self.root = 0; self.level = 0; Ok(())", "Ok(())"))

mutant("split leaf not freed", "the leaf that two fresh ones replace is lost", crash("split"),
       (INSERT, "self.discard(change, leaf.block)?; self.link(change, path, 1, left.0, Some((pivot, right.0)))",
        "self.link(change, path, 1, left.0, Some((pivot, right.0)))"))

mutant("right half of a split not linked", "its entries are lost", crash("split"),
       (INSERT, "self.link(change, path, 1, left.0, Some((pivot, right.0)))", "let _ = right.0; self.link(change, path, 1, left.0, None)"))

mutant("merged leaf not freed", "one of the two leaves that were merged is lost", crash("merge"),
       (REMOVE, "self.discard(change, b.block)?;", ""))

mutant("head of a fresh block not zeroed", "what was in it before is visible", crash("write"),
       within(WRITE, "zero_around", "if head > 0 {", "if head > 0 && n == 0 {"))

mutant("end of a block not zeroed", "a write in the middle of a hole shows what was in its block before", crash("write /g - 100 200"),
       within(WRITE, "zero_around", "if tail > 0 &&", "if tail > BLOCK &&"))

mutant("unwritten block not zeroed around a write", "what was in it before is visible", crash("write /"),
       within(WRITE, "put", "if unwritten {", "if unwritten && n == 0 {"))

mutant("mapped block not zeroed", "a write fault gives the file a fresh block as it is", crash("store"),
       (OPS_DATA, "let zeroed = blocks.zero(0, u64::from(filled.len).saturating_mul(BLOCK));", "let zeroed = Ok(());"))

mutant("converted block not zeroed", "a write fault in a block that is not written", crash("store"),
       within(FAULT, "convert", "let zeroed = carrier.zero(block.saturating_mul(BLOCK), len.saturating_mul(BLOCK));", "let zeroed = Ok(());"))

mutant("first of the converted blocks zeroed", "a write fault that converts many", crash("store /g - 40000"),
       within(FAULT, "convert", "let zeroed = carrier.zero(block.saturating_mul(BLOCK), len.saturating_mul(BLOCK));",
              "let zeroed = carrier.zero(block.saturating_mul(BLOCK), BLOCK);"))

mutant("converted blocks not fenced", "the record may come first", crash("store /g"),
       within(FAULT, "convert", "carrier.fence();", ""))

mutant("converted after the first alone", "the others are shown, and a power cut takes what is stored there", crash("store /g - 40000"),
       within(FAULT, "convert", "ops::written(volume, live, at, len, None, now)", "ops::written(volume, live, self.at, 1, None, now)"))

mutant("block that is mapped not zeroed past the end", "a mapping shows what lies there, and extends make it the file's", crash("store"),
       within(SIZE, "zero_past_end", "let zeroed = carrier.zero(block.saturating_mul(BLOCK).saturating_add(used), BLOCK.wrapping_sub(used));",
              "let zeroed = Ok(());"))

mutant("fsync without write-back", "what was stored through a mapping stays in the caches", crash("fsync"),
       within(SIZE, "write_back", "carrier.flush(block.saturating_mul(BLOCK), len.saturating_mul(BLOCK));", "let _ = (block, len);"))

mutant("fsync without a fence", "the write-backs may be late", crash("fsync"),
       within(SIZE, "write_back", "if flushed {", "if flushed && live.size() == 0 {"))

mutant("first line of a write-back left out", "an unaligned edge is not written back", crash("fsync"),
       within(SIZE, "write_back", "carrier.flush(block.saturating_mul(BLOCK), len.saturating_mul(BLOCK));",
              "carrier.flush(block * BLOCK + 64, len * BLOCK - 64);"))

mutant("overwrite without a fence", "an overwrite returns before it is durable", crash("write /f - 0"),
       within(WRITE, "carry", "source.fence();", ""))

# --- the data of files: which case, how far, where ---

mutant("overwritten beyond the end", "what is stored there is not the file's", crash("write /f - 5000"),
       within(WRITE, "next", "if self.pos < self.size =>", "=>"))

mutant("overwritten past the end", "a write that begins before it goes on in place", crash("write /f - 4990"),
       within(WRITE, "next", "len.min(self.size.wrapping_sub(self.pos)).min(left)", "len.min(left)"))

mutant("buffer stored past its extent", "into whatever lies behind it", STEPPED,
       within(WRITE, "unseen", "let n = n.min(u64::from(len).wrapping_mul(BLOCK).wrapping_sub(offset));", ""))

mutant("buffer without bound", "as large as the user says", STEPPED,
       within(WRITE, "next", "left.min(BOUNCE.wrapping_sub(offset))", "left"))

mutant("buffer that begins within a block", "goes on so: each step would touch a block twice", STEPPED,
       within(WRITE, "next", "BOUNCE.wrapping_sub(offset)", "BOUNCE"))

mutant("fresh blocks without bound", "as many as there are", STEPPED,
       within(WRITE, "next", "min(len).min(FRESH_MAX)", "min(len)"))

mutant("hole not looked at again", "a fault was faster, and the write fails", FASTER,
       within(WRITE, "attach", "if len >= count) {", "if len < count && count == 0) && false {"))

mutant("times of a late overwrite forgotten", "a fault was faster, and no record has set them", FASTER,
       within(WRITE, "unseen", "self.overwrote = true;", ""))

mutant("append without size", "the bytes are there, and not in the file", crash("write /n0"),
       within(WRITE, "grown", "(end > live.size()).then_some(end)", "(end > live.size() && end == 0).then_some(end)"))

mutant("2 MiB not aligned", "no huge page fits", ALIGNED,
       within(FILE, "place", "into == 0 && (want >= RUN || at > 0)", "into == 0 && want > u64::MAX.wrapping_sub(at)"))

mutant("2 MiB entered from before", "what could begin an aligned run continues one that is not", ALIGNED,
       within(FILE, "place", "if into == 0 { want } else { want.min(RUN.wrapping_sub(into)) }", "want"))

mutant("small files aligned", "each takes a run of 2 MiB", ALIGNED,
       within(FILE, "place", "want >= RUN || at > 0", "want > 0 || at > 0"))

mutant("anywhere", "what continues a file lies where there is space first", BEHIND,
       within(FILE, "near", "block.saturating_add(1)", "block.wrapping_sub(block)"))

mutant("fault takes single blocks only", "no huge page for who stores into a hole", HUGE_HOLE,
       within(FAULT, "reserve", "if huge && window.end", "if huge && self.at == 0 && window.end"))

mutant("huge page where there is none", "a shorter run is given to the start of the window, and not to who asked", HUGE_HOLE,
       within(FAULT, "reserve", "if blocks.count() == HUGE {", "if blocks.count() > 0 {"))

mutant("huge page over blocks that are there", "the hole is smaller than the window", HUGE_HOLE,
       within(FAULT, "reserve", "hole.start <= window.start && hole.end >= window.end", "hole.end >= window.end"))

mutant("conversion without bound", "a fault zeroes all of an extent", CONVERTED,
       within(FAULT, "part", "at.saturating_add(ZERO_MAX)", "u64::MAX"))

mutant("conversion beyond the window", "of a fault that cannot be huge", CONVERTED,
       within(FAULT, "part", "if self.huge {", "if self.huge || at < self.window.end {"))

mutant("conversion beyond the end", "of blocks that nobody can see", CONVERTED,
       within(FAULT, "part", "end.min(live.size().div_ceil(BLOCK))", "end"))

mutant("failed memory converted", "one failed block of an extent is everybody's loss",
       ("poison", "a_failed_block_of_an_extent_is_the_loss_of_nobody_else"),
       within(FAULT, "part", "if is_lost(volume, block, len) {", "if len == 0 {"))

mutant("blocks beyond the end shown", "by a mapping", BEYOND,
       within(FAULT, "show", "live.size().div_ceil(BLOCK).saturating_sub(at).min(len)", "len"))

mutant("last block shown as it is", "to who may not zero what is behind its end", SHOWN,
       within(FAULT, "show", "len = last.wrapping_sub(at);", ""))

mutant("copy of a block that nobody touched", "and there is one copy at most", SHOWN,
       within(FAULT, "show", "(self.at == last).then_some", "(self.at <= last).then_some"))

mutant("unwritten blocks read", "what was in them before", SHOWN,
       within(FILE, "piece", "unwritten: false, ..", ".."))

mutant("hole filled for who reads", "a read takes space", SHOWN,
       within(FAULT, "next", "_ if !self.write => Seen::Hole(self.at),", "_ if !self.write && self.at == 0 => Seen::Hole(self.at),"))

mutant("punch takes the first block whole", "with what of it is outside the range", crash("punchbytes"),
       within(RANGE, "new", "bytes.start.div_ceil(BLOCK)..bytes.end / BLOCK", "bytes.start / BLOCK..bytes.end / BLOCK"))

mutant("punch takes the last block whole", "likewise", crash("punchbytes"),
       within(RANGE, "new", "bytes.start.div_ceil(BLOCK)..bytes.end / BLOCK", "bytes.start.div_ceil(BLOCK)..bytes.end.div_ceil(BLOCK)"))

mutant("punch in one block goes to its end", "its first edge has no end of its own", crash("punchbytes"),
       within(RANGE, "new", "bytes.start..bytes.end.min(whole.start.saturating_mul(BLOCK))",
              "bytes.start..bytes.start.max(whole.start.saturating_mul(BLOCK))"))

mutant("punch in one block begins at its start", "its last edge has no beginning of its own", crash("punchbytes"),
       within(RANGE, "new", "whole.end.max(whole.start).saturating_mul(BLOCK)", "whole.end.saturating_mul(BLOCK)"))

mutant("punch beyond the end", "what is preallocated there goes", CLEARED,
       within(RANGE, "new", "bytes.start..bytes.end.min(size)", "{ let _ = size; bytes }"))

mutant("edge not zeroed", "whole blocks only", crash("punchbytes"),
       within(RANGE, "edge", "let zeroed = carrier.zero(at, edge.end.saturating_sub(edge.start));", "let (zeroed, _) = (Ok(()), at);"))

mutant("edge not fenced", "a punch returns before it is durable", crash("zerobytes"),
       within(RANGE, "edge", "carrier.fence();", ""))

mutant("rest of a range not zeroed", "there was no space to say that it is unwritten", crash("fill /n0 - 0; zero"),
       within(RANGE, "whole", "left.start.saturating_mul(BLOCK)..left.end.saturating_mul(BLOCK)",
              "left.end.saturating_mul(BLOCK)..left.end.saturating_mul(BLOCK)"))

mutant("allocation ends after its first extent", "the rest has no blocks", crash("fallocate /f"),
       within(RANGE, "next", "self.at = self.at.saturating_add(step);", "self.at = self.end.max(self.at.saturating_add(step));"))

# --- times that are newer in memory ---

mutant("a record leaves the newer mtime behind", "it starts from what the media have, and takes the older one for the present", TOUCHED,
       (INODE, "Inode { mtime: self.mtime, ctime: self.ctime, ..self.raw }", "self.raw"))

mutant("times stay touched", "a record has taken them along, and they win over what it says", TOUCHED,
       (INODE, "(self.mtime, self.ctime) = (new.mtime, new.ctime);", ""))

mutant("link takes the older times", "one operation forgets that there may be newer ones", TOUCHED,
       (NAMESPACE, "(dir.next(), target.next())", "(dir.next(), target.raw)"))

mutant("rename takes the older times of a victim", "likewise", TOUCHED,
       (NAMESPACE, "victim.as_deref().map(|victim| victim.next())", "victim.as_deref().map(|victim| victim.raw)"))

mutant("atime is never written", "set_attr leaves behind what was read", TOUCHED,
       (NAMESPACE, "Inode { atime: live.atime(), ..live.next() }", "live.next()"))

mutant("atime that was set loses", "a time that utimens has set is that of the last read afterwards", TIMES_SET,
       (INODE, "self.accept(new); self.atime = new.atime;", "self.accept(new);"))

# --- memory that fails ---

mutant("changes go on after metadata was lost", "an operation that met lost metadata has no consequences", LOST,
       (LOG, "lane.closed = true; lane.torn = true;", ""))

mutant("the cut passes what is not in place", "memory was lost under the apply, and the record is forgotten all the same", LOST,
       (LOG, "lane.torn = applied.is_err();", ""))

mutant("lost blocks are given out", "a free block whose memory is known to be lost becomes a file's", ("poison", "data_that_is_lost_is_all_that_is_lost"),
       (ALLOC, "let Some(lost) = self.media().first_lost(at, u64::from(found.count()).wrapping_mul(BLOCK)) else {",
        "let Some(lost) = Some(at).filter(|_| false) else {"))

mutant("names are not made again where fresh memory fails", "a create whose node lies on it says EIO", ("poison", "fresh_blocks_that_fail_are_replaced"),
       within(NAMESPACE, "create_as", "patiently(|| try_create(volume, dir, name, new, &number))", "try_create(volume, dir, name, new, &number)"))

mutant("links are not made again where fresh memory fails", "a link whose node lies on it says EIO", ("poison", "fresh_blocks_that_fail_are_replaced"),
       within(NAMESPACE, "link", "patiently(|| try_link(volume, dir, name, target, now))", "try_link(volume, dir, name, target, now)"))

mutant("renames are not made again where fresh memory fails", "a rename whose node lies on it says EIO", ("poison", "fresh_blocks_that_fail_are_replaced"),
       within(NAMESPACE, "rename", "patiently(|| try_rename(volume, &mut rename))", "try_rename(volume, &mut rename)"))

mutant("a fresh block that fails is lost metadata", "nobody had it yet, but the volume stops", ("poison", "fresh_blocks_that_fail_are_replaced"),
       (SPAN, "Err(self.media().first_lost(at, len).map_or(Error::Poison { at }, |at| Error::LostFree { at }))", "Err(Error::Poison { at })"))

mutant("what cannot be zeroed is converted", "a failed block that was not written reads as what was in it before",
       ("poison", "a_failed_block_of_an_extent_is_the_loss_of_nobody_else"),
       (OPS_DATA, "convert_part(change, raw, &whole, &good)?; return Ok(good);",
        "let done = Run { flags: whole.flags & !format::EXTENT_UNWRITTEN, ..whole }; extent::set(change, raw, whole.file_block, &done)?; return Ok(good);"))

# --- hostile images ---

mutant("extents anywhere", "what an extent says is not compared with the data area", HOSTILE,
       (CHECK, "if !geometry.holds(extent.block.get(), u64::from(extent.len.get())) {", "if extent.len.get() == 0 {"))

mutant("patches unchecked", "a record that counts may change anything", HOSTILE,
       (REPLAY, "patch::check(geometry, buffer.patches(), at)?;", ""))

# --- found by an attack on the testers: each survived all of them before there were these classes ---

mutant("half an inode is damage", "a lookup by number meets an inode that is being made, and believes what it sees", crash("cpus"),
       (INODE, "if again.as_bytes() == seen.as_bytes() { return Err(error); }", "let _ = again.as_bytes(); return Err(error);"))

mutant("inode looked at while its bit is ignored", "a number that is free has the file that had it", crash("cpus"),
       (INODE, "if u64::from_le(word) >> (index % 64) & 1 == 0 { return Err(Error::NotFound); }", "let _ = word;"))

mutant("generations begin with one", "who knows an inode number can guess the handle of its first file",
       ("refused", "generations_cannot_be_guessed"),
       (TABLE, "0 => volume.random() as u32,", "0 => { let _ = volume.random(); 1 }"))

mutant("generation not counted", "a stale handle leads to the next file of that number", crash("long"),
       (TABLE, "before => before.wrapping_add(1),", "before => before,"))

mutant("dropped reservation given back without a fence", "what was stored to it may come down on the next owner", GIVEN_BACK,
       within(SPAN, "drop", "if self.stored.get() { self.volume.fence(); }", ""))

mutant("damage closes one lane", "the other CPUs go on", ALL_LANES,
       within(LOG, "failed", "for number in 0..self.geometry.lanes() {", "for number in 0..1 {"))

mutant("eviction ends after its first record", "what is left of a large file is lost", crash("pieces"),
       within(EVICT, "empty", "if !left { return Ok(()); }", "let _ = left; return Ok(());"))

mutant("punch ends after its first record", "the rest of the range stays", crash("punch /g - 0 72"),
       within(FREE, "punch", "if !left { return Ok(durable); }", "let _ = left; return Ok(durable);"))

mutant("zeroing ends after its first record", "the rest of the range stays", crash("zero /g - 0 72"),
       within(OPS_DATA, "unwrite_range", "if full || to <= blocks.start {", "if full || to <= blocks.end {"))

mutant("zeroed blocks stay written", "the range is as it was", crash("zero /"),
       within(OPS_DATA, "convert_part", "part.flags ^ format::EXTENT_UNWRITTEN", "part.flags & !format::EXTENT_UNWRITTEN"))

mutant("nothing left to zero on a full volume", "who zeroes the rest in place is told that there is none", crash("extents"),
       within(OPS_DATA, "unwrite_range", "blocks.start..to.max(blocks.start)", "blocks.start..blocks.start"))

mutant("zero by a hole", "a range that is zeroed gives its blocks back", crash("zero /g"),
       within(RANGE, "whole", "How::Keep => ops::unwrite(volume, live, blocks(), now).map(|left| left.reply()),",
              "How::Keep => ops::punch(volume, live, blocks(), now).map(|_| 0u64..0),"))

mutant("nothing was converted", "the range that a conversion tells is empty", crash("write /g"),
       within(OPS_DATA, "written_range", "return Ok(finish(change, file, raw)?.map(|()| all));",
              "let none = all.start..all.start; return Ok(finish(change, file, raw)?.map(|()| none));"))

mutant("nonce of the last mount", "its records could count again", ("log", "a_mount_changes_between_reading_and_writing"),
       (OPEN, "volume.nonce.store(volume.machine.random(), Ordering::Relaxed);", ""))

mutant("names in a removed directory", "they are never seen, and what they name is lost", REMOVED,
       within(NAMESPACE, "must_live", "if dir.nlink() == 0 { return Err(Error::NotFound); }", ""))

mutant("rename into a removed directory", "the name is lost", REMOVED,
       within(NAMESPACE, "rename", "to.as_deref().map_or(Ok(()), must_live)?;", ""))

mutant("group not set", "a new file has none", crash("create /c"),
       within(NAMESPACE, "prepare", "raw.gid = new.gid.into();", ""))

mutant("group not changed", "chown changes the owner only", crash("chown"),
       within(NAMESPACE, "set_attr", "raw.gid = attr.gid.map_or(raw.gid, Into::into);", ""))

mutant("owner not changed", "chown changes the group only", crash("chown"),
       within(NAMESPACE, "set_attr", "raw.uid = attr.uid.map_or(raw.uid, Into::into);", ""))

mutant("time of access not set", "it stays as it was", crash("chown"),
       within(NAMESPACE, "set_attr", "raw.atime = attr.atime.unwrap_or(raw.atime);", ""))

mutant("time of a rename not set", "what is renamed keeps its ctime", crash("rename /f /r"),
       within(NAMESPACE, "try_rename", "renamed.ctime = now;", ""))

mutant("time of a link not set", "what is linked keeps its ctime", crash("link /f"),
       within(NAMESPACE, "try_link", "linked.ctime = now;", ""))

mutant("time of creation not set", "a new file has none", crash("create /c"),
       within(NAMESPACE, "prepare", "raw.btime = new.now;", ""))

mutant("time of a directory not set", "a name more does not change it", crash("create /c"),
       within(NAMESPACE, "try_create", "super::touch(&mut parent, new.now);", ""))

mutant("contents of what is no file", "operations on contents take whatever comes", FILES_ONLY,
       within(OPS, "must_be_file", "if file.is_dir() { Err(Error::IsDir) } else if file.is_file()",
              "if file.is_dir() && file.is_file() { Err(Error::IsDir) } else if file.ino() > 0"))

mutant("interrupted truncation left as it is", "what lay beyond the end comes back with the next change", SETTLED,
       within(OPS, "settle", "if file.raw.orphan == format::ORPHAN_TRUNCATING {",
              "if file.raw.orphan == format::ORPHAN_TRUNCATING && file.ino() == 0 {"))

mutant("refusal without reason", "a target is said to be too long although it is not", crash("symlink /t"),
       within(NAMESPACE, "symlink", "if target.len() > SYMLINK_MAX {", "if target.len() > SYMLINK_MAX / 16 {"))
