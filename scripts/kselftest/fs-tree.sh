#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# guest: add=linux/Documentation/filesystems:/share
# A real tree, the documentation of file systems in the kernel's source, copied here: byte for byte the same, also after a
# remount, after copying it within the file system, and when only a part of it is removed.
. ./lib.sh
plan 15

# contents DIR: names and checksums.
contents() { (cd "$1" && find . -type f -print0 | sort -z | xargs -0 sha256sum); }

check "a fresh file system is mounted" fresh
check "there is a tree to copy" test -f /share/vfs.rst
mkdir /mnt/warm && fsop many /mnt/warm 1500        # the inode table grows and does not shrink
rm -r /mnt/warm
before=$(free)
check "copy it" cp -a /share /mnt/docs
contents /share >/tmp/want
check "each file is the same" sh -c '. ./lib.sh; contents() { (cd "$1" && find . -type f -print0 | sort -z | xargs -0 sha256sum); }; contents /mnt/docs | cmp - /tmp/want'
mkdir /mnt/own
for i in 1 2 3 4 5 6 7 8 9; do
	ln /mnt/docs/vfs.rst "/mnt/own/hard$i"
	ln -s "../docs/vfs.rst" "/mnt/own/soft$i"
	echo "$i" >"/mnt/own/with space and \"quotes\" $i"
	mknod "/mnt/own/node$i" c $i $((i * 1000))
	mknod "/mnt/own/pipe$i" p
	chown "$i:$((i * 70000))" "/mnt/own/hard$i"
done
tree /mnt >/tmp/tree
check "unmount and mount" again
check "names, attributes, targets and bytes after a remount" sh -c '. ./lib.sh; tree /mnt | cmp - /tmp/tree'
check "copy it within the file system" cp -a /mnt/docs /mnt/copy
check "the copy is the same" diff -r /mnt/docs /mnt/copy
check "remove the original" rm -r /mnt/docs
check "unmount and mount" again
contents /mnt/copy >/tmp/got
check "the copy is as it was" cmp /tmp/got /tmp/want
same "a hard link keeps its file" "$(sha256sum </share/vfs.rst)" "$(sha256sum </mnt/own/hard1)"
check "remove the rest" rm -r /mnt/copy /mnt/own
same "nothing is lost" "$before" "$(free)"
check "unmount" umount /mnt
done_testing
