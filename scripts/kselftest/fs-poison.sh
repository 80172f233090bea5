#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# guest: size=64M smp=1 load=no append=memmap=64M!512M needs=libnvdimm monitor=yes
# Memory that fails under a mounted file system. In a file: EIO for those bytes alone, until the whole page is written anew,
# which repairs it where the platform can (legacy memory: can; QEMU's NVDIMM: cannot). In metadata: the file system says so
# and changes nothing any more. What was there before stays readable.
. ./device-lib.sh
plan 44

K=4096
check "loads" modprobe pfnfs
for ns in /sys/bus/nd/devices/namespace*; do
	[ -d "$ns/pfnfs" ] || continue
	case $(readlink -f "$ns") in
	*e820*) legacy=${ns##*/} ;;
	*) dimm=${ns##*/} ;;
	esac
done
seq 1 300000 | head -c 1048576 >/tmp/data
page() { dd if="${2-/mnt/file}" bs=$K skip="$1" count=1 2>/dev/null | md5sum; }      # page NUMBER [FILE]
# lose PAGE: memory of $node fails
lose() { fails_at $(($(cat "/sys/bus/nd/devices/$ns/resource") + $1 * K)); }
block() { dump.pfnfs "$node" extents "$1" | sed -n "s/^file $2 +.* device \([0-9]*\).*/\1/p"; }  # block /FILE FIRST
# The first byte of the log and the length of half a lane. One CPU uses one lane.
log() { dump.pfnfs --no-replay "$node" | sed -n 's/^log .* of 2 x \([0-9]*\) bytes from byte \(0x[0-9a-f]*\)$/\2 \1/p'; }
start() { # start NAMESPACE: a file system with some files on it, mounted
	ns=$1 node=/dev/$(name_of "$1")
	mkfs.pfnfs -f "$node" && mount -t pfnfs "${node##*/}" /mnt && cp /tmp/data /mnt/file && cp /tmp/data /mnt/other &&
		mkdir /mnt/dir && echo content >/mnt/dir/small
}

for n in $legacy $dimm; do
	check "$n: a file system" start "$n"
	bad=$(($(block /file 0) + 100))
	check "$n: a page of a file fails" lose $bad
	denied "$n: it cannot be read" "Input/output error" dd if=/mnt/file of=/dev/null bs=$K skip=100 count=1
	is "$n: its neighbours can" "$(page 99 /tmp/data) $(page 101 /tmp/data)" "$(page 99) $(page 101)"
	is "$n: a read across it stops there" $((100 * K)) "$(dd if=/mnt/file bs=1M count=1 2>/dev/null | wc -c)"
	denied "$n: a part of it cannot be written" "Input/output error" \
		dd if=/tmp/data of=/mnt/file bs=512 seek=800 count=1 conv=notrunc
	check "$n: nor loaded from a mapping" mapper open /mnt/file r map 1M 0 shared r lost 400k r
	check "$n: all else works" sh -c 'echo new >/mnt/new && mv /mnt/new /mnt/dir/new && cmp /mnt/other /tmp/data'
done

denied "a platform that cannot repair it says so" "Input/output error" \
	dd if=/tmp/data of=/mnt/file bs=$K seek=100 skip=100 count=1 conv=notrunc
check "a new block in its place can be had" mapper open /mnt/file rw punch 400k 4k
check "and written" dd if=/tmp/data of=/mnt/file bs=$K seek=100 skip=100 count=1 conv=notrunc
check "and the file is whole" cmp /mnt/file /tmp/data
rm /mnt/file
free=$(stat -f -c %f /mnt)
has() { for f in /full /rest; do dump.pfnfs "$node" extents $f; done | sed -n 's/^file [0-9]* +\([0-9]*\) device \([0-9]*\).*/\1 \2/p' |
	awk -v b="$1" '$2 <= b && b < $2 + $1 { found = 1 } END { exit !found }'; }
check "nearly all space is given to a file" mapper open /mnt/full rwc alloc 0 $(((free - 20) * K))
dd if=/dev/zero of=/mnt/rest bs=$K 2>/dev/null
check "also around what has failed" has $((bad - 1))
refuses "but not that" has $bad
rm /mnt/full /mnt/rest
check "unmounts" umount /mnt

# In metadata: the file system on the legacy memory is still there.
ns=$legacy node=/dev/$(name_of "$legacy")
umount /mnt
check "mounted again" mount -t pfnfs "${node##*/}" /mnt
denied "the page is still failed" "Input/output error" dd if=/mnt/file of=/dev/null bs=$K skip=100 count=1
check "a whole page written anew repairs it" dd if=/tmp/data of=/mnt/file bs=$K seek=100 skip=100 count=1 conv=notrunc
check "the file is whole again" cmp /mnt/file /tmp/data
check "also through a mapping" mapper open /mnt/file rw map 1M 0 shared rw put 400k 4k 6 fsync fget 400k 4k 6
check "and after another mount" sh -c "umount /mnt && mount -t pfnfs ${node##*/} /mnt && \
	mapper open /mnt/file r map 1M 0 shared r get 400k 4k 6"
# shellcheck disable=SC2046
set -- $(log)
for at in $(seq $(($1 / K)) $(($1 / K + 2 * $2 / K - 1))); do lose "$at"; done
denied "a change whose log is lost fails" "Input/output error" mkdir /mnt/dir/more
says "the log says that nothing is changed any more" "${node##*/}: metadata is lost or wrong: read-only from now on"
denied "it is not" "Read-only file system" rm /mnt/other
denied "nor are files" "Read-only file system" dd if=/tmp/data of=/mnt/other bs=$K count=1 conv=notrunc
check "nor by mappings" mapper open /mnt/other rw map 1M 0 shared rw bus 0 w get 0 1 49
is "what was there can be read" content "$(cat /mnt/dir/small)"
check "all of it" cmp /mnt/other /tmp/data
check "unmounts" umount /mnt
refuses "what cannot be replayed is not mounted" mount -t pfnfs "${node##*/}" /mnt
says "the log says why" "${node##*/}: memory at byte 0x[0-9a-f]* cannot be read"
check "but for reading without the log" mount -t pfnfs -o ro,norecovery "${node##*/}" /mnt
check "with everything" cmp /mnt/other /tmp/data
umount /mnt
check "unloads" rmmod pfnfs
done_testing
