# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
# For guest scripts under the store trace: ext4 with DAX on nd_pmem. Needs the guest option share=root, for mke2fs.
# fs_make makes a file system on the first NVDIMM; fs_mount ADDRESS DIR mounts that of the NVDIMM at a physical address.

TYPE=ext4
OPTIONS=dax
SYNC=--sync                                        # its system calls are not durable by themselves

fs_load() {
	modprobe nd_pmem
	modprobe ext4
}

# DAX needs struct pages, which nd_pmem has only with an info block.
fs_make() {
	nd=/sys/bus/nd
	[ ! -e $nd/drivers/nd_pmem/namespace0.0 ] || echo namespace0.0 >$nd/drivers/nd_pmem/unbind
	pfn=$(cat $nd/devices/region0/pfn_seed)
	echo ram >"$nd/devices/$pfn/mode"
	cat /proc/sys/kernel/random/uuid >"$nd/devices/$pfn/uuid"
	echo namespace0.0 >"$nd/devices/$pfn/namespace"
	echo "$pfn" >$nd/drivers/nd_pmem/bind
	LD_LIBRARY_PATH=/share/usr/lib/x86_64-linux-gnu /share/usr/lib64/ld-linux-x86-64.so.2 /share/usr/sbin/mke2fs \
		-q -t ext4 -b 4096 -U 0b5e1e3c-5a1c-4b0e-8a55-70666e667300 -E hash_seed=0b5e1e3c-5a1c-4b0e-8a55-70666e667300 /dev/pmem0
}

fs_source() { # fs_source ADDRESS: what to mount
	for disk in /sys/block/pmem*; do
		if [ $(($(cat "$disk/device/../resource"))) = $(($1)) ]; then
			echo "/dev/${disk##*/}"
			return
		fi
	done
	echo "no disk at $1" >&2
	return 1
}

fs_mount() {
	mount -t ext4 -o dax "$(fs_source "$1")" "$2"
}
