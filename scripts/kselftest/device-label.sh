#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# guest: size=128M label=128K persistence=cpu boots=2 load=no needs=libnvdimm
# An NVDIMM with labels, whose caches are durable as well: raw namespaces of chosen sizes, which are there again after a boot.
. ./device-lib.sh
region=/sys/bus/nd/devices/region0
M=1048576

# make NAMESPACE UUID SIZE: what ndctl does for a namespace in raw mode
make() { echo "$2" >"$region/$1/uuid" && echo "$3" >"$region/$1/size"; }

if [ "$BOOT" = 1 ]; then
	plan 23
	echo region0 >$drivers/nd_region/unbind
	echo nmem0 >$drivers/nvdimm/unbind
	check "the label area is emptied" nmem /dev/nmem0
	echo nmem0 >$drivers/nvdimm/bind
	echo region0 >$drivers/nd_region/bind
	cat /sys/bus/nd/devices/ndbus*/wait_probe >/dev/null
	check "loads" modprobe pfnfs
	refuses "there is no device yet" test -e /dev/pfnfs0
	is "the first namespace is to be made" namespace0.0 "$(cat $region/namespace_seed)"
	check "it is" make namespace0.0 3f9c3a56-9c3f-4d43-8d0f-0f9ae1b0c001 $((64 * M))
	is "its kind (5: with a label)" 5 "$(cat $region/namespace0.0/nstype)"
	check "bound" bind pfnfs namespace0.0
	is "its size" $((64 * M)) "$(cat /sys/class/pfnfs/pfnfs0/size)"
	is "the next one is to be made" namespace0.1 "$(cat $region/namespace_seed)"
	check "it is" make namespace0.1 3f9c3a56-9c3f-4d43-8d0f-0f9ae1b0c002 $((32 * M))
	check "bound" bind pfnfs namespace0.1
	is "its size" $((32 * M)) "$(cat /sys/class/pfnfs/pfnfs1/size)"
	is "both are raw" "raw raw" "$(cat $region/namespace0.0/mode) $(cat $region/namespace0.1/mode)"
	denied "the size of one that is in use is not changed" "busy" sh -c "echo 0 >$region/namespace0.0/size"
	is "what is durable, says the region" cpu_cache "$(cat $region/persistence_domain)"
	is "so says the device" cpu_cache "$(cat /sys/class/pfnfs/pfnfs0/persistence_domain)"
	for n in 0 1; do
		check "pfnfs$n: a file system" sh -c "mkfs.pfnfs /dev/pfnfs$n && mount -t pfnfs pfnfs$n /mnt"
		check "pfnfs$n: with a file" sh -c "echo content $n >/mnt/file"
		check "pfnfs$n: by a mapping" mapper open /mnt/mapped rwc alloc 0 4M map 4M 0 sync rw put 0 4M $((n + 5)) fsync
		[ $n = 1 ] || umount /mnt
	done
	check "unmounts" umount /mnt
	done_testing
	exit
fi
plan 16
check "loads" modprobe pfnfs
is "the namespaces are there" "namespace0.0 namespace0.1" \
	"$(for d in /sys/class/pfnfs/*/device; do basename "$(readlink -f "$d")"; done | sort | tr '\n' ' ' | sed 's/ $//')"
for ns in namespace0.0 namespace0.1; do
	n=${ns##*.}
	is "$ns: its UUID" "3f9c3a56-9c3f-4d43-8d0f-0f9ae1b0c00$((n + 1))" "$(cat $region/$ns/uuid)"
	check "$ns: its file system" mount -t pfnfs "$(name_of $ns)" /mnt
	is "$ns: its file" "content $n" "$(cat /mnt/file)"
	check "$ns: by a mapping" mapper open /mnt/mapped r map 4M 0 shared r get 0 4M $((n + 5)) huge 2
	check "$ns: unmounts" umount /mnt
done
check "one is given up" unbind pfnfs namespace0.0
check "and removed" sh -c "echo 0 >$region/namespace0.0/size"
check "the other stays" sh -c "mount -t pfnfs $(name_of namespace0.1) /mnt && cat /mnt/file && umount /mnt"
check "unloads" rmmod pfnfs
done_testing
