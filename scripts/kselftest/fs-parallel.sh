#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# guest: smp=4
# Several processes in the same directories at once: create, write, rename, unlink, append; all of it known, so that it can
# be compared after a remount.
. ./lib.sh
plan 20

check "a fresh file system is mounted" fresh
mkdir /mnt/warm && fsop many /mnt/warm 3600        # the inode table grows and does not shrink
rm -r /mnt/warm
before=$(free)
mkdir /mnt/one /mnt/two /mnt/race /mnt/swap
check "six processes, 250 steps each" crowd churn /mnt/one /tmp/one 1 250 6
check "have left what they should" crowd verify /mnt/one /tmp/one 6
check "twelve processes" crowd churn /mnt/two /tmp/two 2 80 12
check "have left what they should" crowd verify /mnt/two /tmp/two 12
check "of many who want the same name one gets it" crowd race /mnt/race 100 4
check "directories are renamed into each other" crowd swap /mnt/swap 300
check "parallel appends are neither lost nor torn" data append-many /mnt/appended 4 250
check "a directory is read while it changes" sh -c 'mkdir /mnt/d && fsop many /mnt/d 1500 && dir changing /mnt/d 1500'
sum=$(tree /mnt | sha256sum)
check "unmount and mount" again
check "all is there" crowd verify /mnt/one /tmp/one 6
check "all is there" crowd verify /mnt/two /tmp/two 12
same "each name, attribute and byte" "$sum" "$(tree /mnt | sha256sum)"
check "remove everything in parallel" sh -c '
	for d in /mnt/*; do rm -r "$d" & done
	wait'
same "nothing is left" "" "$(ls -A /mnt)"
same "nothing is lost" "$before" "$(free)"

mkdir /mnt/one
crowd churn /mnt/one /tmp/three 3 400 6 >/tmp/churn.out 2>&1 &
churner=$!
sleep 1
check "sync, statfs and readdir meanwhile" sh -c 'for i in 1 2 3 4 5 6; do sync; stat -f /mnt; ls -lR /mnt; done 2>/dev/null | grep -q d0'
check "the churn ends well" wait $churner
check "and its files are there after a remount" sh -c '. ./lib.sh; again && crowd verify /mnt/one /tmp/three 6'
check "unmount" umount /mnt
done_testing
