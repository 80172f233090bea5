#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# guest: size=64M load=no append=memmap=128M$512M
# Memory that no firmware table describes, by the module's parameters; and all the ranges that are refused.
. ./device-lib.sh
plan 33

M=1048576
phys=$((512 * M)) size=$((128 * M))
with() { modprobe pfnfs phys="$1" size="$2"; }

refused() { # refused TEXT REASON PHYS SIZE
	dmesg -c >/dev/null
	refuses "$1 is refused" with "$3" "$4"
	says "$1: $2" "pfnfs.*refused: .*$2"
	[ ! -d /sys/module/pfnfs ] || rmmod pfnfs
}

refused "RAM" "ordinary memory" $((256 * M)) $((16 * M))
refused "RAM before the range" "ordinary memory" $((phys - 2 * M)) $((4 * M))
refused "RAM behind the range" "ordinary memory" $phys $((size + 2 * M))
refused "a misaligned address" "multiples of 2 MiB" $((phys + 4096)) $((2 * M))
refused "a misaligned size" "multiples of 2 MiB" $phys $((2 * M + 4096))
refused "a size too small" "multiples of 2 MiB" $phys $M
refused "an address without size" "multiples of 2 MiB" $phys 0
refused "a size without address" "multiples of 2 MiB" 0 $size
refused "a range that wraps around" "beyond the physical address space" 0xffffffffffe00000 0x400000
refused "a range beyond the CPU's addresses" "beyond the physical address space" 0x4000000000000000 0x400000
refused "a range where nothing is" "neither reserved nor persistent" 0x2000000000 $((2 * M))

dmesg -c >/dev/null
check "reserved memory is taken" with $phys $size
is "its size" $size "$(cat /sys/class/pfnfs/pfnfs0/size)"
is "its persistence domain" unknown "$(cat /sys/class/pfnfs/pfnfs0/persistence_domain)"
check "the NVDIMM comes second" test -c /dev/pfnfs1
seq 1 20000 | head -c 65536 >/tmp/data
check "write" dd if=/tmp/data of=/dev/pfnfs0 bs=4k seek=2 conv=notrunc,fsync
check "unloads" rmmod pfnfs
refuses "the range is free again" grep -q pfnfs /proc/iomem
check "loads for the last part of it" with $((phys + size - 2 * M)) $((2 * M))
rmmod pfnfs
with $phys $size
dd if=/dev/pfnfs0 of=/tmp/back bs=4k skip=2 count=16 2>/dev/null
check "the data is still there" cmp /tmp/data /tmp/back

put /dev/pfnfs0 4096 'NVDIMM_PFN_INFO\0'
rmmod pfnfs
refused "another driver's info block" "another driver owns the data" $phys $size
done_testing
