#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# guest: size=none load=no append=memmap=2M$512M add=hostile.images timeout=240
# Hostile images (scripts/fuzz): mounted and used one after the other, by system calls. An errno is all that may come of it.
. ./lib.sh
plan 6

check "the device is as small as the images" modprobe pfnfs phys=$((512 << 20)) size=$((2 << 20))
count=60
if grep -q guest.kernel=debug /proc/cmdline; then count=500; fi
check "$count images are mounted and used" hostile /bin/hostile.images /dev/pfnfs0 pfnfs0 /mnt $count
sed 's/^/# /' $OUT
says "damage was met, and named" 'pfnfs0: .*corrupt at byte'
check "a sound volume afterwards" fresh
check "is used and unmounted" sh -c 'echo x >/mnt/x && umount /mnt'
check "the module can go" rmmod pfnfs
done_testing
