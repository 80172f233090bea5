#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# guest: size=64M
# A full device and a full inode table: ENOSPC, nothing lost, and all of it usable again.
. ./lib.sh

plan 25

free() { stat -f -c '%f %d' /mnt; }

check "a fresh file system is mounted" fresh
cd /mnt || exit 1
mkdir keep
echo precious >keep/file
touch first && rm first
before=$(free)
# shellcheck disable=SC2046
set -- $(fsop fill big 1M)
same "writing ends with ENOSPC" ENOSPC "$2"
same "what was written is there" "$1" "$(stat -c %s big)"
check "most of the device could be written" test "$1" -gt 50331648
# shellcheck disable=SC2046
set -- $(fsop fill small 512)
same "in small pieces as well" ENOSPC "$2"
same "no block is free" 0 "$(stat -f -c %f /mnt)"
same "fallocate" "fallocate: ENOSPC" "$(fsop fallocate 0 pre 0 32M 2>&1)"
check "overwriting in place still works" dd if=/dev/urandom of=big bs=1M count=4 conv=notrunc
same "the other file is untouched" precious "$(cat keep/file)"
cd /
check "unmount and mount" again
same "untouched also from the media" precious "$(cat /mnt/keep/file)"
check "deleting works on a full device" rm /mnt/big /mnt/small
rm -f /mnt/pre
same "and frees everything" "$before" "$(free)"

check "a range is zeroed while somebody takes all that is free" zeroes /mnt/mine /mnt/thief 8M 300
check "zeroing the whole of it on a volume that is full" fsop fallocate zero /mnt/mine 0 8M
check "unmount and mount" again
same "zeroes also from the media" 0 "$(tr -d '\0' </mnt/mine | wc -c)"
rm /mnt/mine /mnt/thief

inodes=$(stat -f -c %d /mnt)
mkdir /mnt/many
same "the inode table fills with ENOSPC" "ENOSPC" "$(fsop many /mnt/many 100000000 2>&1 | sed 's/.*: //')"
same "no inode is free" 0 "$(stat -f -c %d /mnt)"
same "as many files as there were inodes" "$inodes" "$(($(ls /mnt/many | wc -l) + 1))"
fails "mkdir" ENOSPC mkdir /mnt/dir
check "a file can still be written" sh -c 'echo text >/mnt/many/f0 && [ "$(cat /mnt/many/f0)" = text ]'
check "all are removed" fsop purge /mnt/many
same "and one can be made" ok "$(fsop errno creat /mnt/new)"
check "unmount" umount /mnt
done_testing
