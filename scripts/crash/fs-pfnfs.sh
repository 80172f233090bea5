# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
# For guest scripts under the store trace: pfnfs. As fs-ext4.sh, with the same functions.

TYPE=pfnfs
OPTIONS=
SYNC=

fs_load() {
	modprobe pfnfs
}

fs_source() { # fs_source ADDRESS: what to mount
	for dev in /sys/class/pfnfs/pfnfs*; do
		if [ $(($(cat "$dev/device/../resource"))) = $(($1)) ]; then
			echo "${dev##*/}"
			return
		fi
	done
	echo "no device at $1" >&2
	return 1
}

fs_make() {
	mkfs.pfnfs -f "/dev/$(fs_source 0x100000000)"
}

fs_mount() {
	mount -t pfnfs "$(fs_source "$1")" "$2"
}
