#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# guest: size=64M
# mkfs.pfnfs: overwrites nothing without -f, sets what it is told, refuses what cannot be; dump.pfnfs reads what is there.
. ./lib.sh
plan 29

wipe() { # both ends: the last block has a copy of the superblock
	local size
	size=$(cat /sys/class/pfnfs/pfnfs0/size)
	for m in 0 1 2 3 $((size / 1048576 - 1)); do
		dd if=/dev/zero of=/dev/pfnfs0 bs=1M seek="$m" count=1 conv=notrunc 2>/dev/null
	done
}
# sign OFFSET BYTES: what somebody else's super block has there.
sign() { printf "$2" | dd of=/dev/pfnfs0 bs=1 seek="$1" conv=notrunc 2>/dev/null; }
# says_why TEXT PATTERN: the last command said so.
says_why() {
	cp $OUT /tmp/said
	check "$1" grep -i -- "$2" /tmp/said
}

wipe
check "an empty device" mkfs.pfnfs /dev/pfnfs0
refuses "not a second time" mkfs.pfnfs /dev/pfnfs0
says_why "and it says why" pfnfs
before=$(sha256sum </dev/pfnfs0)
refuses "nor with other options" mkfs.pfnfs -L other /dev/pfnfs0
same "nothing was written" "$before" "$(sha256sum </dev/pfnfs0)"
check "with -f" mkfs.pfnfs -f -L first -U 11111111-2222-3333-4444-555555555555 /dev/pfnfs0
dump.pfnfs /dev/pfnfs0 >/tmp/dump 2>&1
check "label and uuid are there" sh -c 'grep -q first /tmp/dump && grep -qi 11111111-2222-3333-4444-555555555555 /tmp/dump'
check "it mounts" mount -t pfnfs pfnfs0 /mnt
refuses "not while it is mounted" mkfs.pfnfs -f /dev/pfnfs0
check "unmount" umount /mnt

wipe
sign 1080 '\123\357'
refuses "ext4" mkfs.pfnfs /dev/pfnfs0
says_why "it says so" ext
wipe
sign 0 XFSB
refuses "xfs" mkfs.pfnfs /dev/pfnfs0
says_why "it says so" xfs
wipe
sign 65600 _BHRfS_M
refuses "btrfs" mkfs.pfnfs /dev/pfnfs0
says_why "it says so" btrfs
wipe
sign 510 '\125\252'
refuses "a partition table" mkfs.pfnfs /dev/pfnfs0
check "with -f also that" mkfs.pfnfs -f /dev/pfnfs0

refuses "a device that is not there" mkfs.pfnfs /dev/pfnfs9
refuses "a directory" mkfs.pfnfs /tmp
truncate -s 100K /tmp/tiny
refuses "an image that is too small" mkfs.pfnfs /tmp/tiny
refuses "a label of 33 bytes" mkfs.pfnfs -f -L 012345678901234567890123456789012 /dev/pfnfs0
refuses "a uuid that is none" mkfs.pfnfs -f -U nonsense /dev/pfnfs0

check "512 inodes" fresh -N 512
made=$(fsop many /mnt 2000 2>&1 | sed 's/f\([0-9]*\):.*/\1/')
check "are no more than 512, and most of these" test "$made" -gt 400 -a "$made" -le 512
check "unmount" umount /mnt

truncate -s 64M /tmp/image
check "an image file" mkfs.pfnfs -q /tmp/image
check "can be put on the device" dd if=/tmp/image of=/dev/pfnfs0 bs=1M conv=notrunc
check "and mounts" sh -c 'mount -t pfnfs pfnfs0 /mnt && touch /mnt/file && umount /mnt'
done_testing
