# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
# guest: load=no size=16M
# Runs in a guest under the store trace: many short workloads on one small file system with a small log, with a remount after every sixteen.
set -e
. /crash/fs.sh
. /crash/options
echo "KTAP version 1"
echo "1..1"
fs_load
crash-load symbols
mkfs.pfnfs -f -q --lanes 2 --half-size 8192 "/dev/$(fs_source 0x100000000)"
first=1
while [ $first -le "$WORKLOADS" ]; do
	last=$((first + 15))
	[ $last -le "$WORKLOADS" ] || last=$WORKLOADS
	fs_mount 0x100000000 /mnt
	crash-load suite /mnt --first $first --last $last --seed "$SEED"
	umount /mnt
	first=$((last + 1))
done
fs_mount 0x100000000 /mnt
rm -rf /mnt/w*
umount /mnt
fs_mount 0x100000000 /mnt
echo "# emptied $(stat -f -c '%f %d' /mnt)"
umount /mnt
echo "ok 1 workloads"
