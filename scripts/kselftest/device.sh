#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# guest: size=64M,32M load=no needs=libnvdimm
# Devices of NVDIMMs: found at load, their sysfs attributes, and what the node does: read, write, seek, fsync, one writer
# at a time.
. ./device-lib.sh
plan 35

M=1048576

check "loads" modprobe pfnfs
check "there is a pfnfs0" test -c /dev/pfnfs0
check "and a pfnfs1" test -c /dev/pfnfs1
a=$(name_of namespace0.0) b=$(name_of namespace1.0)
sys=/sys/class/pfnfs/$a
refuses "there is no third" test -e /dev/pfnfs2
is "size in bytes" "$((64 * M)) $((32 * M))" "$(cat $sys/size) $(cat /sys/class/pfnfs/$b/size)"
is "persistence domain" memory_controller "$(cat $sys/persistence_domain)"
is "NUMA node as the region says" "$(cat /sys/bus/nd/devices/region0/numa_node 2>/dev/null || echo -1)" \
	"$(cat $sys/numa_node)"
is "not read-only" 0 "$(cat $sys/read_only)"
is "nobody holds it" none "$(cat $sys/holder)"
refuses "attributes cannot be written" sh -c "echo 1 >$sys/size"
says "the log names device and size" "namespace0.0: pfnfs: $a of 64 MiB"
is "no block device" "" "$(ls /sys/block 2>/dev/null | grep -v -e '^loop' -e '^ram')"
check "the memory has page structures of a device" grep -q "$a" /proc/iomem

# Bytes. The pattern has no two equal blocks.
seq 1 300000 | head -c $M >/tmp/pattern
check "write 1 MiB" dd if=/tmp/pattern of=/dev/$a bs=64k conv=notrunc,fsync
check "it reads back" cmp -n $M /tmp/pattern /dev/$a
check "write at an odd place, odd length" dd if=/tmp/pattern of=/dev/$a bs=1 seek=4194307 count=4099 conv=notrunc
dd if=/dev/$a of=/tmp/odd bs=1 skip=4194307 count=4099 2>/dev/null
check "it reads back" cmp -n 4099 /tmp/pattern /tmp/odd
is "and changed nothing before it" 000000 "$(dd if=/dev/$a bs=1 skip=4194304 count=3 2>/dev/null | hexdump -v -e '/1 "%02x"')"
is "nor behind it" 0000 "$(dd if=/dev/$a bs=1 skip=$((4194307 + 4099)) count=2 2>/dev/null | hexdump -v -e '/1 "%02x"')"
is "the whole device has its size" $((64 * M)) "$(wc -c </dev/$a)"
is "a read past the end is empty" 0 "$(dd if=/dev/$a bs=4k skip=$((64 * 256)) count=1 2>/dev/null | wc -c)"
is "a read across the end is short" 100 \
	"$(dd if=/dev/$a bs=1000 count=1 iflag=skip_bytes skip=$((64 * M - 100)) 2>/dev/null | wc -c)"
denied "a write past the end" "No space left" \
	dd if=/tmp/pattern of=/dev/$a bs=4k seek=$((64 * 256)) count=1 conv=notrunc
check "the last byte can be written" dd if=/tmp/pattern of=/dev/$a bs=1 seek=$((64 * M - 1)) count=1 conv=notrunc
check "seek, pread, pwrite, fsync and refusal of mmap" devnode io /dev/$a
check "a buffer that faults" devnode fault /dev/$a

# One writer.
exec 3>>/dev/$a
is "a writer is seen" writer "$(cat $sys/holder)"
denied "a second writer" busy sh -c "exec 4>>/dev/$a"
check "a reader may come" dd if=/dev/$a of=/dev/null bs=4k count=1
check "the other device is free" sh -c "exec 4>>/dev/$b"
refuses "the module stays while a node is open" rmmod pfnfs
exec 3>&-
is "the writer has gone" none "$(cat $sys/holder)"
check "the next one may come" sh -c "exec 4>>/dev/$a"

check "unloads" rmmod pfnfs
is "nothing is left in sysfs and /dev" "" "$(ls /sys/class/pfnfs /dev/pfnfs* 2>/dev/null)"
done_testing
