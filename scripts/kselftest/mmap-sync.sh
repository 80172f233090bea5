#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Stores through mappings become durable: which entries are dirty, who cleans them, and that the next store is seen.
. ./mmap-lib.sh
plan 43
fresh

check "nothing is dirty that was only read" mapper open /mnt/f rwc fput 0 64k 1 fsync map 64k 0 shared rw get 0 64k 1
equal "16 clean entries" "$(entries /mnt/f ' clean$')" 16
check "three pages are stored to" mapper open /mnt/f rw map 64k 0 shared rw put 0 12k 2
equal "three entries are dirty after the process has gone" "$(entries /mnt/f ' dirty')" 3
mark
check "fsync by somebody else" mapper open /mnt/f rw fsync
equal "nothing is dirty" "$(entries /mnt/f ' dirty')" 0
equal "three entries were cleaned" "$(grew cleaned)" 3
mark
check "fsync again" mapper open /mnt/f rw fsync
equal "nothing was left to clean" "$(grew cleaned)" 0

check "a store after fsync faults again" mapper open /mnt/f rw map 64k 0 shared rw put 0 4k 3 fsync put 0 4k 4
equal "and is dirty again" "$(entries /mnt/f ' dirty')" 1
check "msync(MS_SYNC) of another range" mapper open /mnt/f rw map 64k 0 shared rw msync 32k 4k
equal "leaves it dirty" "$(entries /mnt/f ' dirty')" 1
check "msync(MS_SYNC) of its range" mapper open /mnt/f rw map 64k 0 shared rw msync 0 4k
equal "cleans it" "$(entries /mnt/f ' dirty')" 0

for how in fsync fdatasync syncfs; do
	check "$how cleans" mapper open /mnt/f rw map 64k 0 shared rw put 4k 8k 5 $how
	equal "nothing is dirty after $how" "$(entries /mnt/f ' dirty')" 0
done
check "stores before sync(2)" mapper open /mnt/f rw map 64k 0 shared rw put 4k 8k 6
sync
equal "nothing is dirty after sync(2)" "$(entries /mnt/f ' dirty')" 0

check "huge pages: stored to" mapper open /mnt/h rwc alloc 0 8M map 8M 0 shared rw put 0 2M 1 put 4M 2M 1 huge 2
equal "two huge entries are dirty" "$(entries /mnt/h ' 512 dirty')" 2
check "huge pages: cleaned, one stored to again" mapper open /mnt/h rw map 8M 0 shared rw fsync put 5M 1 2 huge 1
equal "one huge entry is dirty" "$(entries /mnt/h ' 512 dirty')" 1
check "a mapped huge page is write-protected by fsync" mapper open /mnt/h rw map 8M 0 shared rw put 0 2M 3 fsync put 1M 1 4
equal "and dirty after the next store" "$(entries /mnt/h ' 512 dirty')" 1

check "the flusher leaves marks alone" sh -c 'echo 50 >/proc/sys/vm/dirty_writeback_centisecs; sleep 2'
equal "still dirty" "$(entries /mnt/h ' 512 dirty')" 1
echo 500 >/proc/sys/vm/dirty_writeback_centisecs
check "a cleaner and a writer at the same time" mapper open /mnt/r rwc truncate 4M map 4M 0 shared rw bg loop 3 put 0 4M 1 put 0 4M 2 end end \
	bg loop 3 fsync end end wait fsync
equal "nothing is dirty after the last fsync" "$(entries /mnt/r ' dirty')" 0

check "MAP_SYNC" mapper open /mnt/s rwc truncate 4M map 4M 0 sync rw put 0 4M 1 huge 2 get 0 4M 1
check "MAP_SYNC of small pages" mapper open /mnt/s rw truncate 6M map 4k 5M sync rw put 0 4k 2 fget 5M 4k 2

check "stores before the file is unlinked and evicted" mapper open /mnt/u rwc truncate 1M map 1M 0 shared rw put 0 1M 1 unlink /mnt/u
check "stores before umount" mapper open /mnt/f rw map 64k 0 shared rw put 60k 4k 9
gone
check "it is mounted again" mount -t pfnfs pfnfs0 /mnt
check "what was stored is there" mapper open /mnt/f r fget 60k 4k 9 fget 4k 8k 6 open /mnt/s r fget 0 4M 1 fget 5M 4k 2
gone
done_testing
