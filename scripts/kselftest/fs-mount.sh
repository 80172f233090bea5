#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# guest: load=no
# Mounting: by name and by node, twice, read-only; what cannot be mounted says why.
. ./lib.sh
plan 57

check "the module is not loaded" sh -c '! grep -q "^pfnfs " /proc/modules'
modprobe pfnfs
mkfs.pfnfs -f /dev/pfnfs0 >/dev/null
rmmod pfnfs
check "mount loads it" sh -c 'mount -t pfnfs pfnfs0 /mnt || { sleep 1; mount -t pfnfs pfnfs0 /mnt; }'
echo content >/mnt/file
refuses "the module cannot go while it is in use" rmmod pfnfs
check "unmount" umount /mnt
check "mount by the node" mount -t pfnfs /dev/pfnfs0 /mnt
same "the file is there" content "$(cat /mnt/file)"
mkdir -p /mnt2
check "a second mount is the same file system" sh -c 'mount -t pfnfs pfnfs0 /mnt2 && [ "$(cat /mnt2/file)" = content ]'
fails "but not in another mode" EBUSY mount pfnfs0 /tmp ro
says "and the log says why" 'pfnfs.*mounted already'
refuses "the node cannot be written while it is mounted" dd if=/dev/zero of=/dev/pfnfs0 bs=4096 count=1
refuses "mkfs refuses what is mounted" mkfs.pfnfs -f /dev/pfnfs0
check "one is unmounted" umount /mnt2
same "the other works" content "$(cat /mnt/file)"
check "so is the other" umount /mnt

check "read-only" mount -t pfnfs -o ro pfnfs0 /mnt
same "reads" content "$(cat /mnt/file)"
fails "does not create" EROFS creat /mnt/new
fails "does not unlink" EROFS unlink /mnt/file
fails "does not open for writing" EROFS openw /mnt/file
before=$(sha256sum </dev/pfnfs0)
check "unmount" umount /mnt
same "and has changed nothing on the media" "$before" "$(sha256sum </dev/pfnfs0)"
check "remount read-only" sh -c 'mount -t pfnfs pfnfs0 /mnt && mount -o remount,ro /mnt && ! touch /mnt/x && [ ! -e /mnt/x ]'
check "and read-write" sh -c 'mount -o remount,rw /mnt && touch /mnt/x && umount /mnt'
sync

clean() { dump.pfnfs /dev/pfnfs0 | grep -c '^slot.*clean'; }
check "read-only again" mount -t pfnfs -o ro pfnfs0 /mnt
check "becomes read-write" mount -o remount,rw /mnt
check "and is" sh -c 'echo later >/mnt/later && mkdir /mnt/dir && rmdir /mnt/dir'
check "becomes read-only" mount -o remount,ro /mnt
same "both slots of the log say that nothing is left in it" 2 "$(clean)"
fails "it does not create" EROFS creat /mnt/new
check "becomes read-write once more" sh -c 'mount -o remount,rw /mnt && rm /mnt/later && echo last >/mnt/last && umount /mnt'
check "and has kept all" sh -c 'mount -t pfnfs pfnfs0 /mnt && [ "$(cat /mnt/last)" = last ] && [ ! -e /mnt/later ] && umount /mnt'
mount -t pfnfs -o ro,norecovery pfnfs0 /mnt
refuses "not without recovery" mount -o remount,rw /mnt
check "unmount" umount /mnt

fails "no such device" ENODEV mount pfnfs99 /mnt
says "it says so" 'pfnfs: .*pfnfs99.*no such'
fails "a path to nothing" ENOENT mount /dev/none /mnt
fails "a node of something else" ENODEV mount /dev/null /mnt
fails "an option that there is not" EINVAL mount pfnfs0 /mnt nonsense

# Bad superblocks. The first and the last block hold copies.
cp /dev/pfnfs0 /tmp/good 2>/dev/null || dd if=/dev/pfnfs0 of=/tmp/good bs=1M 2>/dev/null
last=$(($(stat -c %s /tmp/good) / 4096 - 1))
put() { dd of=/dev/pfnfs0 bs=4096 seek="$1" conv=notrunc 2>/dev/null; }
restore() { for b in 0 $last; do dd if=/tmp/good bs=4096 skip="$b" count=1 2>/dev/null | put "$b"; done; }
# poke OFFSET BYTES: changes both copies of the superblock.
poke() { for b in 0 $last; do printf "$2" | dd of=/dev/pfnfs0 bs=1 seek=$((b * 4096 + $1)) conv=notrunc 2>/dev/null; done; }

for b in 0 $last; do head -c 4096 /dev/zero | put $b; done
fails "not formatted" EINVAL mount pfnfs0 /mnt
says "it says so" 'pfnfs.*no pfnfs (file system|volume)'
restore
poke 100 '\125\252'
fails "a damaged superblock" EUCLEAN mount pfnfs0 /mnt
says "it says so" 'pfnfs.*superblock'
restore
head -c 4096 /dev/urandom | put 0
check "one copy of the superblock is enough" sh -c 'mount -t pfnfs pfnfs0 /mnt && [ "$(cat /mnt/file)" = content ] && umount /mnt'
says "it says which is damaged" 'pfnfs.*superblock at byte 0x0 is damaged, its copy is used'
restore
head -c 64 /dev/urandom | dd of=/dev/pfnfs0 bs=64 seek=96 conv=notrunc 2>/dev/null
check "one slot of the log is enough" sh -c 'mount -t pfnfs pfnfs0 /mnt && [ "$(cat /mnt/file)" = content ] && umount /mnt'
says "it says which is damaged" 'pfnfs.*slot of the log at byte 0x1800 is damaged, its copy is used'
same "and both are there again" 2 "$(dump.pfnfs --no-replay /dev/pfnfs0 | grep -c '^slot . *clean')"
restore
poke 8 '\011'
fails "a version of the format that we do not know" EINVAL mount pfnfs0 /mnt
says "it says so" 'pfnfs.*version'
restore
fsop superblock /dev/pfnfs0 40 0x8000000000000000
fails "unknown incompatible features" EINVAL mount pfnfs0 /mnt
says "it says which" 'pfnfs0: uses features .*0x8000000000000000'
restore
fsop superblock /dev/pfnfs0 32 0x4000000000000000
fails "unknown features that a reader need not know" EROFS mount pfnfs0 /mnt
check "allow reading" sh -c 'mount -t pfnfs -o ro pfnfs0 /mnt && [ "$(cat /mnt/file)" = content ] && umount /mnt'
restore
fsop superblock /dev/pfnfs0 112 $((last * 2))
fails "a volume of another size" EINVAL mount pfnfs0 /mnt
says "it says so" 'pfnfs0: wrong size'
restore
check "the good one mounts as before" sh -c 'mount -t pfnfs pfnfs0 /mnt && [ "$(cat /mnt/file)" = content ] && umount /mnt'
check "the module can go" rmmod pfnfs
done_testing
