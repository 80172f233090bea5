#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# The contents of files by read(2) and write(2): append, overwrite, holes, truncate, fallocate, seek; through a remount.
. ./lib.sh
plan 53

size() { stat -c %s "$1"; }
blocks() { stat -c %b "$1"; }                     # of 512 bytes
sum() { sha256sum <"$1"; }

check "a fresh file system is mounted" fresh
cd /mnt || exit 1

dd if=/dev/urandom of=/tmp/data bs=1M count=5 2>/dev/null
check "write 5 MiB in large pieces" dd if=/tmp/data of=large bs=1M
check "and read them back" cmp /tmp/data large
check "write in odd pieces" dd if=/tmp/data of=odd bs=1021
check "and read them back" cmp /tmp/data odd
check "overwrite in the middle, across blocks" dd if=/tmp/data of=odd bs=1 seek=8190 skip=77 count=9000 conv=notrunc
cp /tmp/data /tmp/odd
dd if=/tmp/data of=/tmp/odd bs=1 seek=8190 skip=77 count=9000 conv=notrunc 2>/dev/null
check "only that has changed" cmp /tmp/odd odd
check "append by two descriptors" fsop append app
check "a write that faults half way" fsop partial part
same "read at and past the end" "0 0" \
	"$(dd if=odd bs=1 skip=5242880 count=10 2>/dev/null | wc -c) $(dd if=odd bs=1M skip=100 count=1 2>/dev/null | wc -c)"

echo text >excl
fails "O_EXCL on what exists" EEXIST creat excl
: >excl
same "O_TRUNC" 0 "$(size excl)"
same "frees its blocks" 0 "$(blocks excl)"

printf x | dd of=sparse bs=1 seek=10000000 2>/dev/null
same "a sparse file's size" 10000001 "$(size sparse)"
check "occupies little" [ "$(blocks sparse)" -le 16 ]
same "its hole reads as zeroes" 0 "$(head -c 9999999 sparse | tr -d '\0' | wc -c)"
same "its last byte" x "$(tail -c 1 sparse)"
same "SEEK_DATA finds the block" 9998336 "$(fsop seek data sparse 0)"
same "SEEK_HOLE at the hole" 0 "$(fsop seek hole sparse 0)"
same "SEEK_HOLE in the data" 10000001 "$(fsop seek hole sparse 9999000)"
same "SEEK_DATA past the end" "lseek: ENXIO" "$(fsop seek data sparse 10000001 2>&1)"
printf y | dd of=sparse bs=1 seek=5000000 conv=notrunc 2>/dev/null
same "a byte in the hole" y "$(dd if=sparse bs=1 skip=5000000 count=1 2>/dev/null)"
same "zeroes around it" 0 "$(dd if=sparse bs=4096 skip=1220 count=2 2>/dev/null | tr -d '\0y' | wc -c)"

cp /tmp/data cut
check "truncate down" truncate -s 100003 cut
check "keeps what is before" sh -c 'head -c 100003 /tmp/data | cmp - cut'
check "truncate up" truncate -s 300000 cut
same "what comes after are zeroes" 0 "$(tail -c +100004 cut | tr -d '\0' | wc -c)"
check "down within a block and up again" sh -c 'truncate -s 100000 cut && truncate -s 100010 cut'
same "zeroes, not what was there" 0 "$(tail -c +100001 cut | tr -d '\0' | wc -c)"
truncate -s 50001 cut; printf tail | dd of=cut bs=1 seek=60000 conv=notrunc 2>/dev/null
same "zeroes between the old end and a write beyond it" 0 "$(dd if=cut bs=1 skip=50001 count=9999 2>/dev/null | tr -d '\0' | wc -c)"
same "truncate to nothing frees all" "0 0" "$(truncate -s 0 cut; echo "$(size cut) $(blocks cut)")"
fails "truncate beyond the limit" EFBIG truncate cut 9223372036854775807

check "fallocate" fsop fallocate 0 pre 0 4M
same "its size" 4194304 "$(size pre)"
check "its blocks" [ "$(blocks pre)" -ge 8192 ]
same "reads as zeroes" 0 "$(tr -d '\0' <pre | wc -c)"
check "fallocate with KEEP_SIZE" fsop fallocate keep keep 0 1M
same "keeps the size" "0 1" "$(size keep) $([ "$(blocks keep)" -ge 2048 ] && echo 1)"
check "a write into it" dd if=/tmp/data of=pre bs=1 seek=1000000 count=5000 conv=notrunc
head -c 5000 /tmp/data >/tmp/piece
check "changes what was written" sh -c 'dd if=pre bs=1 skip=1000000 count=5000 2>/dev/null | cmp - /tmp/piece'
same "and nothing else" 0 "$( { head -c 1000000 pre; tail -c +1005001 pre; } | tr -d '\0' | wc -c)"

cp /tmp/data holes
check "punch a hole over parts of blocks" fsop fallocate punch holes 5000 1000000
same "reads as zeroes" 0 "$(dd if=holes bs=1000 skip=5 count=1000 2>/dev/null | tr -d '\0' | wc -c)"
check "frees blocks" [ "$(blocks holes)" -lt "$(blocks odd)" ]
check "what is around is as before" sh -c 'head -c 5000 /tmp/data >/tmp/h && head -c 5000 holes | cmp - /tmp/h && tail -c +1005001 /tmp/data >/tmp/t && tail -c +1005001 holes | cmp - /tmp/t'
check "zero a range, beyond the end" fsop fallocate zero holes 5000001 1000000
same "its size" 6000001 "$(size holes)"
same "reads as zeroes" 0 "$(tail -c +5000002 holes | tr -d '\0' | wc -c)"
check "what is before is as before" sh -c 'tail -c +1005001 /tmp/data | head -c 3995000 >/tmp/t && tail -c +1005001 holes | head -c 3995000 | cmp - /tmp/t'

cd /
before=$(cd /mnt && sha256sum large odd app part sparse cut pre keep excl holes)
check "unmount and mount" again
same "all contents are as before" "$before" "$(cd /mnt && sha256sum large odd app part sparse cut pre keep excl holes)"
check "a large file is removed" rm /mnt/large
check "unmount" umount /mnt
done_testing
