#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# guest: size=512M
# Names of 255 and 256 bytes, 100 levels of directories, 20,000 files in one directory.
. ./lib.sh
plan 24

check "a fresh file system is mounted" fresh
cd /mnt || exit 1
ok=$(fsop longname n 255) bad=$(fsop longname n 256)
fails "a name of 255 bytes" ok creat "$ok"
fails "can be a directory's" ok mkdir "d${ok#n}"
same "and is found" "$ok" "$(echo n*)"
fails "a name of 256 bytes: create" ENAMETOOLONG creat "$bad"
fails "mkdir" ENAMETOOLONG mkdir "$bad"
fails "lookup" ENAMETOOLONG open "$bad"
fails "link" ENAMETOOLONG link "$ok" "$bad"
fails "rename" ENAMETOOLONG rename "$ok" "$bad"
fails "symlink" ENAMETOOLONG symlink x "$bad"
check "bytes that are no text" sh -c 'n=$(printf "\377\001\302 ok"); echo in >"$n" && [ "$(cat "$n")" = in ]'

mkdir deep
check "100 levels" fsop deep /mnt/deep 100
check "can be walked" [ "$(find deep -type d | wc -l)" = 101 ]

mkdir many
check "20,000 files" fsop many many 20000
check "each is listed once, and seekdir finds its way" fsop list many 20000
check "each is found" sh -c 'cd many && for i in 0 1 4711 9999 19999; do [ -f f$i ] || exit 1; done'
fails "what is not there is not found" ENOENT open many/f20000
fails "and none can be made twice" EEXIST creat many/f12345

cd /
check "unmount and mount" again
check "each is listed once as before" fsop list /mnt/many 20000
check "100 levels are there" [ "$(find /mnt/deep -type d | wc -l)" = 101 ]
check "they can be removed while they are listed" fsop purge /mnt/many
same "the directory is empty" ok "$(fsop errno rmdir /mnt/many)"
check "unmount" sh -c 'rm -rf /mnt/* && umount /mnt'
done_testing
