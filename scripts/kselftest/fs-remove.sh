#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# guest: needs=libnvdimm
# The device goes away while it is mounted and in use: everything fails with an error, nothing hangs, and what was done is
# there when it comes back.
. ./lib.sh
plan 16

check "a fresh file system is mounted" fresh
echo content >/mnt/file
dd if=/dev/urandom of=/mnt/data bs=1M count=4 2>/dev/null
before=$(sha256sum </mnt/data)
exec 3<>/mnt/file
mkdir /mnt/dir

ns=$(basename "$(echo /sys/bus/nd/drivers/pfnfs/namespace*)")
check "the driver is bound" [ -n "$ns" ]
check "it is taken away" sh -c "echo $ns >/sys/bus/nd/drivers/pfnfs/unbind"
refuses "read" cat /mnt/data
refuses "create" touch /mnt/new
refuses "write to an open file" sh -c 'echo x >&3'
refuses "mkdir" mkdir /mnt/newdir
refuses "rename" mv /mnt/file /mnt/file2
exec 3>&-
check "stat of what is known does not hang" stat /mnt
check "unmount" umount /mnt
refuses "it cannot be mounted" mount -t pfnfs pfnfs0 /mnt
check "it comes back" sh -c "echo $ns >/sys/bus/nd/drivers/pfnfs/bind"
check "mount" mount -t pfnfs pfnfs0 /mnt
same "what was there is there" "content $before" "$(cat /mnt/file) $(sha256sum </mnt/data)"
check "and it works" sh -c 'echo again >/mnt/again && [ "$(cat /mnt/again)" = again ]'
check "unmount" umount /mnt
done_testing
