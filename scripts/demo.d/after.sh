#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# The demo's second half: what the power cut left.
. /demo/lib.sh

run modprobe pfnfs
run mount -t pfnfs pfnfs0 $MNT
dmesg | grep pfnfs: | sed 's/^/      /'
run ls -l $MNT
tell "Compare the tree with its original, byte for byte."
run diff -r "$TREE" $MNT/documentation
tell "The program still runs; it equals its original."
run cmp /bin/busybox $MNT/busybox
run $MNT/busybox echo "hello again"
tell "The mapped file: 64 MiB of the same byte, again by 2 MiB pages."
run mapper open $MNT/big rw map 64M 0 shared rw get 0 64M 165 huge 32
tell "The link, the sparse file; the unlinked file has given back its space."
run sh -c "[ \"\$(readlink $MNT/link)\" = documentation/index.rst ]"
run sh -c "[ \$(stat -c %s $MNT/sparse) = 1073741824 ]"
run test ! -e $MNT/gone
run df -h $MNT
run umount $MNT
run rmmod pfnfs
