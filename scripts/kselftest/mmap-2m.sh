#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# 2 MiB mappings: each page of a preallocated file of 64 MiB is mapped by 2 MiB entries, proven by PAGEMAP_SCAN, also on a
# file system that was used before, after a remount, and whatever the setting of transparent huge pages.
. ./lib.sh
plan 9

check "a fresh file system is mounted" fresh
check "64 MiB by 2 MiB entries" map huge /mnt/big 64M
check "again, when the file is there" map remap /mnt/big 64M
check "unmount and mount" again
check "after a remount" map remap /mnt/big 64M
thp=/sys/kernel/mm/transparent_hugepage/enabled
check "with transparent huge pages switched off" sh -c "[ ! -e $thp ] || echo never >$thp; map remap /mnt/big 64M"
i=0
while [ $i -lt 200 ]; do
	head -c $((i * 100)) /dev/urandom >"/mnt/small$i"
	i=$((i + 1))
done
rm -f /mnt/small*[13579]
check "beside small files" map huge /mnt/second 64M
check "with many of them deleted" sh -c 'rm /mnt/small* /mnt/big && map huge /mnt/third 64M'
check "unmount" umount /mnt
done_testing
