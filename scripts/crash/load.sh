# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
# guest: load=no size=64M share=root
# Runs in a guest under the store trace: the workload, the first half before a remount, so that what the first mount left in place counts too.
set -e
. /crash/fs.sh
. /crash/options
echo "KTAP version 1"
echo "1..1"
fs_load
fs_make
fs_mount 0x100000000 /mnt
mkdir /mnt/work
sync
# shellcheck disable=SC2086
crash-load run /mnt/work --seed "$SEED" --steps $((STEPS / 2)) $SYNC
umount /mnt
fs_mount 0x100000000 /mnt
# shellcheck disable=SC2086
crash-load run /mnt/work --seed "$SEED" --steps "$STEPS" --first $((STEPS / 2 + 1)) $SYNC
crash-load check /mnt/work --seed "$SEED" --done "$STEPS" --begun "$STEPS"
rm -rf /mnt/work
umount /mnt
fs_mount 0x100000000 /mnt
echo "# emptied $(stat -f -c '%f %d' /mnt)"
umount /mnt
echo "ok 1 workload"
