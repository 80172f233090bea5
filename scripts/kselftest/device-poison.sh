#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# guest: size=64M load=no append=memmap=64M!512M needs=libnvdimm monitor=yes
# Memory that fails: the page is refused from then on, its neighbours are not; a whole page that is written over is
# repaired where the platform can do it (legacy memory: says it can; QEMU's NVDIMM: cannot). A device that is bound anew, by
# whomever, has no holes where its pages failed.
. ./device-lib.sh
plan 36

K=4096
check "loads" modprobe pfnfs
for ns in /sys/bus/nd/devices/namespace*; do
	[ -d "$ns/pfnfs" ] || continue
	case $(cat "$ns/../devtype" 2>/dev/null)$(readlink -f "$ns") in
	*e820*) legacy=${ns##*/} ;;
	*) dimm=${ns##*/} ;;
	esac
done
seq 1 300000 | head -c 1048576 >/tmp/data

page() { dd if="$1" bs=$K skip="$2" count="${3:-1}" 2>/dev/null; }       # page NODE FIRST [COUNT]
fail() { # fail NAMESPACE PAGE
	fails_at $(($(cat "/sys/bus/nd/devices/$1/resource") + $2 * K))
}

for ns in $legacy $dimm; do
	node=/dev/$(name_of "$ns")
	dd if=/tmp/data of="$node" bs=64k conv=notrunc 2>/dev/null
	is "$ns: all is well" "$(md5sum </tmp/data)" "$(head -c 1048576 "$node" | md5sum)"
	check "$ns: a page fails" fail "$ns" 100
	says "$ns: the log names it" "$(name_of "$ns"): memory failure of pages 100[.][.]101"
	denied "$ns: it cannot be read" "Input/output error" dd if="$node" of=/dev/null bs=$K skip=100 count=1
	is "$ns: its neighbours can" "$(page /tmp/data 99 | md5sum) $(page /tmp/data 101 | md5sum)" \
		"$(page "$node" 99 | md5sum) $(page "$node" 101 | md5sum)"
	is "$ns: a read across it stops there" $((100 * K)) "$(dd if="$node" bs=1M count=1 2>/dev/null | wc -c)"
	denied "$ns: a part of it cannot be written" "Input/output error" \
		dd if=/tmp/data of="$node" bs=512 seek=$((100 * 8)) count=1 conv=notrunc
	check "$ns: another one fails" fail "$ns" 102
	denied "$ns: nor can that be read" "Input/output error" dd if="$node" of=/dev/null bs=$K skip=102 count=1
	check "$ns: between them is good memory" dd if="$node" of=/dev/null bs=$K skip=101 count=1
done

node=/dev/$(name_of "$legacy")
check "the platform repairs a page that is overwritten" dd if=/tmp/data of="$node" bs=64k conv=notrunc
is "everything is there again" "$(md5sum </tmp/data)" "$(head -c 1048576 "$node" | md5sum)"
unbind pfnfs "$legacy"
bind pfnfs "$legacy"
is "also when bound again" "$(md5sum </tmp/data)" "$(head -c 1048576 "/dev/$(name_of "$legacy")" | md5sum)"

node=/dev/$(name_of "$dimm")
denied "a platform that cannot says so" "error" dd if=/tmp/data of="$node" bs=$K seek=100 count=1 conv=notrunc
is "and the page stays failed" 0 "$(page "$node" 100 | wc -c)"
is "the rest of a large write is not touched" "$(page /tmp/data 99 | md5sum)" \
	"$(dd if=/tmp/data of="$node" bs=1M count=1 conv=notrunc 2>/dev/null; page "$node" 99 | md5sum)"
check "the device may go with failed pages" unbind pfnfs "$dimm"
check "a page fails once more" fail "$legacy" 100
check "unloads" rmmod pfnfs
check "loads again" modprobe pfnfs
node=/dev/$(name_of "$legacy")
check "nobody knows of the page any more: it can be read" dd if="$node" of=/dev/null bs=$K skip=100 count=1
check "and stored to" dd if=/tmp/data of="$node" bs=64k conv=notrunc
is "and read" "$(md5sum </tmp/data)" "$(head -c 1048576 "$node" | md5sum)"
check "unloads" rmmod pfnfs
refuses "and leaves nothing" grep -q pfnfs /proc/iomem
done_testing
