#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Inodes of files that were mapped are freed when memory is short, and what was stored is durable; the
# task that sees to that comes, however often it is asked to. vm.c.
. ./mmap-lib.sh
plan 11
fresh

# inodes: how many there are in memory, of all file systems.
inodes() { cut -f 1 /proc/sys/fs/inode-nr; }
drop() { echo 2 >/proc/sys/vm/drop_caches; }
let_go() { drop && ! grep -q . $DEBUG/entries; }
forgotten() { sync && drop && [ "$(inodes)" -lt $((before + 100)) ]; }

mkdir /mnt/d /mnt/p
check "files whose pages are pinned for a moment, all the time" vm pinned /mnt/p 10
sed 's/^/# /' "$OUT"
drop
before=$(inodes)
check "1,000 files of which a page was mapped" vm many /mnt/d 1000
equal "each has its entry" "$(grep -c . $DEBUG/entries)" 1000
check "files that nobody uses keep no entries when memory is short" within 60 let_go
check "and are forgotten" within 60 forgotten
check "what was stored is there" vm look /mnt/d 1000
check "an unmount and a mount" again
check "what was stored is still there" vm look /mnt/d 1000
gone
done_testing
