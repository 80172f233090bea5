#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Mappings of small pages: shared and private, holes, ends of files, and what the kernel does to mappings.
. ./mmap-lib.sh
plan 41
fresh

check "a hole reads as zeroes" mapper open /mnt/hole rwc truncate 64k map 64k 0 shared rw get 0 64k 0
equal "and is in the mapping as holes" "$(entries /mnt/hole ' hole ')" 16
check "the same VMA then writes into it" mapper open /mnt/hole rw map 64k 0 shared rw get 0 64k 0 put 8k 4k 7 \
	get 8k 4k 7 get 0 8k 0 get 12k 4k 0 fget 8k 4k 7 fget 12k 4k 0
equal "one page of it is there now" "$(entries /mnt/hole ' 0x[0-9a-f]* 1 ')" 1
equal "15 holes are left" "$(entries /mnt/hole ' hole ')" 15
check "a process that has read the hole sees what another one writes" \
	mapper open /mnt/hole rw map 64k 0 shared rw get 32k 4k 0 child open /mnt/hole rw map 64k 0 shared rw put 32k 4k 5 end get 32k 4k 5
check "and what is written by write(2)" mapper open /mnt/hole rw map 64k 0 shared rw get 40k 8k 0 fput 40k 8k 6 get 40k 8k 6

check "a written file reads right" mapper open /mnt/file rwc fput 0 100000 9 map 100000 0 shared rw get 0 100000 9
check "the rest of its last page is zero" mapper open /mnt/file rw map 104k 0 shared r get 100000 2400 0
check "a store beyond the end in the last page stays out of the file" \
	mapper open /mnt/file rw map 104k 0 shared rw put 100000 2400 1 truncate 200000 fget 100000 2400 0 get 100000 2400 0
check "a store is seen by read(2)" mapper open /mnt/file rw map 4k 0 shared rw put 10 5 3 fget 10 5 3 fget 0 10 9
mark
check "a second process faults the same pages" mapper open /mnt/file rw map 80k 0 shared rw get 4k 76k 9
equal "without a call into the file system" "$(grew populates)" 0
atmost "each fault a hit" 19 "$(grew hits)"

check "a private mapping keeps its stores" mapper open /mnt/file rw map 80k 0 private rw get 4k 4k 9 put 4k 4k 1 get 4k 4k 1 \
	get 8k 4k 9 fget 4k 4k 9
check "also if it stores first" mapper open /mnt/file rw map 80k 0 private rw put 8k 4k 1 get 8k 4k 1 fget 8k 4k 9
check "and in a hole" mapper open /mnt/hole rw map 64k 0 private rw put 0 4k 1 get 0 4k 1 fget 0 4k 0
check "a private mapping sees the file change until it stores" mapper open /mnt/file rw map 80k 0 private rw get 12k 4k 9 \
	fput 12k 4k 8 get 12k 4k 8 put 12k 1 1 fput 12k 4k 7 get 12289 4095 8
check "a read-only file can be mapped for reading" mapper open /mnt/file r map 80k 0 shared r get 4k 4k 9
refuses "but not for writing" mapper open /mnt/file r map 80k 0 shared rw

check "SIGBUS past the end: load" mapper open /mnt/short rwc fput 0 10 1 map 12k 0 shared rw bus 4k r bus 8k r
check "SIGBUS past the end: store" mapper open /mnt/short rw map 12k 0 shared rw bus 4k w bus 8k w
check "SIGBUS past the end: private" mapper open /mnt/short rw map 12k 0 private rw bus 4k w bus 8k r
check "SIGBUS in an empty file" mapper open /mnt/empty rwc map 4k 0 shared rw bus 0 r bus 0 w
check "the file grows under the mapping" mapper open /mnt/short rw map 12k 0 shared rw bus 8k r truncate 12k get 10 12278 0 put 8k 4k 2 \
	fget 8k 4k 2

check "fork: child and parent share" mapper open /mnt/fork rwc truncate 64k map 64k 0 shared rw put 0 64k 1 \
	child get 0 64k 1 put 0 64k 2 end get 0 64k 2
check "fork: private pages part" mapper open /mnt/fork rw map 64k 0 private rw put 0 4k 9 child get 0 4k 9 put 0 8k 8 end get 0 4k 9 get 4k 4k 2
check "mremap" mapper open /mnt/fork rw map 64k 0 shared rw get 0 64k 2 remap get 0 64k 2 put 0 64k 3 fget 0 64k 3
check "mprotect to nothing and back" mapper open /mnt/fork rw map 64k 0 shared rw put 4k 4k 4 protect 4k 4k none protect 4k 4k rw get 4k 4k 4
check "mprotect from read-only to writable" mapper open /mnt/fork rw map 64k 0 shared r get 0 4k 3 protect 0 64k rw put 0 4k 5 fget 0 4k 5
check "a part is unmapped" mapper open /mnt/fork rw map 64k 0 shared rw put 0 64k 6 rest 16k 16k get 0 16k 6 get 32k 32k 6 fget 16k 16k 6
check "MADV_DONTNEED drops nothing" mapper open /mnt/fork rw map 64k 0 shared rw put 0 64k 7 advise 0 64k dontneed get 0 64k 7
check "nor do COLD and PAGEOUT" mapper open /mnt/fork rw map 64k 0 shared rw put 0 64k 8 advise 0 64k cold advise 0 64k pageout get 0 64k 8
check "nor drop_caches" mapper open /mnt/fork rw map 64k 0 shared rw put 0 64k 9 drop get 0 64k 9 close drop get 0 64k 9
equal "drop_caches leaves the entries" "$(entries /mnt/fork)" 16

check "the buffer of write(2) is a mapping of the same file" mapper open /mnt/self rwc truncate 64k map 64k 0 shared rw put 0 4k 1 selfwrite 0 32k 4k \
	fget 32k 4k 1 get 32k 4k 1
check "and of read(2)" mapper open /mnt/self rw map 64k 0 shared rw selfread 32k 48k 4k get 48k 4k 1
check "an unlinked file lives on in its mapping" mapper open /mnt/dead rwc truncate 64k map 64k 0 shared rw put 0 32k 1 unlink /mnt/dead close \
	get 0 32k 1 put 32k 32k 2 get 32k 32k 2 msync 0 64k
gone
done_testing
