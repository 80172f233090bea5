# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
# For the tests of mappings: a fresh file system on /mnt, and what debugfs says of it. mapper.c has the operations.
# shellcheck source=scripts/kselftest/lib.sh
. ./lib.sh

DEBUG=/sys/kernel/debug/pfnfs/pfnfs0

# fresh: two results.
fresh() {
	mkdir -p /mnt
	check "a file system is made" mkfs.pfnfs -f /dev/pfnfs0
	check "it is mounted" mount -t pfnfs pfnfs0 /mnt
}

# gone: one result.
gone() {
	check "it is unmounted" umount /mnt
}

# count NAME: a counter of the DAX layer.
count() {
	sed -n "s/^$1 //p" $DEBUG/counters
}

# mark: remembers the counters; grew NAME: by how much one has grown since.
mark() {
	cp $DEBUG/counters /tmp/counters
}

grew() {
	echo $(($(count "$1") - $(sed -n "s/^$1 //p" /tmp/counters)))
}

# equal TEXT A B
equal() {
	echo "# $2, expected $3"
	check "$1" [ "$2" = "$3" ]
}

# less TEXT A B: A is at most B.
atmost() {
	echo "# $2, expected at most $3"
	check "$1" [ "$2" -le "$3" ]
}

# entries FILE [PATTERN]: how many entries a file has whose line (inode index frame pages state) matches.
entries() {
	grep "^$(stat -c %i "$1") " $DEBUG/entries | grep -cE -- "${2-.}"
}
