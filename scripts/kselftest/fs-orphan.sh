#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Files without a name: they work as long as they are open, and give back what they occupied.
. ./lib.sh
plan 14

free() { stat -f -c '%f %d' /mnt; }              # blocks and inodes

check "a fresh file system is mounted" fresh
touch /mnt/first && rm /mnt/first                # what the root needs for its first entry stays with it
before=$(free)
check "a file that is unlinked while open works" fsop unlinked /mnt/u
same "and is gone when it is closed" "$before" "$(free)"
(fsop unlinked /mnt/long 3 >/tmp/long.out 2>&1; echo $? >/tmp/long.rc) &
sleep 1
check "the root is empty meanwhile" [ -z "$(ls -A /mnt)" ]
refuses "an open file without a name keeps the mount" umount /mnt
wait
same "it worked all the time" "0" "$(cat /tmp/long.rc)"
same "and has gone" "$before" "$(free)"

check "O_TMPFILE" fsop tmpfile /mnt /mnt/named
same "has its name" content "$(cat /mnt/named)"
check "unmount and mount" again
same "also from the media" content "$(cat /mnt/named)"
rm /mnt/named
same "everything is free again" "$before" "$(free)"

dd if=/dev/zero of=/mnt/big bs=1M count=64 2>/dev/null
rm /mnt/big
same "also of a large file" "$before" "$(free)"
check "unmount" umount /mnt
done_testing
