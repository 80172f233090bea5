#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# guest: size=64M load=no kernel=stock alone=yes
# The platform's own record: a machine check tells libnvdimm of bad memory, libnvdimm tells us, also when bound later.
# (The debug kernel has no mce-inject.)
. ./device-lib.sh
plan 15

K=4096 inject=/sys/kernel/debug/mce-inject region=/sys/bus/nd/devices/region0
seq 1 300000 | head -c 1048576 >/tmp/data
page() { dd if="$1" bs=$K skip="$2" count=1 2>/dev/null | md5sum; }
# broken PAGE: an uncorrected memory error at that page of the NVDIMM, as both vendors' processors report it
broken() {
	echo sw >$inject/flags && echo 0xb400000000080090 >$inject/status && echo 0x8c >$inject/misc && echo 0 >$inject/cpu &&
		printf '%#x' $(($(cat /sys/bus/nd/devices/namespace0.0/resource) + $1 * K)) >$inject/addr && echo 4 >$inject/bank
}
known() { grep -q . $region/badblocks; }
lost() { ! dd if=/dev/pfnfs0 of=/dev/null bs=$K skip="$1" count=1 2>/tmp/said; }

check "mce-inject loads" modprobe mce-inject
check "loads" modprobe pfnfs
dd if=/tmp/data of=/dev/pfnfs0 bs=64k conv=notrunc 2>/dev/null
check "a page breaks" broken 100
check "libnvdimm knows" within 20 known
is "which" "$((100 * 8)) 8" "$(cat $region/badblocks)"
check "so do we" within 20 lost 100
is "and say so" 1 "$(grep -c 'Input/output error' /tmp/said)"
is "its neighbours are good" "$(page /tmp/data 99) $(page /tmp/data 101)" "$(page /dev/pfnfs0 99) $(page /dev/pfnfs0 101)"
check "unbind" unbind pfnfs namespace0.0
check "another one breaks while nobody has it" broken 102
check "libnvdimm knows" within 20 grep -q "^$((102 * 8)) 8" $region/badblocks
check "bind" bind pfnfs namespace0.0
check "neither can be read" sh -c '! dd if=/dev/pfnfs0 of=/dev/null bs=4096 skip=100 count=1 && ! dd if=/dev/pfnfs0 of=/dev/null bs=4096 skip=102 count=1'
denied "nor written: this platform cannot repair" "Input/output error" \
	dd if=/tmp/data of=/dev/pfnfs0 bs=$K seek=102 count=1 conv=notrunc
check "unloads" rmmod pfnfs
done_testing
