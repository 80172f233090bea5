#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Mappings of 2 MiB pages, proven by what PAGEMAP_SCAN finds in the page table.
. ./mmap-lib.sh
plan 39
fresh

mark
check "64 MiB, allocated beforehand, stored to: 32 huge pages" mapper open /mnt/big rwc alloc 0 64M map 64M 0 shared rw put 0 64M 5 huge 32
equal "32 huge entries" "$(entries /mnt/big ' 512 ')" 32
equal "no small one" "$(entries /mnt/big ' 1 ')" 0
equal "32 huge pages were mapped" "$(grew mapped_2m)" 32
equal "no small page was" "$(grew mapped_4k)" 0
atmost "the file system was asked once per extent" "$(grew populates)" 2
mark
check "another process reads all of it through huge pages" mapper open /mnt/big r map 64M 0 shared r get 0 64M 5 huge 32
equal "without a call into the file system" "$(grew populates)" 0
equal "by 32 hits" "$(grew hits)" 32
check "read(2) agrees" mapper open /mnt/big r fget 0 64M 5

check "64 MiB, written by write(2), are huge pages too" mapper open /mnt/written rwc fput 0 64M 6 map 64M 0 shared rw get 0 64M 6 huge 32
check "a new file, sparse, stored to" mapper open /mnt/sparse rwc truncate 16M map 16M 0 shared rw put 0 16M 7 huge 8 fget 0 16M 7
check "a single store gets its 2 MiB" mapper open /mnt/one rwc truncate 16M map 16M 0 shared rw put 5M 1 7 huge 1 get 4M 1M 0
check "what was zeroed is zero" mapper open /mnt/one r map 16M 0 shared r get 4M 1M 0 get 5M 1 7 fget 4M 1M 0

check "stored to, cleaned, stored to: huge all along" mapper open /mnt/big rw map 64M 0 shared rw put 0 64M 1 huge 32 msync 0 64M huge 32 \
	put 0 64M 2 huge 32 fsync huge 32 get 0 64M 2
check "a private mapping reads huge pages" mapper open /mnt/big r map 64M 0 private rw get 0 64M 2 huge 32
check "and splits one that it stores to" mapper open /mnt/big r map 64M 0 private rw get 0 64M 2 put 3M 1 9 huge 31 get 2M 1M 2 get 3M 1 9 fget 3M 1 2
check "an unaligned mapping gets the same memory by small pages" mapper open /mnt/big rw map 4M 0 shared rw odd put 0 4M 3 huge 0 fget 0 4M 3
check "so does a mapping of one page" mapper open /mnt/big rw map 4k 2M shared rw get 0 4k 3 huge 0
check "the end of a file in the middle of 2 MiB" mapper open /mnt/tail rwc fput 0 3M 4 map 4M 0 shared rw get 0 3M 4 huge 1 bus 3M r put 2M 1M 5 fget 2M 1M 5
check "SIGBUS behind a huge page" mapper open /mnt/tail rw map 8M 0 shared rw get 0 2M 4 huge 1 bus 4M r bus 6M w

check "fork shares huge pages" mapper open /mnt/big rw map 8M 0 shared rw put 0 8M 6 child get 0 8M 6 huge 4 put 0 8M 7 end get 0 8M 7 huge 4
check "mremap moves huge pages" mapper open /mnt/big rw map 8M 0 shared rw put 0 8M 8 remap huge 4 get 0 8M 8
check "mprotect splits one" mapper open /mnt/big rw map 8M 0 shared rw put 0 8M 9 protect 2M 4k r get 0 8M 9 put 4M 4M 1 get 4M 4M 1 fget 0 4M 9
check "munmap splits one" mapper open /mnt/big rw map 8M 0 shared rw put 0 8M 2 rest 2M 1M get 0 2M 2 get 3M 5M 2
check "MADV_DONTNEED takes them away, a load brings them back" mapper open /mnt/big rw map 8M 0 shared rw put 0 8M 3 advise 0 8M dontneed get 0 8M 3 huge 4
refuses "MADV_COLLAPSE has nothing to do here" mapper open /mnt/big rw map 8M 0 shared rw advise 0 8M collapse
check "punching 4 KiB out of a huge page keeps the rest" mapper open /mnt/big rw map 8M 0 shared rw put 0 8M 4 punch 3M 4k get 3M 4k 0 get 2M 1M 4 \
	get 3149824 1044480 4 get 4M 4M 4
check "and that is durable without fsync" mapper open /mnt/big r fget 2M 1M 4 fget 3M 4k 0
check "truncating into a huge page keeps what is before" mapper open /mnt/big rw map 16M 0 shared rw put 8M 8M 5 truncate 9M get 8M 1M 5 bus 9M r \
	truncate 16M get 8M 1M 5 get 9M 1M 0
check "both halves are right after a remount" sh -c 'umount /mnt && mount -t pfnfs pfnfs0 /mnt && mapper open /mnt/big r fget 8M 1M 5 fget 9M 1M 0 fget 4M 4M 4'
check "small entries that are there stay small" mapper open /mnt/mixed rwc alloc 0 2M map 4k 0 shared rw put 0 4k 1 unmap map 2M 0 shared rw put 0 2M 2 get 0 2M 2
check "THP settings do not matter" sh -c 'echo never >/sys/kernel/mm/transparent_hugepage/enabled; mapper open /mnt/written r map 64M 0 shared r get 0 64M 6 huge 32'
gone
check "huge pages are whole again for the next file system" sh -c 'mkfs.pfnfs -f /dev/pfnfs0 && mount -t pfnfs pfnfs0 /mnt'
check "and can be mapped again" mapper open /mnt/big rwc alloc 0 64M map 64M 0 shared rw put 0 64M 5 huge 32
gone
done_testing
