#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# guest: size=64M,32M load=no needs=libnvdimm
# Namespaces change hands by sysfs: to nd_pmem and back, by unbinding their region, with open files and under load.
# The data stays, the number is free again, and what was open fails.
. ./device-lib.sh
plan 32

check "loads" modprobe pfnfs
a=$(name_of namespace0.0) b=$(name_of namespace1.0)
seq 1 20000 | head -c 65536 >/tmp/data
check "data of the node" dd if=/tmp/data of=/dev/$a bs=4k seek=2 conv=notrunc

check "unbind" unbind pfnfs namespace0.0
refuses "the node has gone" test -e /dev/$a
refuses "its folder in sysfs too" test -e /sys/class/pfnfs/$a
check "the other device stays" dd if=/dev/$b of=/dev/null bs=1M
refuses "its address range is free" grep -q "$a" /proc/iomem

modprobe nd_pmem
check "nd_pmem takes it" test -b /dev/pmem0
dd if=/dev/pmem0 of=/tmp/back bs=4k skip=2 count=16 2>/dev/null
check "and finds the data" cmp /tmp/data /tmp/back
refuses "not while it is ours" bind nd_pmem namespace1.0
refuses "nor we while it is theirs" bind pfnfs namespace0.0
check "nd_pmem lets go" unbind nd_pmem namespace0.0
check "bind again" bind pfnfs namespace0.0
check "the same number" test -c /dev/$a
dd if=/dev/$a of=/tmp/back bs=4k skip=2 count=16 2>/dev/null
check "the same data" cmp /tmp/data /tmp/back

# With open files. They are of the device that was, also when there is a new one of that name.
exec 3</dev/$a 4>>/dev/$a
check "unbind with a reader and a writer" unbind pfnfs namespace0.0
denied "the reader reads no more" "No such device or address" dd of=/dev/null bs=4k count=1 <&3
denied "the writer writes no more" "No such device or address" sh -c 'echo x >&4'
check "bind while they are open" bind pfnfs namespace0.0
check "the new device may have a writer" sh -c "exec 5>>/dev/$a"
denied "the old reader is none of the new device" "No such device or address" dd of=/dev/null bs=4k count=1 <&3
refuses "the module stays for them" rmmod pfnfs
exec 3<&- 4>&-

check "the region goes" sh -c "echo region0 >$drivers/nd_region/unbind"
refuses "its device too" test -e /dev/$a
rmmod nd_pmem 2>/dev/null
check "the region comes back" sh -c "echo region0 >$drivers/nd_region/bind"
cat /sys/bus/nd/devices/ndbus*/wait_probe >/dev/null
check "with the device" test -c /dev/$a
dd if=/dev/$a of=/tmp/back bs=4k skip=2 count=16 2>/dev/null
check "and its data" cmp /tmp/data /tmp/back

# Readers and a writer that never rest, while the device comes and goes. A node of their own, because a writer that finds
# none in /dev would make a file there.
# shellcheck disable=SC2046
mknod /tmp/node c $(sed 's/:/ /' /sys/class/pfnfs/$a/dev)
rounds=20
touch /tmp/go
for n in 1 2 3; do
	while [ -e /tmp/go ]; do dd if=/tmp/node of=/dev/null bs=1M count=16; done >/dev/null 2>&1 &
done
while [ -e /tmp/go ]; do dd if=/dev/zero of=/tmp/node bs=100k seek=100 count=40 conv=notrunc; done >/dev/null 2>&1 &
while [ -e /tmp/go ]; do cat /sys/class/pfnfs/$a/*; done >/dev/null 2>&1 &
failed=0
for n in $(seq $rounds); do
	sleep 0.1
	unbind pfnfs namespace0.0 || failed=$((failed + 1))
	bind pfnfs namespace0.0 || failed=$((failed + 1))
done
rm /tmp/go
wait
is "unbinds or binds of $((rounds * 2)) that failed under load" 0 $failed
check "the device is there" test -c /dev/$a
dd if=/dev/$a of=/tmp/back bs=4k skip=2 count=16 2>/dev/null
check "with its data" cmp /tmp/data /tmp/back

check "unloads with devices bound" rmmod pfnfs
refuses "and leaves nothing" grep -q pfnfs /proc/iomem
done_testing
