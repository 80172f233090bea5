#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# guest: needs=libnvdimm
# The device goes while files of it are mapped, touched and held open.
. ./mmap-lib.sh
plan 12
fresh
check "a file of huge pages" mapper open /mnt/pin rwc alloc 0 4M map 4M 0 shared rw put 0 4M 6 fsync

# The device goes: namespace0.0 is unbound from the driver.
unbind() {
	for d in /sys/bus/nd/drivers/*/namespace0.0; do echo namespace0.0 >"${d%/*}/unbind"; done
}
mapper open /mnt/pin rw map 8M 0 shared rw get 0 4M 6 put 0 4M 7 sleep 4000 bus 0 r bus 2M w close >/tmp/survivor 2>&1 &
survivor=$!
mapper open /mnt/pin rw map 4M 0 shared rw loop 4 ignore get 0 4M 7 end >/tmp/toucher 2>&1 &
sleep 1
check "the device is removed under mappings" unbind
check "who had mapped it gets SIGBUS" wait $survivor
refuses "and nobody maps it again" mapper open /mnt/pin rw map 4M 0 shared rw get 0 4k 7
refuses "nor syncs it" mapper open /mnt/pin rw fsync
wait
check "it is unmounted" umount /mnt
check "the device comes back" sh -c 'for d in /sys/bus/nd/drivers/*; do echo namespace0.0 >$d/bind && exit 0; done 2>/dev/null; exit 1'
check "it is mounted" mount -t pfnfs pfnfs0 /mnt
check "what was stored before the removal is there" mapper open /mnt/pin r fget 0 4M 7
gone
done_testing
