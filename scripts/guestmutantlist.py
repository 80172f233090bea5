# SPDX-License-Identifier: GPL-2.0
"""The mutants of the module: each breaks one rule that the tests of the media core cannot see, as it is one of the shell around it,
and names the guest script that has to fail. As in mutantlist.py: white space in what is replaced does not matter, it must be
found exactly once in the body of the function named, or of any."""

REMOVE = "dax/remove.rs"
FAILURE = "dax/failure.rs"
GUARD = "linux/pmem/guard.rs"
POISON = "linux/pmem/poison.rs"
PMEM = "linux/pmem.rs"
SB = "linux/vfs/sb.rs"
BINDING = "dev/binding.rs"
SLOT = "dev/slot.rs"
ERROR = "fs/error.rs"
FILE = "fs/file.rs"
GATE = "fs/gate.rs"
MAP = "fs/map.rs"
MOUNT = "fs/mount.rs"
TIDY = "fs/tidy.rs"

MUTANTS = []


def within(name, function, old, new):
    """An edit in the function of this name."""
    return name, old, new, function


def mutant(name, why, by, *edits):
    MUTANTS.append({"name": name, "why": why, "by": by, "edits": edits})


# --- what is done is told, whatever fails afterwards ---

mutant("error of the synchronisation for that of a write", "bytes were written with O_SYNC, then their times cannot be", "fs-effect",
       within(FILE, "write_iter", "let _ = i.sync_metadata().inspect_err(|&e| Mapping::of(i).set_error(e));", "i.sync_metadata()?;"))

# --- removal, evictions, unmount ---

mutant("removal waits for pins with the lock of faults", "the owner of the pin waits for it", "removal",
       within(REMOVE, "kill", "if !exclusive.release(self.locks, &ALL) {",
              "while !exclusive.release(self.locks, &ALL) { wait(&mut WAITS.clone()); } if false {"))

mutant("removal waits for no pin", "the pages go from under it", "removal",
       within(REMOVE, "kill", "idle &= emptied;", "let _ = emptied; idle &= true;"))

mutant("what an eviction has left stays listed", "removal waits for it for ever", "removal",
       within(REMOVE, "evict", "site.media.mappings().leave(mapping);", ""))

mutant("entries outlive the device", "removal unmaps without taking them out", "mmap-unbind",
       within(REMOVE, "kill", "let emptied = exclusive.empty(self.locks, ALL);", "let emptied = true;"))

mutant("a device that goes is used on", "nobody is told that removal has begun", "removal",
       within(BINDING, "drop", "self.device.region().kill();", ""))

mutant("the mount is not asked", "the device goes without it", "mmap-unbind",
       within(SLOT, "die", "holder.dead();", "drop(holder);"))

mutant("a write keeps the device while its source does not come", "a copy faults in its section", "removal",
       within(GUARD, "copy_from_iter", "let nofault = nofault::Scope::enter();", "let nofault = ();"))

mutant("a read keeps the device while its destination does not come", "a copy faults in its section", "removal",
       within(GUARD, "copy_to_iter", "let _nofault = nofault::Scope::enter();", ""))

mutant("unmount waits for pins with s_umount", "so does sync(2), of the whole machine", "removal",
       within(MOUNT, "await_users", "dax::await_pins(&sb.data().mappings);", "let _ = sb;"))

mutant("unmount keeps s_umount while it waits", "so that sync(2) waits too", "removal",
       within(SB, "kill_sb", "bindings::pfnfs_umount_leave(sb);", ""),
       within(SB, "kill_sb", "bindings::pfnfs_umount_enter(sb);", ""))

mutant("who pins pages and lets go of the file waits for himself", "no inode is kept whose eviction has to wait", "mmap-pin",
       within(TIDY, "keep", "keep\n}", "false && keep\n}"))

mutant("truncation waits for pins with the lock of faults", "the owner of the pin touches another page", "mmap-pin",
       within(REMOVE, "remove", "drop(exclusive); if", "if"))

mutant("truncation cannot be killed", "whoever waits for a pin", "mmap-pin",
       within(REMOVE, "remove", "if kernel::current!().signal_pending() {", "if false && kernel::current!().signal_pending() {"))

# --- mounts that may not store ---

mutant("stores after metadata was lost", "only new files are refused", "fs-gate",
       within(GATE, "writer", "self.is_stopped() ||", ""))

mutant("stores to a device that is flagged", "the administrator's switch is looked at by mount only", "fs-gate",
       within(GATE, "writer", "self.device.is_read_only() ||", ""))

mutant("stores by a read-only mount", "the witness is for everybody", "fs-gate",
       within(GATE, "writer", "|| self.volume.read_only()", ""))

mutant("stores to a frozen volume", "nobody asks who has no right of his own", "fs-gate",
       within(GATE, "try_storing", "_writing: Some(sb.try_writing().ok_or(EAGAIN)?)", "_writing: None"))

mutant("norecovery replays", "the log is looked at all the same", "fs-gate",
       within(GATE, "open", "(true, true) => Open::NoRecovery,", "(true, true) => Open::ReadOnly,"))

mutant("a flagged device is mounted for writing", "its log is replayed", "fs-gate",
       within(GATE, "open", "_ if claim.is_read_only() => None,", ""))

mutant("bytes beyond the end are seen", "where they cannot be zeroed the block itself is shown", "fs-gate",
       within(MAP, "insert", "} else if !self.device().is_poisoned(tail..tail.saturating_add(1)) {", "} else if false {"))

mutant("the copy has bytes beyond the end", "all of the block is copied", "fs-gate",
       within(MAP, "up_to_end", "(live.size() % BLOCK) as usize", "BLOCK as usize"))

mutant("a copy outlives a store", "who has mapped it does not see what is written", "fs-gate",
       within(MAP, "stored", "if i.data().cache.has_copy() {", "if false && i.data().cache.has_copy() {"))

mutant("mappings store on", "what can be written is not protected when nothing may be stored any more", "fs-gate",
       within(TIDY, "tidy", "sb.sync_inodes();", ""))

mutant("a file larger than it is by a mount that may not store", "the copy of the last block is taken for a whole one", "fs-gate",
       within(MAP, "insert", "len = last.wrapping_sub(at);", ""))

# --- memory that fails ---

mutant("a store to a page that is not in the direct mapping", "it is filled without being put back", "device-poison",
       within(GUARD, "refill", "poison.put_back(pfn)?;", ""))

mutant("a hole is left to the next owner", "pages stay out of the direct mapping when the device goes", "device-poison",
       within(PMEM, "revoke", "self.poison.put_all_back(self.first_pfn);", ""))

mutant("a failure is not recorded", "the page goes on being used", "device-poison",
       within(SLOT, "memory_failure", "self.poison.fail(pages.clone())", "Ok(())"))

mutant("failed pages are read", "the record is not asked at the first byte", "device-poison",
       within(PMEM, "good", "Some(lost) if lost == at => Err(EIO),", "Some(lost) if lost == at => Ok(len),"))

mutant("a read goes on over a failed page", "the record is asked at the first byte only", "device-poison",
       within(PMEM, "good", "Some(lost) => Ok(lost.saturating_sub(at) as usize),", "Some(_) => Ok(len),"))

mutant("the page before a failed one is refused", "ranges are rounded to one page more", "device-poison",
       within(PMEM, "first_lost", "at.saturating_add(len).div_ceil(PAGE)", "at.saturating_add(len).div_ceil(PAGE).saturating_add(1)"))

mutant("a repaired page stays refused", "it is filled, and stays in the record", "device-poison",
       within(GUARD, "refill", "poison.remove(pages, seen)", "let _ = (pages, seen); Ok(())"))

mutant("a second failure makes good the first", "the record keeps what comes behind only", "device-poison",
       within(POISON, "add", "old.iter().filter(|r| r.end < all.start).cloned()", "old.iter().filter(|_| false).cloned()"))

mutant("a repair takes more than its page", "all that follows of the range is good again", "device-poison",
       within(POISON, "remove", "let after = range.start.max(pages.end)..range.end;", "let after = range.end..range.end;"))

mutant("a failed page stays mapped", "who has not touched it may go on", "mmap-poison",
       within(FAILURE, "fail", "write.unmap(pages);", "let _ = pages;"))

mutant("nobody is told of a failure", "no signal for who has asked for one", "mmap-poison",
       within(FAILURE, "fail", "outcome = outcome.and(write.kill_procs(pages.clone(), flags));", "outcome = outcome.and(Ok(())); let _ = flags;"))

mutant("all of a huge page is marked as failed", "private stores to good memory are refused", "mmap-poison",
       within(FAILURE, "fail", "|pfn| pfns.contains(&pfn) || site.media.is_poisoned(pfn..pfn.saturating_add(1))", "|_| true"))

mutant("a lost store is not told of", "fsync says that all is well", "mmap-lost",
       within(FAILURE, "fail", "if lost {", "if false && lost {"))

mutant("changes after lost metadata", "the volume goes on", "fs-poison",
       within(ERROR, "fail", "if self.gate().failed(e) {", "if false && self.gate().failed(e) {"))
