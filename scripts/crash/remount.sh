# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
# guest: load=no size=64M share=root
# Runs in a guest under the store trace, on a cut image: the recovery is the one step.
set -e
. /crash/fs.sh
echo "KTAP version 1"
echo "1..1"
fs_load
mark 1 1
fs_mount 0x100000000 /mnt
umount /mnt
mark 2 1
echo "ok 1 recovery"
