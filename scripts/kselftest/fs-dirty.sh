#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# guest: size=64M load=no needs=libnvdimm
# A device that was not unmounted: a read-only mount replays the log if the device can be written, is refused if it cannot,
# and reads without replay when told so.
. ./device-lib.sh
plan 34

region=/sys/bus/nd/devices/region0/read_only
slots() { dump.pfnfs --no-replay /dev/pfnfs0 | sed -n 's/^slot . *\([a-zA-Z]*\),.*/\1/p' | tr '\n' ' '; }
sum() { sha256sum </dev/pfnfs0; }
content() { [ "$(cat /mnt/dir/file | md5sum)" = "$(seq 1 5000 | md5sum)" ]; }

# What a power cut would leave: the device as it is while it is mounted, with something in the log. The log is emptied in the
# background now and then, so it is tried until that did not come between.
taken() {
	local n
	for n in $(seq 50); do
		echo $n >/mnt/dir/count || return 1
		cat /dev/pfnfs0 >/tmp/image
		[ "$(slots)" = "dirty dirty " ] && cmp -s /dev/pfnfs0 /tmp/image && return
	done
	return 1
}

check "loads" modprobe pfnfs
check "a file system" mkfs.pfnfs -f /dev/pfnfs0
check "it is mounted" mount -t pfnfs pfnfs0 /mnt
check "and has a file" sh -c 'mkdir /mnt/dir && seq 1 5000 >/mnt/dir/file'
check "its memory while it is mounted" taken
check "it is unmounted" umount /mnt
check "and is as it was" sh -c 'cat /tmp/image >/dev/pfnfs0'
check "unloads" rmmod pfnfs

echo 1 >$region
check "loads" modprobe pfnfs
is "the device is read-only" 1 "$(cat /sys/class/pfnfs/pfnfs0/read_only)"
is "and the log is not empty" "dirty dirty " "$(slots)"
before=$(sum)
fails "it is not mounted for writing" EROFS mount pfnfs0 /mnt
says "for a reason" 'pfnfs.*the device is read-only'
fails "nor for reading" EROFS mount pfnfs0 /mnt ro
says "for another" 'pfnfs0: the log has to be replayed, and nothing can be written \(-o ro,norecovery\)'
check "but without replay" mount -t pfnfs -o ro,norecovery pfnfs0 /mnt
check "it can be read" ls -lR /mnt
fails "it cannot be written" EROFS creat /mnt/new
refuses "nor be made so" mount -o remount,rw /mnt
check "it is unmounted" umount /mnt
is "nothing has changed" "$before" "$(sum)"
fails "norecovery is for reading" EINVAL mount pfnfs0 /mnt norecovery

echo 0 >$region
check "norecovery of a device that can be written" mount -t pfnfs -o ro,norecovery pfnfs0 /mnt
check "it is unmounted" umount /mnt
is "nothing has changed here either" "$before" "$(sum)"
check "a read-only mount" mount -t pfnfs -o ro pfnfs0 /mnt
is "has replayed the log" "clean clean " "$(slots)"
check "has the file" content
fails "writes nothing" EROFS creat /mnt/new
check "it is unmounted" umount /mnt
echo 1 >$region
check "now the read-only device is mounted" mount -t pfnfs -o ro pfnfs0 /mnt
check "with the file" content
check "it is unmounted" umount /mnt
check "unloads" rmmod pfnfs
done_testing
