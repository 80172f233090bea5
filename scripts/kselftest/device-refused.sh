#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# guest: size=64M load=no needs=libnvdimm
# Namespaces that are not for us: with an info block of another driver, however it got there; and read-only regions.
. ./device-lib.sh
plan 27

modprobe nd_pmem
unbind nd_pmem namespace0.0

# An info block is refused by its signature alone, so that also a damaged one is not destroyed.
for block in 'BTT_ARENA_INFO\0\0@0@BTT' 'BTT_ARENA_INFO\0\0@4096@BTT' 'NVDIMM_PFN_INFO\0@4096@PFN' 'NVDIMM_DAX_INFO\0@4096@DAX'; do
	signature=${block%%@*} name=${block##*@} at=${block#*@} at=${at%@*}
	bind nd_pmem namespace0.0
	put /dev/pmem0 "$at" "$signature"
	unbind nd_pmem namespace0.0
	dmesg -c >/dev/null
	modprobe pfnfs
	check "loads beside a $name info block" grep -q '^pfnfs ' /proc/modules
	refuses "$name at $at: no device" test -e /dev/pfnfs0
	says "$name at $at: the log says why" "namespace0.0: pfnfs: refused: a $name.* info block at byte $at "
	refuses "$name at $at: not bound by hand either" bind pfnfs namespace0.0
	rmmod pfnfs
	bind nd_pmem namespace0.0
	is "$name at $at: it is still there" "$(printf "$signature" | md5sum)" \
		"$(dd if=/dev/pmem0 bs=1 skip="$at" count=16 2>/dev/null | md5sum)"
	dd if=/dev/zero of=/dev/pmem0 bs=4k count=2 conv=notrunc,fsync 2>/dev/null
	unbind nd_pmem namespace0.0
done
modprobe pfnfs
check "cleared: the device is there" test -c /dev/pfnfs0

echo 1 >/sys/bus/nd/devices/region0/read_only
is "a region made read-only is seen" 1 "$(cat /sys/class/pfnfs/pfnfs0/read_only)"
denied "no writer then" "Read-only file system" sh -c 'exec 3>>/dev/pfnfs0'
check "but readers" dd if=/dev/pfnfs0 of=/dev/null bs=1M
unbind pfnfs namespace0.0
bind pfnfs namespace0.0
is "also when bound later" 1 "$(cat /sys/class/pfnfs/pfnfs0/read_only)"
echo 0 >/sys/bus/nd/devices/region0/read_only
check "and writers when it is no more" sh -c 'exec 3>>/dev/pfnfs0'
check "unloads" rmmod pfnfs
done_testing
