#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# guest: alone=yes
# Memory fails with what a mapping has stored and nobody has synchronised: whoever synchronises hears of it, once.
. ./mmap-lib.sh
plan 8

fresh
check "what was durable" lost clean /mnt/a
check "fsync, fdatasync, sync_file_range, msync and syncfs" lost calls /mnt/b
check "a page of a 2 MiB entry" lost huge /mnt/c
check "while others map, touch, fork and unmap" lost crowd /mnt/d 5
says "the log names device and inode" "pfnfs0: inode $(stat -c %i /mnt/b): memory failed with what a mapping had stored"
gone
done_testing
