# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
# For the scripts that need a block device for direct I/O.

# disk: $disk is one of 64 MiB.
disk() {
	if modprobe brd rd_nr=1 rd_size=65536 2>/dev/null; then
		disk=/dev/ram0
	else
		disk=/dev/loop0
		modprobe loop && truncate -s 64M /tmp/disk && losetup $disk /tmp/disk
	fi
	within 10 test -b $disk
}
