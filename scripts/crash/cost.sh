# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
# guest: load=no size=64M share=root smp=1
# Runs in a guest under the store trace, with counting: scripts/trace/cost.c on one file system.
set -e
. /crash/fs.sh
. /crash/options
echo "KTAP version 1"
echo "1..1"
fs_load
fs_make
fs_mount 0x100000000 /mnt
mkdir /mnt/ops
cost ops /mnt/ops ${SYNC:+sync}
umount /mnt
if [ "$TYPE" != tmpfs ]; then
	source=$(fs_source 0x100000000)
	cost mount "mount" "$source" /mnt "$TYPE" "$OPTIONS"
	fs_mount 0x100000000 /mnt
	mkdir /mnt/many
	cost files /mnt/many "$FILES"
	umount /mnt
	cost mount "mount $FILES" "$source" /mnt "$TYPE" "$OPTIONS"
fi
# The serial line is slow.
[ -z "$HOT" ] || sed -n 's/^\([0-9a-f]*\) [tTwW] /\1 /p' /proc/kallsyms | gzip | base64 | sed 's/^/# symbols /'
echo "ok 1 cost"
