#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# guest: size=16M load=no needs=libnvdimm timeout=600
# Mounts that may not store: read-only ones, with and without recovery, a frozen one, one whose metadata was found wrong, and
# devices that are flagged read-only. Whatever is done there, no byte of the device changes, and nothing beyond the end
# of a file is seen.
. ./device-lib.sh
plan 80

DEV=/dev/pfnfs0
BLOCK=4096
region=/sys/bus/nd/devices/region0/read_only
counters=/sys/kernel/debug/pfnfs/pfnfs0/counters
mount -t debugfs none /sys/kernel/debug 2>/dev/null

take() { cat $DEV >"/tmp/$1"; }
restore() { cat "/tmp/$1" >$DEV; }
unchanged() { same "$1: not a byte of the device has changed" "" "$(cmp $DEV /tmp/before 2>&1)"; }
copies() { sed -n 's/^inserted_copies //p' $counters; }
dump() { dump.pfnfs --no-replay $DEV "$@"; }

# Files whose last block has bytes of something else behind the end.
files() {
	mapper open /mnt/small rwc fput 0 4k 90 truncate 100 fput 0 100 65 close &&
		mapper open /mnt/large rwc fput 0 2M 90 truncate 2097052 fput 0 2097052 65 close &&
		mkdir /mnt/dir && cp /bin/busybox /mnt/dir/program && ln -s dir/program /mnt/busybox &&
		echo gone >/mnt/gone && fsop handle /mnt/gone /tmp/h.gone && rm /mnt/gone &&
		fsop handle /mnt/small /tmp/h.small && fsop handle /mnt/dir /tmp/h.dir && sync
}

# Mapped in each way that does not ask to write the file.
mapped() {
	mapper open /mnt/small r map 4k 0 shared r get 0 100 65 get 100 3996 0 \
		map 4k 0 private r get 100 3996 0 get 0 100 65 \
		map 4k 0 private rw put 0 1 66 get 1 99 65 get 100 3996 0 \
		map 4k 0 private rw get 100 3996 0 put 200 1 66 get 0 100 65 get 201 3895 0 \
		open /mnt/large r map 2M 0 shared r get 0 2097052 65 get 2097052 100 0 \
		map 2M 0 private r get 2097052 100 0 get 0 4k 65
}

# All that does not change anything. everything [ignore]: where the times of what was read cannot be made durable, of which
# fsync tells.
everything() {
	ls /mnt /mnt/dir >/dev/null 2>&1
	stat -f /mnt >/dev/null || return 1
	for f in /mnt/*; do [ $f = /mnt/rotten ] || stat $f >/dev/null || return 1; done
	cat /mnt/small /mnt/large /mnt/dir/program >/dev/null && mapped || return 1
	[ "$(/mnt/busybox echo runs)" = runs ] || return 1
	[ "$(fsop openhandle /mnt /tmp/h.small | tr -dc A | wc -c)" = 100 ] || return 1
	[ "$(fsop openhandle /mnt /tmp/h.dir)" = /mnt/dir ] || return 1
	[ "$(fsop openhandle /mnt /tmp/h.gone 2>&1)" = "open_by_handle_at: ESTALE" ] || return 1
	# shellcheck disable=SC2086
	mapper open /mnt/small r $1 fsync $1 fdatasync && sync && echo 3 >/proc/sys/vm/drop_caches && mapped
}

denies() { # denies TEXT: whoever wants to change something is told that he cannot
	fails "$1: no file is made" EROFS creat /mnt/new
	fails "$1: none removed" EROFS unlink /mnt/small
}

check "loads" modprobe pfnfs
check "a file system" fresh
check "with files" files
check "it is unmounted" umount /mnt
take clean

# Read-only.
check "ro: mounted" mount -t pfnfs -o ro pfnfs0 /mnt
take before
check "ro: all works" everything
check "ro: as copies of the last blocks" [ "$(copies)" -gt 0 ]
denies ro
check "ro: unmounted" umount /mnt
unchanged ro
same "ro: nor by the mount" "" "$(cmp $DEV /tmp/clean 2>&1)"

# A volume that was cut right after a returned append: the record and the data are there, the inode is still the old one.
check "dirty: mounted" mount_fs
head -c 100 /dev/zero | tr '\0' A >/mnt/small
sync
take one
head -c 3000 /dev/zero | tr '\0' B >>/mnt/small
take two
check "dirty: unmounted" umount /mnt
# shellcheck disable=SC2046
set -- $(dump | sed -n 's/^log *\([0-9]*\) .* of 2 x \([0-9]*\) bytes from byte \(0x[0-9a-f]*\)$/\1 \2 \3/p')
cp /tmp/one /tmp/cut
put_blocks() { # put_blocks FIRST COUNT: blocks of the second image
	dd if=/tmp/two of=/tmp/cut bs=$BLOCK skip="$1" seek="$1" count="$2" conv=notrunc 2>/dev/null
}
put_blocks $(($3 / BLOCK)) $((2 * $1 * $2 / BLOCK))
put_blocks "$(dump extents /small | sed -n 's/^file 0 +.* device \([0-9]*\).*/\1/p')" 1
restore cut

check "norecovery: mounted" mount -t pfnfs -o ro,norecovery pfnfs0 /mnt
take before
same "norecovery: the size is the old one" 100 "$(stat -c %s /mnt/small)"
check "norecovery: all works" everything
check "norecovery: as copies" [ "$(copies)" -gt 0 ]
denies norecovery
check "norecovery: unmounted" umount /mnt
unchanged norecovery
same "norecovery: nor by the mount" "" "$(cmp $DEV /tmp/cut 2>&1)"
check "after it: mounted for reading" mount -t pfnfs -o ro pfnfs0 /mnt
same "after it: the append is there" "3100 3000" "$(stat -c %s /mnt/small) $(tr -dc B </mnt/small | wc -c)"
take before
check "after it: nothing is seen beyond it" mapper open /mnt/small r map 4k 0 shared r get 100 3000 66 get 3100 996 0
check "after it: unmounted" umount /mnt
unchanged "after it"

# Frozen.
restore clean
check "frozen: mounted" mount_fs
echo more >/mnt/more
check "frozen: frozen" fsfreeze --freeze /mnt
take before
check "frozen: all works" everything
check "frozen: as copies" [ "$(copies)" -gt 0 ]
unchanged frozen
check "frozen: thawed" timeout 20 fsfreeze --unfreeze /mnt
# With a mapping of the file that was made while it was frozen, of a page that nobody had mapped before: it is a copy.
with_copy() {
	again && mapper open /mnt/small rw map 4k 0 shared rw freeze "$@" && [ "$(copies)" = 1 ]
}
check "frozen: who had mapped a copy sees what is written after the thaw" \
	with_copy get 0 100 65 get 100 3996 0 thaw fput 10 1 66 get 10 1 66 get 11 89 65 get 100 3996 0
check "frozen: and stores into the file" with_copy get 0 10 65 thaw put 20 1 67 fget 20 1 67 get 100 3996 0 fsync
check "frozen: a store waits for the thaw" \
	with_copy get 0 10 65 bg sleep 500 thaw end put 21 1 68 wait fget 21 1 68
check "frozen: sees an append" with_copy get 0 10 65 thaw fput 100 50 68 get 100 50 68 get 150 3946 0
check "frozen: sees its end cut" with_copy get 100 50 68 thaw truncate 40 get 30 10 65 get 40 4056 0
check "frozen: and what was punched" with_copy get 30 10 65 thaw punch 0 10 get 0 10 0 get 30 10 65
check "frozen: a child has it too" with_copy get 30 10 65 child get 30 10 65 get 40 4056 0 end thaw \
	fput 30 10 69 get 30 10 69 child get 30 10 69 end
check "frozen: a pinned copy stays as it was" with_copy get 30 10 69 pin 30 10 thaw fput 30 10 70 get 30 10 70 pinned 69
check "frozen: unmounted" umount /mnt

# From reading to writing.
check "remounted: mounted for reading" mount -t pfnfs -o ro pfnfs0 /mnt
check "remounted: who had mapped a copy sees what is written later" \
	mapper open /mnt/small r map 4k 0 shared r get 30 10 70 get 40 4056 0 remount /mnt rw \
	open /mnt/small rw fput 30 10 71 get 30 10 71 get 40 4056 0
check "remounted: unmounted" umount /mnt

# Metadata is found wrong.
restore clean
check "stopped: mounted" mount_fs
echo rotten >/mnt/rotten
check "stopped: unmounted" umount /mnt
slot=$(dump inode /rotten | sed -n 's/^inode .* at byte \(0x[0-9a-f]*\).*/\1/p')
put $DEV $((slot + 16)) r
check "stopped: mounted again" mount_fs
echo more >/mnt/more
check "stopped: an inode is rotten, and who maps a file for writing gets SIGBUS from then on" \
	mapper alarm 100 open /mnt/large rw map 2M 0 shared rw put 0 1 65 ignore open /mnt/rotten r stops 0
refuses "stopped: it cannot be used" stat /mnt/rotten
says "stopped: nothing is changed from now on" 'pfnfs0: metadata is lost or wrong: read-only from now on'
take before
check "stopped: all else works" everything ignore
check "stopped: as copies" [ "$(copies)" -gt 0 ]
denies stopped
fails "stopped: no directory is made" EROFS mkdir /mnt/more.d
refuses "stopped: no file gets another size" truncate -s 50 /mnt/small
refuses "stopped: nor a larger one" truncate -s 5000 /mnt/small
refuses "stopped: nor other bytes" mapper open /mnt/small rw fput 0 1 66
sync
check "stopped: unmounted" umount /mnt
unchanged stopped

# The device is flagged, while it is mounted and before.
restore clean
check "flagged: mounted" mount_fs
echo more >/mnt/more
flagged() {
	mkfifo /tmp/go
	mapper alarm 100 open /mnt/large rw map 2M 0 shared rw put 0 1 65 open /tmp/go r stops 0 &
	: >/tmp/go # when it has stored
	echo 1 >$region
	wait $!
}
check "flagged: who maps a file for writing gets SIGBUS from then on" flagged
is "flagged: the device is read-only" 1 "$(cat /sys/class/pfnfs/pfnfs0/read_only)"
take before
check "flagged: all works" everything ignore
denies flagged
refuses "flagged: no other bytes" mapper open /mnt/small rw fput 0 1 66
check "flagged: unmounted" umount /mnt
unchanged flagged
fails "flagged: the log cannot be replayed" EROFS mount pfnfs0 /mnt ro
check "flagged: mounted without" mount -t pfnfs -o ro,norecovery pfnfs0 /mnt
check "flagged: all works there" everything
check "flagged: unmounted once more" umount /mnt
unchanged "flagged, without recovery"
echo 0 >$region
check "flagged no more: mounted" mount_fs
same "flagged no more: nothing is lost" more "$(cat /mnt/more)"
check "flagged no more: unmounted" umount /mnt
check "unloads" rmmod pfnfs
done_testing
