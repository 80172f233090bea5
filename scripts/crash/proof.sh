# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
# guest: load=no size=64M share=root
# Runs in a guest under the store trace: a program that stores in every way (scripts/trace/proof.c), on ext4 with DAX.
set -e
. /crash/fs.sh
echo "KTAP version 1"
echo "1..1"
fs_load
fs_make
fs_mount 0x100000000 /mnt
proof /mnt/file
umount /mnt
echo "ok 1 proof"
