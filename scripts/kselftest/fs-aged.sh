#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# guest: size=64M weight=20
# A volume aged to pieces: no two free blocks lie side by side, so that every file is made of single blocks, has a tree of
# extents of its own, and each large operation takes many records. Nothing of it shows in what files hold.
. ./lib.sh
plan 17

check "a fresh file system is mounted" fresh
touch /mnt/first && rm /mnt/first
before=$(free)
# Stale bytes in all blocks; then a file over nearly all of them loses every second one.
litter
check "a file over most of the device" fsop fallocate 0 /mnt/comb 0 52M
check "loses every second block" fsop comb /mnt/comb

check "a large file of single blocks" data random /mnt/a 5 120 6M map
check "another beside it" data random /mnt/b 6 120 3000000 map
check "many small ones" sh -c 'for i in 1 2 3 4 5 6; do data random /mnt/s$i 1$i 40 150000 nomap || exit 1; done'
check "the comb is filled again in part" fsop fallocate 0 /mnt/comb 0 8M
check "and read: all zeroes" data zero /mnt/comb 0 52M
check "one is put in another's place" sh -c 'cp /mnt/b /mnt/c && mv /mnt/c /mnt/a && cmp /mnt/a /mnt/b'
check "an end in the middle" sh -c 'truncate -s 1234567 /mnt/b && truncate -s 3M /mnt/b && data zero /mnt/b 1234567 1911161'
# shellcheck disable=SC2046
set -- $(fsop fill /mnt/full 1M)
same "it can be filled to the last block" "ENOSPC 0" "$2 $(stat -f -c %f /mnt)"
check "that can be unlinked" rm /mnt/full
sum=$(cd /mnt && sha256sum a b s?)
check "unmount and mount" again
same "each byte as before" "$sum" "$(cd /mnt && sha256sum a b s?)"
check "the checker finds nothing" sh -c 'umount /mnt && fsck.pfnfs -n /dev/pfnfs0 && mount -t pfnfs pfnfs0 /mnt'
rm -f /mnt/*
same "nothing is lost" "$before" "$(free)"
check "unmount" umount /mnt
done_testing
