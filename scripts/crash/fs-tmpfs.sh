# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
# For guest scripts under the store trace: tmpfs, the floor of what the VFS costs. As fs-ext4.sh, with the same functions.

SYNC=
TYPE=tmpfs
OPTIONS=size=256m

fs_load() { :; }
fs_make() { :; }

fs_source() {
	echo none
}

fs_mount() {
	mount -t tmpfs -o "$OPTIONS" none "$2"
}
