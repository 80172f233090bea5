#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# The demo's first half, up to the power cut.
. /demo/lib.sh

tell "The kernel is Debian's, as it comes; the NVDIMM has no driver yet."
run uname -r
run cat /sys/bus/nd/devices/namespace0.0/size
tell "Load the module: it finds the NVDIMM and makes a device of it."
run modprobe pfnfs
dmesg | grep pfnfs: | sed 's/^/      /'
run ls -l /dev/pfnfs0
tell "Make a file system and mount it directly on that device. There is no block device:"
run mkfs.pfnfs /dev/pfnfs0
run mount -t pfnfs pfnfs0 $MNT
run grep $MNT /proc/mounts
run ls -A /sys/block
tell "Copy a real tree: $(find "$TREE" -type f | wc -l) files, $(du -sh "$TREE" | cut -f1) of the kernel's documentation."
run cp -a "$TREE" $MNT/tree
run df -h $MNT
tell "Run a program that is stored on it."
run cp /bin/busybox $MNT/busybox
run $MNT/busybox echo "hello from persistent memory"
tell "Map a file of 64 MiB: every page of it by a 2 MiB entry of the page table (PAGEMAP_SCAN says so)."
run mapper open $MNT/big rwc truncate 64M alloc 0 64M map 64M 0 shared rw put 0 64M 165 huge 32 msync 0 64M
tell "Names, links, a hole, and a file that is unlinked while it is open."
run ln -s documentation/index.rst $MNT/link
run mv $MNT/tree $MNT/documentation
run truncate -s 1G $MNT/sparse
exec 7>$MNT/gone
rm $MNT/gone
run ls -l $MNT
run sync
tell "Nothing is unmounted. This is the moment in which the power fails."
mark 1
exit 0
