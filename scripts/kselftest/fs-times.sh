#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# guest: size=64M weight=30
# Times, and all that stat(2) shows: each call moves what it has to and nothing else, whatever the call before it was, and what is
# shown stays what it is, through write-back, eviction, a remount and, after fsync(2), a power cut.
. ./lib.sh
plan 48

of=1
[ ! -e /proc/lockdep ] || of=6                        # it takes many times as long there
ends="nothing fsync sync evict flusher"

# What is done before the objects are looked at again.
finish() {
	case $1 in
	nothing) ;;
	fsync) filetime sync $SAVE $SAVE.synced ;;
	sync) sync ;;
	evict) echo 3 >/proc/sys/vm/drop_caches ;;
	flusher)
		echo 1 >/proc/sys/vm/dirty_writeback_centisecs
		echo 1 >/proc/sys/vm/dirty_expire_centisecs
		sleep 0.5
		echo 500 >/proc/sys/vm/dirty_writeback_centisecs
		echo 3000 >/proc/sys/vm/dirty_expire_centisecs
		echo 3 >/proc/sys/vm/drop_caches
		;;
	esac
}

# The device as a power cut would leave it.
cut_power() {
	[ $FS = pfnfs ] || return 0
	cat $DEV >/tmp/image && umount /mnt && cat /tmp/image >$DEV && rm /tmp/image && mount_fs
}

for end in $ends; do
	SAVE=/tmp/times.$end
	check "a fresh file system ($end)" fresh
	check "pairs of calls" filetime pairs /mnt $SAVE $of
	check "$end" finish "$end"
	check "all as before" filetime same $SAVE
	check "unmount and mount" again
	check "all as before" filetime same $SAVE
done

check "a fresh file system (a power cut)" fresh
check "pairs of calls" filetime pairs /mnt /tmp/times.cut $of
check "fsync of each" filetime sync /tmp/times.cut /tmp/times.synced
check "a power cut" cut_power
check "all as before" filetime same /tmp/times.synced

check "a fresh file system (read-only)" fresh
check "pairs of calls" filetime pairs /mnt /tmp/times.ro $of
check "made read-only" mount -o remount,ro /mnt
check "all as before" filetime same /tmp/times.ro
check "a power cut" cut_power
check "all as before" filetime same /tmp/times.ro

check "a fresh file system (lazytime)" fresh
check "mounted with lazytime" mount -o remount,lazytime /mnt
check "pairs of calls" filetime pairs /mnt /tmp/times.lazy $of
check "fsync of each" filetime sync /tmp/times.lazy /tmp/times.synced
check "a power cut" cut_power
check "all as before" filetime same /tmp/times.synced
check "unmount" umount /mnt
done_testing
