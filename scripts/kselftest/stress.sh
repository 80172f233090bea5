#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# guest: weight=40 timeout=240
# Everything at once on the same few names, and around it what the system does meanwhile: caches are dropped, memory runs
# out, everything is synced, the file system is frozen and thawed, mounted a second time and unmounted.
. ./lib.sh
plan 13
each=10
[ -z "$FULL" ] || each=60

# until_stopped CMD...: again and again, as long as there is /tmp/go.
until_stopped() {
	while [ -e /tmp/go ]; do "$@"; sleep 0.2; done >/dev/null 2>&1
}
freeze() { fsfreeze --freeze /mnt; sleep 0.3; fsfreeze --unfreeze /mnt; sleep 1; }
second() { mount -t pfnfs pfnfs0 /mnt2; ls -lR /mnt2; umount /mnt2; }
caches() { echo 3 >/proc/sys/vm/drop_caches; }

check "a fresh file system is mounted" fresh
mkdir -p /mnt2 /mnt/warm && fsop many /mnt/warm 600 # the inode table grows and does not shrink
rm -r /mnt/warm
before=$(free)
for round in 1 2 3; do
	touch /tmp/go
	until_stopped caches &
	until_stopped sync &
	until_stopped second &
	[ $round = 1 ] || until_stopped freeze &
	[ $round = 2 ] || stress memory $each &
	check "round $round: all operations, all bytes" stress run /mnt $each 6 $round
	sed 's/^# /# did /' $OUT
	rm /tmp/go
	wait
	tree /mnt >/tmp/tree
	check "what there is" again
	check "is there after a remount" sh -c '. ./lib.sh; tree /mnt | cmp - /tmp/tree'
done
check "everything can be removed" sh -c 'rm -r /mnt/d*'
same "nothing is lost" "$before" "$(free)"
check "unmount" umount /mnt
done_testing
