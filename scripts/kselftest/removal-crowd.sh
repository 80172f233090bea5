#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# guest: needs=libnvdimm alone=yes timeout=300 weight=120
# The device goes, and memory fails, beside every kind of user at once: pins of four kinds, faults, freezes, files that lose
# their names, calls whose memory does not come. Whatever they are at, the device is removed within a minute, everybody ends, and
# what was durable is there. $FULL: 30 rounds.
. ./lib.sh
rounds=2
[ -z "$FULL" ] || rounds=30
plan $((rounds * 7 + 3))

drivers=/sys/bus/nd/drivers
# shellcheck source=scripts/kselftest/disk-lib.sh
. ./disk-lib.sh

# The namespace is taken from the driver, or its region from libnvdimm.
goes() {
	if [ $((round % 2)) = 1 ]; then echo namespace0.0 >$drivers/pfnfs/unbind; else echo region0 >$drivers/nd_region/unbind; fi
}
comes() {
	if [ $((round % 2)) = 1 ]; then echo namespace0.0 >$drivers/pfnfs/bind; else echo region0 >$drivers/nd_region/bind; fi
	within 30 test -c /dev/pfnfs0 && fsck.pfnfs -n /dev/pfnfs0 && mount -t pfnfs pfnfs0 /mnt
}

ended() { within 60 sh -c "case \$(sed -n 's/^State:.//p' /proc/$1/status 2>/dev/null) in '' | [ZX]*) ;; *) exit 1 ;; esac"; }
fine() { ended "$1" && wait "$1"; }
users=""
user() {
	removal "$@" >>/tmp/users.out 2>&1 &
	users="$users $!"
}
all_fine() {
	local failed=0
	for u in $users; do fine "$u" || { echo "$u: $?"; failed=1; }; done
	cat /tmp/users.out
	return $failed
}
# Pages of one file fail, one after the other, as long as there is a list of them.
fail_memory() {
	entries=/sys/kernel/debug/pfnfs/pfnfs0/entries
	for frame in $(grep "^$(stat -c %i /mnt/victim) [0-9]* 0x[0-9a-f]* 1 " $entries | cut -d' ' -f3 | head -n 30); do
		echo $((frame * 4096)) >/sys/devices/system/memory/hard_offline_page
		sleep 0.03
	done 2>/dev/null
}

check "a fresh file system is mounted" fresh
check "a device for direct I/O" disk
dd if=/dev/urandom of=/mnt/durable bs=1M count=2 2>/dev/null
before=$(sha256sum </mnt/durable)
for round in $(seq $rounds); do
	rm -f /tmp/go /tmp/ready* /tmp/users.out /mnt/blocked
	users=""
	for f in 1 2; do removal make /mnt/f$f; done
	mapper open /mnt/victim rwc truncate 0 alloc 0 256k map 256k 0 shared rw put 0 256k 5
	user append /mnt/log /tmp/appended
	user store /mnt/numbers /tmp/stored
	user vmsplice /mnt/f1
	user direct /mnt/f1 $disk read
	user direct /mnt/f2 $disk write
	user uring /mnt/f1 $disk
	user peer /mnt/f2
	user faults /mnt/f1
	user faults /mnt/victim
	user unlink /mnt
	user unlink /mnt
	user blocked /mnt/f2 4096 read /tmp/ready1 /tmp/go part
	user blocked /mnt/blocked 0 write /tmp/ready2 /tmp/go part
	within 60 test -e /tmp/ready1 -a -e /tmp/ready2
	[ $((round % 2)) = 0 ] || user freeze /mnt
	sleep 0.$((round * 7 % 10))
	fail_memory &
	failing=$!
	sleep 0.$((round * 3 % 10))
	goes &
	check "round $round: the device is removed" fine $!
	touch /tmp/go
	check "memory fails in time" fine $failing
	check "all users end" all_fine
	check "it is unmounted" timeout 60 umount /mnt
	check "the device comes back" comes
	grep -q ' /mnt ' /proc/mounts || break
	same "what was durable is there" "$before" "$(sha256sum </mnt/durable)"
	check "and what became so meanwhile" sh -c "removal appended /mnt/log /tmp/appended && removal stored /mnt/numbers /tmp/stored"
	sed -n 's/^# /# /p' $OUT
done
check "it is unmounted" umount /mnt
done_testing
