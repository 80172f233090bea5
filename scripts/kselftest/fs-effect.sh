#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# guest: size=16M smp=1 load=no needs=libnvdimm
# Bytes that were written are told of, whatever fails afterwards: who is told that a write failed would write again.
. ./device-lib.sh
plan 12

K=4096
ns=namespace0.0
check "loads" modprobe pfnfs
check "a fresh file system is mounted" fresh
check "with a file" mapper open /mnt/file rwc fput 0 8k 65 fsync
check "that can be written" mapper open /mnt/file sync fput 0 8k 66
sync # so that nobody looks at the log on his own
# The log is lost: of the times, which come after the bytes, no record can be made.
# shellcheck disable=SC2046
set -- $(dump.pfnfs --no-replay $DEV | sed -n 's/^log .* of 2 x \([0-9]*\) bytes from byte \(0x[0-9a-f]*\)$/\2 \1/p')
for at in $(seq $(($1 / K)) $(($1 / K + 2 * $2 / K - 1))); do
	echo $(($(cat /sys/bus/nd/devices/$ns/resource) + at * K)) >/sys/devices/system/memory/hard_offline_page
done
check "its pages have failed" sh -c '[ "$(dmesg | grep -c "memory failure of pages")" -ge $1 ]' sh $((2 * $2 / K))
check "a synchronous write of a block that the file has is told of" mapper open /mnt/file sync fput 0 4k 67
says "though its times are lost" 'pfnfs0: metadata is lost or wrong: read-only from now on'
check "its bytes are there" mapper open /mnt/file r fget 0 4k 67 fget 4k 4k 66
refuses "the next one is not" mapper open /mnt/file sync fput 4k 4k 68
check "nor are its bytes" mapper open /mnt/file r fget 4k 4k 66
check "unmount" umount /mnt
check "unloads" rmmod pfnfs
done_testing
