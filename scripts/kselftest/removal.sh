#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# guest: needs=libnvdimm alone=yes timeout=300 size=256M,256M
# The device goes, or memory fails, beside one user of each kind who could keep others waiting for ever: somebody who has pinned
# a page and needs another one before he lets go of it, also of a frozen file system; reads and writes whose memory does not come;
# evictions that take their time. Nobody waits longer than for the pin, and memory fails without waiting for anybody.
. ./lib.sh
plan 62

# Two devices: who comes first is pfnfs0.
ns=$(cd /sys/bus/nd/devices && for n in namespace*; do [ ! -d "$n/pfnfs/pfnfs0" ] || echo "$n"; done)
go=/tmp/go
unbind() { echo $ns >/sys/bus/nd/drivers/pfnfs/unbind; }
bind() { echo $ns >/sys/bus/nd/drivers/pfnfs/bind; }

# user ARGUMENT...: starts one; there READY and GO are as here.
user() {
	rm -f /tmp/ready $go
	removal "$@" >/tmp/user.out 2>&1 &
	user=$!
	within 60 test -e /tmp/ready || cat /tmp/user.out
}
# goes: starts the removal.
goes() { unbind & remover=$!; }
# back: three results. Unmounted, bound and mounted again, the file that was durable is there.
back() {
	check "it is unmounted" timeout 60 umount /mnt
	check "the device comes back" sh -c "echo $ns >/sys/bus/nd/drivers/pfnfs/bind && mount -t pfnfs pfnfs0 /mnt"
	same "what was durable is there" "$before" "$(sha256sum </mnt/durable)"
}
# offline FILE [INDEX]: fails the memory of a small page of a file.
offline() {
	frame=$(grep "^$(stat -c %i "$1") [0-9]* 0x[0-9a-f]* 1 " /sys/kernel/debug/pfnfs/pfnfs0/entries | sed -n "${2-1}p" | cut -d' ' -f3)
	[ -n "$frame" ] && echo $((frame * 4096)) >/sys/devices/system/memory/hard_offline_page
}
fails_in_time() { offline "$@" & ended $!; }

check "a fresh file system is mounted" fresh
dd if=/dev/urandom of=/mnt/durable bs=1M count=2 2>/dev/null
before=$(sha256sum </mnt/durable)
check "a file" removal make /mnt/f

user hold /mnt/f /tmp/ready $go load bus
goes
sleep 1
check "removal waits for a pin" test -d /proc/$remover
touch $go
check "its owner touches another page, and gets SIGBUS" fine $user
check "then the device is removed" fine $remover
back

user hold /mnt/f /tmp/ready $go store bus
check "the file system is frozen" fsfreeze --freeze /mnt
goes
touch $go
sleep 1
check "removal waits for a pin, whose owner waits for the thaw" test -d /proc/$remover
check "it is thawed" timeout 60 fsfreeze --unfreeze /mnt
check "the owner goes on" fine $user
check "the device is removed" fine $remover
back

for call in "/mnt/f 4096 write" "/mnt/new 0 write" "/mnt/f 4096 read" "/dev/pfnfs0 4096 read"; do
	# shellcheck disable=SC2086
	user blocked $call /tmp/ready $go part
	goes
	check "nothing waits for the memory of $call: the device is removed" fine $remover
	touch $go
	check "which then comes to an end" fine $user
	back
done
umount /mnt
user blocked /dev/pfnfs0 8M write /tmp/ready $go part
goes
check "nor for that of a write to the device itself" fine $remover
touch $go
check "which then comes to an end" fine $user
check "the device comes back" bind
check "a fresh file system is mounted" fresh
check "a file" removal make /mnt/f
dd if=/dev/urandom of=/mnt/durable bs=1M count=2 2>/dev/null
before=$(sha256sum </mnt/durable)

rounds=1
[ -z "$FULL" ] || rounds=10
evictions() {
	for i in $(seq $rounds); do
		user evict /mnt /tmp/ready
		sleep 0.$((i * 3 % 10))
		goes
		fine $remover && fine $user && umount /mnt && bind && mount -t pfnfs pfnfs0 /mnt || return 1
	done
}
check "the device goes while files without a name are evicted" evictions
same "what was durable is there" "$before" "$(sha256sum </mnt/durable)"

# Memory fails.
check "a file with small pages" mapper open /mnt/v rwc alloc 0 64k map 64k 0 shared rw put 0 64k 5
user blocked /mnt/f 4096 write /tmp/ready $go whole
check "memory fails beside a write whose source does not come" fails_in_time /mnt/v 3
touch $go
check "which goes on" fine $user
user blocked /mnt/f 4096 read /tmp/ready $go whole
check "and beside a read whose destination does not come" fails_in_time /mnt/v 4
touch $go
check "which goes on" fine $user
frame=$(grep "^$(stat -c %i /mnt/v) 5 0x" /sys/kernel/debug/pfnfs/pfnfs0/entries | cut -d' ' -f3)
user hold /mnt/f /tmp/ready $go load bus
goes
sleep 1
(echo $((frame * 4096)) >/sys/devices/system/memory/hard_offline_page) 2>/dev/null &
check "and beside a removal that waits for a pin" ended $!
touch $go
check "whose owner lets go" fine $user
check "so that it ends" fine $remover
back

check "the file with small pages is mapped" mapper open /mnt/v r map 64k 0 shared r get 0 64k 5
frame=$(grep "^$(stat -c %i /mnt/v) 6 0x" /sys/kernel/debug/pfnfs/pfnfs0/entries | cut -d' ' -f3)
second() {
	mkdir -p /tmp/second
	mkfs.pfnfs -f /dev/pfnfs1 && mount -t pfnfs pfnfs1 /tmp/second && stat -f /tmp/second && touch /tmp/second/f && umount /tmp/second
}
meanwhile() {
	(echo $((frame * 4096)) >/sys/devices/system/memory/hard_offline_page) 2>/dev/null &
	check "memory fails" ended $!
	sync &
	check "sync(2) of the machine" fine $!
	second >/tmp/second.out 2>&1 &
	check "another volume is mounted, used and unmounted" fine $!
}
unmount_waits hold meanwhile
done_testing
