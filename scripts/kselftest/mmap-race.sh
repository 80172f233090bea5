#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# guest: smp=4
# Faults of both sizes race with cleaning, with truncate and punch, with unmapping and with pins: no page is lost, nothing
# hangs, the kernel's log stays clean. racer.c compares every byte where none may be lost.
. ./mmap-lib.sh
plan 9
fresh

# race TEXT ARG...: shows how often each came to it.
race() {
	local text="$1"
	shift
	check "$text" racer "$@"
	sed 's/^/# /' "$OUT"
}

race "loads, stores and cleaning" /mnt/a 16 5 load load store store fsync msync
race "with zapping and mapping again" /mnt/b 16 5 load store store fsync zap split
race "with truncating and punching" /mnt/c 8 5 load store store fsync truncate punch zap
race "with pins" /mnt/d 8 5 load store pin pin truncate fsync punch
mapper open /mnt/e rwc alloc 0 16M
race "in an allocated file" /mnt/e 16 5 load store store store fsync zap
race "while caches are dropped" /mnt/f 8 5 load store store fsync drop
gone
done_testing
