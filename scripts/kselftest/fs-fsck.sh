#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# guest: size=64M
# fsck.pfnfs on the node of a device: not while it is mounted; it accepts what work leaves, repairs damage, and what it
# repaired can be mounted.
. ./lib.sh
plan 22

SYS=/sys/class/pfnfs/pfnfs0
# codes TEXT CODE ARGUMENT...: fsck.pfnfs ends with this code.
codes() {
	local text="$1" code="$2" rc=0
	shift 2
	fsck.pfnfs "$@" >/tmp/said 2>&1 || rc=$?
	[ "$rc" = "$code" ] || sed 's/^/# /' /tmp/said
	same "$text" "$code" "$rc"
}

codes "a device without a file system" 8 -n /dev/pfnfs0
check "a fresh file system is mounted" fresh
codes "not while it is mounted" 8 -n /dev/pfnfs0
check "it says so" grep -q "is mounted" /tmp/said
check "the device is the mount's" grep -q mount $SYS/holder

check "random work" data random /mnt/a 1 300 300000 nomap
check "many names" sh -c "mkdir /mnt/names && fsop many /mnt/names 3000"
mkdir -p /mnt/d/e/f && ln -s "$(printf '%0500d' 0)" /mnt/link && mkfifo /mnt/fifo && ln /mnt/a /mnt/d/b
sum=$(cd /mnt && sha256sum a d/b)
check "unmount" umount /mnt
before=$(sha256sum </dev/pfnfs0)
codes "it is clean" 0 -n -v /dev/pfnfs0
codes "also by the name that fsck(8) calls, which only looks whether it was unmounted" 0 -a /dev/pfnfs0
codes "and when it looks at everything" 0 -p -f /dev/pfnfs0
same "nothing was written" "$before" "$(sha256sum </dev/pfnfs0)"
same "the device is free again" none "$(cat $SYS/holder)"

# The superblock, and the second slot of the log.
printf 'rot' | dd of=/dev/pfnfs0 bs=1 seek=100 conv=notrunc 2>/dev/null
printf 'rot' | dd of=/dev/pfnfs0 bs=1 seek=6160 conv=notrunc 2>/dev/null
codes "damage is found" 4 -n /dev/pfnfs0
codes "and repaired" 1 -y /dev/pfnfs0
codes "for good" 0 -n /dev/pfnfs0

# The owner of a file, whose checksum is wrong then.
slot=$(dump.pfnfs /dev/pfnfs0 inode /a | sed -n 's/^inode .* at byte \(0x[0-9a-f]*\).*/\1/p')
printf 'r' | dd of=/dev/pfnfs0 bs=1 seek=$((slot + 16)) conv=notrunc 2>/dev/null
codes "a rotten inode is named" 4 -n /dev/pfnfs0
check "with its path" grep -Eq '\((/a|/d/b)\): checksum of an inode' /tmp/said
codes "and repaired" 1 -y /dev/pfnfs0
check "it mounts" mount_fs
same "the files are what they were" "$sum" "$(cd /mnt && sha256sum a d/b)"
check "unmount again" umount /mnt
done_testing
