#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# guest: load=no size=64M append=memmap=64M$512M timeout=60
# The module was made for another private DAX format than this kernel's: it says so and makes no device.
. ./lib.sh
plan 6
check "loads" modprobe pfnfs
says "and says what is wrong" "pfnfs: this kernel's DAX is not the one that this module was made for: a pinned page does not count as busy"
refuses "there is no device" test -e /dev/pfnfs0
check "unloads" rmmod pfnfs
refuses "does not load for memory of its own" modprobe pfnfs phys=0x20000000 size=0x4000000
refuses "leaves nothing" grep -q pfnfs /proc/iomem
done_testing
