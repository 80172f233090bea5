#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# What a mount does in the background: the log is emptied and orphans are freed although nobody asks; nothing is stored when
# there is nothing to do, and nothing while the file system is frozen or read-only.
. ./lib.sh
plan 13

log() { sed -n "s/^$1 //p" /sys/kernel/debug/pfnfs/pfnfs0/log; }
settled() { [ "$(log drawn)" = "$(log cut)" ] && [ "$(log waiting)" = 0 ]; }
metadata() { dd if=/dev/pfnfs0 bs=1M count=8 2>/dev/null | sha256sum; }

check "a fresh file system is mounted" fresh
echo content >/mnt/file
before=$(log cut)
echo more >/mnt/gone
check "there is something in the log" [ "$(log drawn)" -gt "$before" ]
rm /mnt/gone
check "nobody asks, and after a while all is in its place" within 100 settled
check "the checkpoint has moved" [ "$(log cut)" -gt "$before" ]
cut=$(log cut) stored=$(metadata)
sleep 11
same "then it rests" "$cut" "$(log cut)"
same "and nothing is stored" "$stored" "$(metadata)"

for i in $(seq 40); do echo x >/mnt/x$i; done
rm /mnt/x*
sync
check "sync does it at once" settled
echo >/mnt/x1 && rm /mnt/x1
check "so does a freeze" fsfreeze --freeze /mnt
check "of all" settled
stored=$(metadata)
sleep 6
same "nothing is stored while it is frozen" "$stored" "$(metadata)"
check "thaw" fsfreeze --unfreeze /mnt
rm /mnt/file
check "unmount" umount /mnt
check "nothing is left to the next mount" sh -c 'dump.pfnfs /dev/pfnfs0 | grep -q clean'
done_testing
