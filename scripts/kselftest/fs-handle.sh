#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# File handles: they name an inode across renames and remounts, and nothing else once the inode is gone.
. ./lib.sh
plan 15

check "a fresh file system is mounted" fresh
cd /mnt || exit 1
mkdir -p one/two/three
echo first >one/file
check "a handle of a file" fsop handle one/file /tmp/h.file
check "a handle of a directory" fsop handle one/two/three /tmp/h.dir
check "a handle of the root" fsop handle /mnt /tmp/h.root
same "leads to the file" first "$(fsop openhandle /mnt /tmp/h.file)"
mv one/file one/two/renamed
same "also under another name" first "$(fsop openhandle /mnt /tmp/h.file)"
cd /
check "unmount and mount" again
same "also when nothing is in memory" first "$(fsop openhandle /mnt /tmp/h.file)"
check "unmount and mount" again
same "a directory is found with its path" /mnt/one/two/three "$(fsop openhandle /mnt /tmp/h.dir)"
same "and the root" /mnt "$(fsop openhandle /mnt /tmp/h.root)"

rm /mnt/one/two/renamed
same "a handle of what is gone is stale" "open_by_handle_at: ESTALE" "$(fsop openhandle /mnt /tmp/h.file 2>&1)"
# The inode numbers are used again; the generations differ.
i=0
while [ $i -lt 50 ]; do echo "other $i" >"/mnt/new$i"; i=$((i + 1)); done
same "also when its inode number is used again" "open_by_handle_at: ESTALE" "$(fsop openhandle /mnt /tmp/h.file 2>&1)"
printf '\014\0\0\0\201\0\0\0\377\377\377\377\377\377\377\377\377\377\377\377' >/tmp/h.bad
head -c 116 /dev/zero >>/tmp/h.bad
same "a handle that never was one is stale" "open_by_handle_at: ESTALE" "$(fsop openhandle /mnt /tmp/h.bad 2>&1)"
check "unmount" umount /mnt
done_testing
