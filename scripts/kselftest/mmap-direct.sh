#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# guest: kernel=stock
# Direct I/O of another device into and out of mappings: pages are pinned, not copied.
. ./mmap-lib.sh
plan 14
fresh
modprobe brd rd_nr=1 rd_size=16384
check "there is a disk" test -b /dev/ram0

check "from a mapping of huge pages to the disk" mapper open /mnt/h rwc alloc 0 8M map 8M 0 shared rw put 0 8M 5 huge 4 dwrite /dev/ram0 0 8M
check "and into another one" mapper open /mnt/g rwc alloc 0 8M map 8M 0 shared rw put 0 1 1 dread /dev/ram0 0 8M get 0 8M 5 fget 0 8M 5
check "into small pages, a hole before" mapper open /mnt/s rwc truncate 1M map 1M 0 shared rw get 0 1M 0 dread /dev/ram0 64k 512k get 64k 512k 5 \
	get 0 64k 0 fget 64k 512k 5
check "into a hole that nobody has touched" mapper open /mnt/n rwc truncate 8M map 8M 0 shared rw dread /dev/ram0 1M 4M get 1M 4M 5 get 0 1M 0 fget 5M 1M 0
check "across the end of a huge page" mapper open /mnt/g rw map 8M 0 shared rw put 0 8M 6 dread /dev/ram0 1M 2M get 1M 2M 5 get 0 1M 6 get 3M 1M 6
check "what came in is dirty" mapper open /mnt/d rwc alloc 0 2M map 2M 0 shared rw fsync dread /dev/ram0 0 2M
equal "one huge entry" "$(entries /mnt/d ' 512 dirty')" 1
check "and again after fsync" mapper open /mnt/d rw map 2M 0 shared rw fsync dread /dev/ram0 0 4k
equal "one huge entry" "$(entries /mnt/d ' 512 dirty')" 1
check "no page stays pinned: truncate does not wait" mapper open /mnt/g rw map 8M 0 shared rw alarm 5 dread /dev/ram0 0 8M truncate 0
gone
done_testing
