#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# guest: size=1G timeout=480 weight=30
# Many inodes: 2,000,000 in the full check (200,000 on kernels that are slow), 20,000 otherwise. Each step takes a time that is
# proportional to them, a mount one that is not.
. ./lib.sh
plan 21

count=20000
[ -z "$FULL" ] || { [ "$KERNEL" = stock ] && count=2000000 || count=200000; }
# Seconds for a step: 60, and 600 us for each file.
most=$((60 + count * 600 / 1000000))
step() { timeout $((2 * most)) plenty "$1" /mnt $count $most "$2" "$3"; }
# Hundredths of seconds for a mount.
clock() { sed 's/\.//; s/ .*//' /proc/uptime; }
timed() { begun=$(clock); "$@" && took=$(($(clock) - begun)); }

check "a fresh file system is mounted" fresh -N 2100000
touch /mnt/first && rm /mnt/first
inodes=$(free | cut -d' ' -f2)
umount /mnt
check "a mount of nothing" timed mount_fs
empty=$took
check "$count files are made" step make
cat $OUT
check "each is found, and what is not there is not" step look
cat $OUT
check "each is listed once" step list
cat $OUT
check "their handles are kept" step remember /tmp/handles
same "so many are in use" $((count + (count + 19999) / 20000)) $((inodes - $(free | cut -d' ' -f2)))
check "unmount" umount /mnt
check "the checker finds nothing, in time" timeout $most fsck.pfnfs -n $DEV
check "mount" timed mount_fs
echo "# a mount took ${empty}0 ms when there was nothing, ${took}0 ms now"
check "takes no longer for them" [ "$took" -le $((empty + 200)) ]
check "each is found by its handle" step handles /tmp/handles found
cat $OUT
check "and by its name" step look
cat $OUT
check "all lose their names" step drop
cat $OUT
check "their handles are stale" step handles /tmp/handles stale
check "the directories are empty" sh -c 'rmdir /mnt/d*'
same "all numbers are free" "$inodes" "$(free | cut -d' ' -f2)"
check "unmount" umount /mnt
check "the checker finds nothing" timeout $most fsck.pfnfs -n $DEV
check "mount" mount_fs
check "unmount" umount /mnt
done_testing
