#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Any sequence of read, write, append, truncate, fallocate and fsync agrees with plain memory: no stale byte is ever seen.
# On the media as well: what blocks held before must not show either, so they are filled first.
. ./lib.sh
plan 14

check "a fresh file system is mounted" fresh
touch /mnt/first && rm /mnt/first
before=$(free)
check "the device was full of something else" litter
same "which is gone" "$before" "$(free)"
check "reads at, across and behind the end" data eof /mnt/eof
check "small files" data random /mnt/a 1 500 20000 nomap
check "medium files" data random /mnt/b 2 400 300000 nomap
check "large files" data random /mnt/c 3 250 20M nomap
check "around 2 MiB" data random /mnt/d 4 300 4300000 nomap
check "holes made by fallocate and truncate read as zeroes" sh -c '
	cd /mnt && truncate -s 3000001 h && data zero h 0 3000001 &&
	fsop fallocate 0 h 5000000 2000000 && data zero h 0 7000000 && data write h 6000001 5000 7 &&
	data verify h 6000001 5000 7 && data zero h 0 6000001 && data zero h 6005001 994999'
check "sendfile" sh -c 'data sendfile /mnt/c /mnt/e && cmp /mnt/c /mnt/e'
sum=$(cd /mnt && sha256sum ?)
check "unmount and mount" again
same "each byte as before" "$sum" "$(cd /mnt && sha256sum ?)"
rm -f /mnt/*
same "nothing is lost" "$before" "$(free)"
check "unmount" umount /mnt
done_testing
