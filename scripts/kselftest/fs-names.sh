#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Names come and go: create, mkdir, link, symlink, mknod, rename, unlink, rmdir; each survives a remount.
. ./lib.sh
plan 60

links() { stat -c %h "$1"; }

check "a fresh file system is mounted" fresh
cd /mnt || exit 1

same "the root has two links" 2 "$(links .)"
check "create" touch file
check "mkdir" mkdir dir
same "the root has a link more" 3 "$(links .)"
same "a new directory has two links" 2 "$(links dir)"
fails "create what exists" EEXIST creat file
fails "mkdir what exists" EEXIST mkdir dir
fails "open what does not exist" ENOENT open none
fails "create in what is not a directory" ENOTDIR creat file/x
fails "unlink a directory" EISDIR unlink dir
fails "rmdir a file" ENOTDIR rmdir file

echo content >file
check "link" ln file dir/hard
same "two names" 2 "$(links file)"
same "one inode" "$(stat -c %i file)" "$(stat -c %i dir/hard)"
fails "link over a name" EEXIST link file dir/hard
fails "link to a directory" EPERM link dir dir2
same "one file under both names" content "$(cat dir/hard)"

check "symlink" ln -s dir/hard soft
same "its target" dir/hard "$(readlink soft)"
same "leads to the file" content "$(cat soft)"
long=$(fsop longname t 4000)
check "a symlink of 4000 bytes" ln -s "$long" long
same "its target is whole" "$long" "$(readlink long)"
fails "a symlink over a name" EEXIST symlink x soft
ln -s loop loop
fails "a symlink to itself" ELOOP open loop

check "mknod: fifo" mknod pipe p
check "mknod: character device" mknod null c 1 3
check "mknod: block device with large numbers" mknod blk b 259 70000
same "the fifo's type" fifo "$(stat -c %F pipe)"
same "the device's numbers" "103 11170" "$(stat -c '%t %T' blk)"
check "the device works" sh -c 'echo gone >null && [ -z "$(cat null)" ]'
check "the fifo works" sh -c 'echo through >pipe & [ "$(cat pipe)" = through ]'
check "a socket" sh -c 'fsop errno socket sock && [ -S sock ]'

mkdir a b b/full
touch a/one b/two b/full/x
check "rename in one directory" mv a/one a/uno
check "rename to another directory" mv a/uno b/uno
same "the old name is gone" ENOENT "$(fsop errno open a/uno)"
echo old >t1; echo new >t2
before=$(stat -c %i t2)
check "rename over a file" mv -f t2 t1
same "the target is the source" "$before new" "$(stat -c %i t1) $(cat t1)"
check "rename over an empty directory" sh -c 'mkdir e1 e2 && touch e1/in && fsop errno rename e1 e2 | grep -qx ok && [ -e e2/in ]'
fails "rename over a full directory" ENOTEMPTY rename a b
fails "rename a directory over a file" ENOTDIR rename a file
fails "rename a file over a directory" EISDIR rename file a
fails "rename into itself" EINVAL rename b b/full/b
fails "rename NOREPLACE over a name" EEXIST noreplace t1 file
check "a directory moves to another parent" mv a b/full/a
same "the parent's links" "3 2" "$(links b/full) $(links b/full/a)"
same ".. leads to the new parent" "$(stat -c %i b/full)" "$(stat -c %i b/full/a/..)"
check "rename of a hard link onto its other name does nothing" sh -c 'ln t1 t3 && fsop errno rename t1 t3 | grep -qx ok && [ -e t1 ] && [ -e t3 ]'
fails "exchange is refused, not done by halves" EINVAL exchange file b/full

fails "rmdir a full directory" ENOTEMPTY rmdir b
check "unlink" rm dir/hard
same "one name is left" 1 "$(links file)"
check "rmdir" rmdir dir
check "what is open has a name no more" fsop unlinked u

cd /
find /mnt | sort >/tmp/before
ls -lRn --full-time /mnt 2>/dev/null | awk '{print $1,$3,$4,$5,$NF}' >>/tmp/before
check "unmount and mount" again
find /mnt | sort >/tmp/after
ls -lRn --full-time /mnt 2>/dev/null | awk '{print $1,$3,$4,$5,$NF}' >>/tmp/after
check "everything is where it was" cmp /tmp/before /tmp/after
same "the long symlink as well" "$long" "$(readlink /mnt/long)"
check "everything can be removed" rm -rf /mnt/a /mnt/b /mnt/e2 /mnt/file /mnt/t1 /mnt/t3 /mnt/soft /mnt/long /mnt/loop /mnt/pipe /mnt/null /mnt/blk /mnt/sock
same "and nothing is left" "" "$(ls -A /mnt)"
check "unmount" umount /mnt
done_testing
