#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# guest: size=64M,32M load=no needs=libnvdimm
# A device and its mount: they exclude writers of the node, survive each other's end in any order, and a page that fails
# under a file fails for its readers alone.
. ./device-lib.sh
plan 46

K=4096
modprobe pfnfs
a=$(name_of namespace0.0) b=$(name_of namespace1.0)
sys=/sys/class/pfnfs/$a
mkdir -p /mnt/a /mnt/b
check "format" sh -c "mkfs.pfnfs -f /dev/$a && mkfs.pfnfs -f /dev/$b"
seq 1 300000 | head -c 1048576 >/tmp/data
whole() { md5sum </tmp/data; }

# Mount and writer.
check "mount" mount -t pfnfs "$a" /mnt/a
is "the device says so" mount "$(cat "$sys/holder")"
denied "no writer now" busy sh -c "exec 3>>/dev/$a"
check "readers may come" dd if="/dev/$a" of=/dev/null bs=1M
refuses "the module stays" rmmod pfnfs
check "unmount" umount /mnt/a
is "the device is free" none "$(cat "$sys/holder")"
exec 3>>"/dev/$a"
refuses "no mount while there is a writer" mount -t pfnfs "$a" /mnt/a
check "the other device may be mounted" mount -t pfnfs "$b" /mnt/b
exec 3>&-
check "and this one when he has gone" mount -t pfnfs "/dev/$a" /mnt/a
umount /mnt/b

# The device goes while it is mounted, idle.
cp /tmp/data /mnt/a/kept
check "everything is on the media" sync
exec 3</mnt/a/kept 4>>/mnt/a/kept
check "unbind while mounted" unbind pfnfs namespace0.0
refuses "the node has gone" test -e "/dev/$a"
refuses "reading an open file fails" dd of=/dev/null bs=$K count=1 <&3
refuses "writing one too" sh -c 'echo x >&4'
refuses "opening another one too" cat /mnt/a/kept
refuses "creating one too" touch /mnt/a/new
refuses "listing too" ls /mnt/a/sub
exec 3<&- 4>&-                                     # timeout leaves a process that would keep them
check "stat of the root does not hang" timeout 10 sh -c 'stat /mnt/a; stat -f /mnt/a; true'
check "sync does not hang" timeout 10 sync
check "the namespace may come back meanwhile" bind pfnfs namespace0.0
is "as a device that is free" none "$(cat "/sys/class/pfnfs/$(name_of namespace0.0)/holder")"
check "it may be mounted beside the dead mount" mount -t pfnfs "$(name_of namespace0.0)" /mnt/b
is "with its file" "$(whole)" "$(md5sum </mnt/b/kept)"
check "the dead one is unmounted" umount /mnt/a
is "which does not touch the other" "$(whole)" "$(md5sum </mnt/b/kept)"
check "unmount that" umount /mnt/b

# The device goes under load, again and again; what was synced before is there each time.
a=$(name_of namespace0.0)
rounds=5 lost=0 stuck=0
for n in $(seq $rounds); do
	mount -t pfnfs "$(name_of namespace0.0)" /mnt/a || break
	cp /tmp/data "/mnt/a/round$n"
	sync
	touch /tmp/go
	for w in 1 2 3; do
		while [ -e /tmp/go ]; do cp /tmp/data "/mnt/a/load$w"; rm "/mnt/a/load$w"; ls /mnt/a; done >/dev/null 2>&1 &
	done
	sleep 0.5
	timeout 60 sh -c "echo namespace0.0 >$drivers/pfnfs/unbind" || stuck=$((stuck + 1))
	rm /tmp/go
	wait
	umount /mnt/a || stuck=$((stuck + 1))
	bind pfnfs namespace0.0
	mount -t pfnfs "$(name_of namespace0.0)" /mnt/a || stuck=$((stuck + 1))
	for i in $(seq "$n"); do cmp -s /tmp/data "/mnt/a/round$i" || lost=$((lost + 1)); done
	umount /mnt/a
done
is "rounds of removal under load" $rounds "$n"
is "operations that failed or hung" 0 $stuck
is "files that were lost" 0 $lost

# The region goes, with both sides of it in use.
check "mount" mount -t pfnfs "$(name_of namespace0.0)" /mnt/a
exec 3</mnt/a/kept 5<"/dev/$(name_of namespace0.0)"
check "unbind the region" sh -c "echo region0 >$drivers/nd_region/unbind"
refuses "the file is dead" dd of=/dev/null bs=$K count=1 <&3
refuses "the node is dead" dd of=/dev/null bs=$K count=1 <&5
exec 3<&- 5<&-
check "unmount" umount /mnt/a
check "bind the region" sh -c "echo region0 >$drivers/nd_region/bind"
cat /sys/bus/nd/devices/ndbus*/wait_probe >/dev/null

# A page of a file fails: found by its contents, which no other page has.
node=/dev/$(name_of namespace0.0)
mount -t pfnfs "$(name_of namespace0.0)" /mnt/a
seq 500000 600000 | head -c 200000 >/tmp/other
cp /tmp/other /mnt/a/other
page=$(devnode find "$node" /tmp/other)
check "a page of the file is found on the media" test -n "$page"
echo $(($(cat /sys/bus/nd/devices/namespace0.0/resource) + page * K)) >/sys/devices/system/memory/hard_offline_page
says "it fails" "$(name_of namespace0.0): memory failure of pages $page"
bad=0 good=0
for f in /mnt/a/kept /mnt/a/round*; do
	if cmp -s "$f" /tmp/data; then good=$((good + 1)); else bad=$((bad + 1)); fi
done
is "other files that are bad now, and good" "0 6" "$bad $good"
denied "its reader is told" "Input/output error" cat /mnt/a/other
is "what is behind it can be read" "$(dd if=/tmp/other bs=4k skip=1 2>/dev/null | md5sum)" "$(dd if=/mnt/a/other bs=4k skip=1 2>/dev/null | md5sum)"
check "the file may be removed" rm /mnt/a/other
check "the file system works" sh -c 'cp /tmp/data /mnt/a/new && cmp /tmp/data /mnt/a/new'
check "unmount" umount /mnt/a
check "unloads" rmmod pfnfs
done_testing
