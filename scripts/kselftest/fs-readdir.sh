#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Reading directories while they change: positions stay, nothing comes twice, nothing that stays is missed.
. ./lib.sh
plan 19

check "a fresh file system is mounted" fresh
cd /mnt || exit 1
mkdir warm && fsop many warm 4600                  # the inode table grows and does not shrink
rm -r warm
before=$(free)

mkdir empty seek change small mixed
same "an empty directory has two entries" ". .." "$(ls -a empty | sort | tr '\n' ' ' | sed 's/ $//')"
check "telldir and seekdir while every third entry is removed" sh -c 'fsop many seek 2000 && dir seek seek 2000'
same "the others are there" 1333 "$(ls seek | wc -l)"
check "names come and go while it is read" sh -c 'fsop many change 2400 && dir changing change 2400'
check "the smallest buffer for getdents" sh -c 'fsop many small 100 && dir small small 100'
check "a program of 32 bits" dir narrow small 100
check "removal while it is read" fsop purge seek
check "again" fsop purge change
same "both are empty" "" "$(ls -A seek change | grep -v :)"

for i in 1 2 3 4 5 6 7 8 9; do
	mkdir mixed/dir$i
	mknod mixed/pipe$i p
	ln -s x mixed/link$i
	touch mixed/file$i
	mkdir "mixed/$(fsop longname $i 255)"
done
same "all kinds of entries" 45 "$(ls mixed | wc -l)"
same "of each kind nine, the directories with a long name as well" "18 9 9 9" \
	"$(for t in d p l f; do find mixed -mindepth 1 -type $t | wc -l; done | tr '\n' ' ' | sed 's/ $//')"
rm -r seek change small
cd /
names=$(ls -R /mnt)
check "unmount and mount" again
same "the same after a remount" "$names" "$(ls -R /mnt)"
mkdir /mnt/grow
check "grow, shrink and grow" sh -c '
	cd /mnt/grow
	for i in 1 2 3; do fsop many . 1500 && fsop list . 1500 && fsop purge . || exit 1; done
	[ -z "$(ls -A)" ]'
same "an empty directory can go" ok "$(fsop errno rmdir /mnt/grow && mkdir /mnt/grow)"
rm -r /mnt/empty /mnt/mixed /mnt/grow
same "nothing is lost" "$before" "$(free)"
check "unmount and mount" again
same "nor on the media" "$before" "$(free)"
umount /mnt
done_testing
