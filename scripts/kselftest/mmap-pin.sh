#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Pages that the kernel holds (pipes, direct I/O) while the file is truncated, removed or unmounted: everybody waits for
# the pin and nobody longer, also while other processes keep touching the mapping.
. ./lib.sh
plan 31

check "a fresh file system is mounted" fresh
cd /mnt || exit 1
touch first && rm first
before=$(free)
check "truncate to nothing waits for a pin" pin truncate f 0 alone
check "truncate into the middle of a 2 MiB page" pin truncate f 2101248 alone
if [ $FS = pfnfs ]; then
	# ext4 and xfs hang here.
	check "truncate while others touch the mapping" pin truncate f 0 touched
	check "into the middle of a 2 MiB page" pin truncate f 2101248 touched
	check "truncate in a loop while others touch and read it" pin loop f
else
	for i in 1 2 3; do ktap_test_skip "truncate while others touch the mapping"; done
fi
check "who waits for a pin can be killed" pin kill f
check "pinned bytes outlive the file" pin unlink f g
if [ $FS = pfnfs ]; then
	# ext4 and xfs hang here as well.
	check "who pins pages and lets go of the file last does not wait for himself" pin self f g
	check "nor does who ends with pinned pages" pin exit f
	check "a truncation takes the set-user-id bits first" pin rights f
else
	for i in 1 2 3; do ktap_test_skip "who pins pages and lets go last"; done
fi
check "no pin for ever" pin uring f

# shellcheck source=scripts/kselftest/disk-lib.sh
. "$TESTS/disk-lib.sh"
if [ "$KERNEL" != noblock ]; then
	check "a device for direct I/O" disk
	check "direct I/O into and from the mapping" pin direct f $disk
	check "direct I/O against truncation" pin direct-race f $disk 5
else
	ktap_test_skip "a device for direct I/O"
	ktap_test_skip "direct I/O into and from the mapping"
	ktap_test_skip "direct I/O against truncation"
fi
check "the file system's own O_DIRECT" sh -c 'dd if=/dev/zero bs=4k count=1 of=f conv=notrunc 2>/dev/null; dd if=f of=/dev/null bs=4k iflag=direct'

rm -f f g
same "nothing is lost" "$before" "$(free)"

cd /
# A pinned file without a name, and the blocks it has, last until the pin goes; also over an unmount.
unmount_waits hold-unlinked
check "mount" mount_fs
same "nothing is lost" "$before" "$(free)"

unmount_waits hold
check "nothing is mounted" sh -c '! grep -q " /mnt " /proc/mounts'
check "mount" mount_fs
same "nothing is lost then either" "$before" "$(rm /mnt/held; free)"
check "unmount" umount /mnt
done_testing
