#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# The tracepoints of the DAX layer tell each step of a fault, a cleaning and a removal.
. ./mmap-lib.sh
plan 12
fresh
T=/sys/kernel/tracing

# traced PATTERN: whether the trace has such a line.
traced() {
	grep -Eq -- "$1" $T/trace
}

check "the events are there" test -d $T/events/pfnfs/pfnfs_fault
echo 1 >$T/events/pfnfs/enable
echo >$T/trace
check "a file is stored to, cleaned and cut" mapper open /mnt/f rwc alloc 0 4M map 4M 0 shared rw put 0 1 1 get 2M 1 0 fsync truncate 1M
echo 0 >$T/events/pfnfs/enable
ino=$(stat -c %i /mnt/f)
check "a store of 2 MiB" traced "pfnfs_fault: .* ino $ino index 0 order 9 write .*NOPAGE"
check "asked the file system" traced "pfnfs_populate: .* ino $ino window 0..512 write inserted [0-9]* error 0"
check "it was a major fault" traced "pfnfs_fault: .* ino $ino index 0 order 9 write .*MAJOR"
check "a load" traced "pfnfs_fault: .* ino $ino index 512 order [09] read"
check "a cleaning" traced "pfnfs_clean: .* ino $ino pages 0..512"
check "a removal" traced "pfnfs_remove: .* ino $ino pages 256.."
refuses "nothing is traced of other inodes" traced "pfnfs_(clean|remove): .* ino $((ino + 1)) "
gone
done_testing
