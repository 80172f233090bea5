#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# guest: alone=yes needs=libnvdimm monitor=yes
# Pages fail under a mapping while their device goes.
. ./mmap-lib.sh
plan 7
fresh

mapper open /mnt/g rwc alloc 0 4M map 4M 0 shared rw ignore put 0 4M 5 ignore put 4k 4k 5 sleep 2000 &
sleep 1
grep "^$(stat -c %i /mnt/g) " $DEBUG/entries | cut -d' ' -f3 | head -n 20 >/tmp/frames
(while read -r at; do fails_at $((at * 4096)); done </tmp/frames) 2>/dev/null &
check "the device goes while pages fail" sh -c 'echo namespace0.0 >/sys/bus/nd/drivers/pfnfs/unbind'
wait
refuses "there is nothing to read any more" cat /mnt/g
gone
check "it comes back" sh -c 'echo namespace0.0 >/sys/bus/nd/drivers/pfnfs/bind && mount -t pfnfs pfnfs0 /mnt'
gone
done_testing
