#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# guest: smp=4 needs=cachestat weight=20
# cachestat(2) takes the entries of a DAX mapping for something else, and the kernel oopses: no open
# file leads to one that has entries. All else that goes by an open file works as if it did.
. ./mmap-lib.sh
plan 27

fresh
check "entries of all kinds" cachestat kinds /mnt/k
check "a file without a name" cachestat nameless /mnt
check "a file that was opened by its handle" cachestat handle /mnt/h /mnt
mkdir /mnt/d && chown 1000 /mnt/d
check "any user" cachestat user /mnt/d/u 1000
check "what asks for pages to be read or thrown away" cachestat advice /mnt/a
check "while others load, store, truncate, punch, map, fork and clean" cachestat race /mnt/r 10

cachestat keep /mnt/f 1000 >/tmp/kept &
kept=$!
within 20 grep -q made /tmp/kept
equal "a file has dirty entries of 2 MiB" "$(entries /mnt/f ' 512 dirty')" 1
equal "and small ones" "$(entries /mnt/f ' 1 dirty')" 5
check "sync_file_range of the 2 MiB" cachestat range /mnt/f 2M 2M
equal "cleans them" "$(entries /mnt/f ' 512 dirty')" 0
equal "and not the others" "$(entries /mnt/f ' dirty')" 5
check "sync_file_range of all" cachestat range /mnt/f 0 0
equal "cleans all" "$(entries /mnt/f ' dirty')" 0
check "stores to what was cleaned" cachestat store /mnt/f 5 1025
equal "are seen" "$(entries /mnt/f ' dirty')" 2
check "sync_file_range again" cachestat range /mnt/f 0 0
equal "cleans them again" "$(entries /mnt/f ' dirty')" 0
check "a store that a truncation takes away, and another one" \
	sh -c 'cachestat store /mnt/f 1030 && truncate -s 4M /mnt/f && cachestat store /mnt/f 7'
check "sync_file_range" cachestat range /mnt/f 0 0
equal "cleans what is left" "$(entries /mnt/f ' dirty')" 0
kill $kept
wait $kept 2>/dev/null
gone

check "it is mounted again" mount -t pfnfs pfnfs0 /mnt
check "entries of all kinds, made durable" \
	sh -c 'cachestat keep /mnt/o 0 && mount -o remount,ro /mnt'
check "of a file system that is read-only now" cachestat readonly /mnt/o
umount /mnt
mount -t pfnfs -o ro pfnfs0 /mnt
check "and of one that is mounted so" cachestat readonly /mnt/o
umount /mnt
done_testing
