#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# What a mapping must do, one behaviour per result (map.c says what each is); and nothing of it leaks.
. ./lib.sh
plan 27

check "a fresh file system is mounted" fresh
cd /mnt || exit 1
touch first && rm first
before=$(free)
check "shared mappings and read(2), write(2) see each other" map shared f
check "a file that grows under its mapping" map grow f
check "private mappings copy on write" map private f
check "mappings that cannot have 2 MiB entries beside those that can" map odd f
check "holes: zeroes for nothing, then a page for everybody" map hole f
check "stores after a cleaning" map redirty f
check "SIGBUS past the end, zeroes in its page" map eof f
check "stores behind the end are lost" map tail f
check "fork" map fork f
check "mremap" map mremap f
check "mprotect" map mprotect f
check "advice, mlock, /proc/PID/mem" map advice f
check "read(2) and write(2) with the mapping itself as buffer" map self f
check "MAP_SYNC" map sync f yes
check "dropping caches" map keep f
check "sum of all kinds of access agrees with plain memory" data random r1 1 250 3M map
check "with another seed" data random r2 2 250 9M map
sum=$(sha256sum r1 r2 f)
cd /
check "unmount and mount" again
cd /mnt || exit 1
same "everything is as before" "$sum" "$(sha256sum r1 r2 f)"
echo text >f
check "a descriptor for reading" map readonly f
check "mounted for reading" sh -c 'mount -o remount,ro /mnt && map readonly f && mount -o remount,rw /mnt'
check "a file without a name" map unlinked u 8M
rm f r1 r2
same "nothing is lost" "$before" "$(free)"
cd /
check "unmount and mount" again
same "nor on the media" "$before" "$(free)"
check "unmount" umount /mnt
done_testing
