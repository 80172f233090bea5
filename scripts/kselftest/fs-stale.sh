#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# guest: size=64M smp=4
# File handles of what is gone, and of what is being made at this moment: they find it or are stale, and stop nothing.
. ./lib.sh
plan 8

check "a fresh file system is mounted" fresh
check "generations begin anywhere" stale generations /mnt
check "one that has 240 inodes" fresh -N 256
check "a number is used again while its old handle is looked for" stale gone /mnt 3000
check "the volume can be changed" mv /mnt/fill /mnt/full
check "another one" fresh -N 256
check "a directory that is found while it is made has one dentry" stale born /mnt 600
umount /mnt
check "the volume is sound" fsck.pfnfs -fn $DEV
done_testing
