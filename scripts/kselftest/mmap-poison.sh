#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Memory fails under mappings (MADV_HWPOISON): nobody keeps or gets a page of it, its neighbours stay, system calls say EIO.
. ./mmap-lib.sh
plan 14
fresh

check "a page fails in a huge mapping: SIGBUS there" mapper open /mnt/h rwc alloc 0 4M map 4M 0 shared rw put 0 4M 5 huge 2 \
	ignore advise 1M 4k poison bus 1M r bus 1M w
check "its neighbours are read" mapper open /mnt/h rw map 4M 0 shared rw get 0 1M 5 get 1028k 3068k 5
check "and written" mapper open /mnt/h rw map 4M 0 shared rw put 0 1M 6 put 1028k 3068k 6 fsync fget 0 1M 6 fget 1028k 3068k 6
check "the page is never mapped again" mapper open /mnt/h rw map 4M 0 shared rw get 0 4k 6 bus 1M r huge 0 get 2M 4k 6 bus 1M w
check "nor by a mapping of its own" mapper open /mnt/h rw map 4k 1M shared rw bus 0 r
check "nor privately" mapper open /mnt/h rw map 4k 1M private rw bus 0 w
refuses "read(2) refuses it" mapper open /mnt/h r fget 1M 4k 5
check "the whole file but for it can be read" mapper open /mnt/h r fget 0 1M 6 fget 1028k 3068k 6

mapper open /mnt/s rwc alloc 0 64k map 64k 0 shared rw put 0 64k 7 sleep 3000 bus 8k r get 12k 4k 7 >/tmp/other 2>&1 &
other=$!
sleep 1
check "a small page fails" mapper open /mnt/s rw map 64k 0 shared rw get 0 64k 7 ignore advise 8k 4k poison bus 8k r get 0 8k 7
check "a process that did not touch it loses it as well" wait $other
check "the file is deleted" rm /mnt/s
gone
done_testing
