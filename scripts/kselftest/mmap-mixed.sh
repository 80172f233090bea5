#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Everything at the same time on one file: faults of both sizes, truncation, allocation, cleaning, read(2), write(2).
. ./lib.sh
plan 9

check "a fresh file system is mounted" fresh
touch /mnt/first && rm /mnt/first
before=$(free)
cut="cut"
[ $FS = pfnfs ] || cut="keep"                        # ext4 and xfs hang
check "without truncation, from holes" race /mnt/f 10 1 keep
check "for some seconds" race /mnt/f 10 2 $cut
check "with another seed" race /mnt/f 10 3 $cut
mkdir /mnt/d
sync
check "with caches dropped meanwhile" sh -c '
	race /mnt/d/f 10 4 $1 &
	for i in 1 2 3 4 5 6 7 8 9; do sleep 1; echo 3 >/proc/sys/vm/drop_caches; done
	wait $!' sh $cut
sum=$(sha256sum </mnt/f)
check "unmount and mount" again
same "the file is as it was" "$sum" "$(sha256sum </mnt/f)"
rm -r /mnt/d /mnt/f
same "nothing is lost" "$before" "$(free)"
check "unmount" umount /mnt
done_testing
