#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# A frozen file system: writers wait, readers do not.
. ./lib.sh
plan 7

check "a fresh file system is mounted" fresh
echo content >/mnt/file
check "freeze" fsfreeze --freeze /mnt
(echo late >/mnt/late; echo waited >/tmp/late) &
sleep 1
same "reading works" content "$(cat /mnt/file)"
check "a writer waits" [ ! -e /tmp/late ]
check "thaw" fsfreeze --unfreeze /mnt
wait
same "and goes on then" "waited late" "$(cat /tmp/late) $(cat /mnt/late)"
check "unmount" umount /mnt
done_testing
