#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# guest: smp=4
# userfaultfd that write-protects asynchronously (who copies a running process does): it leaves notes in page tables where
# pages are missing.
. ./mmap-lib.sh
plan 16

fresh
check "pages that nobody has touched" uffd pages /mnt/f
check "2 MiB pages" uffd huge /mnt/f
check "holes" uffd holes /mnt/h
check "a private mapping" uffd private /mnt/p
check "a page is stored to, before and after an fsync" uffd store /mnt/s
equal "it is dirty" "$(entries /mnt/s ' dirty')" 1
check "fsync" mapper open /mnt/s rw fsync
equal "it is clean" "$(entries /mnt/s ' dirty')" 0
check "holes are filled while others load them" uffd fill /mnt/r 3
check "stores while others protect" uffd race /mnt/r 4
check "read-only" mount -o remount,ro /mnt
check "data and holes of a file system that cannot be written" uffd readonly /mnt/h
check "unmount and mount read-only" sh -c 'umount /mnt && mount -t pfnfs -o ro pfnfs0 /mnt'
check "data and holes that nobody has read yet" uffd readonly /mnt/h
umount /mnt
done_testing
