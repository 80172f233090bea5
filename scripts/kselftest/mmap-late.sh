#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# A page that is pinned may be stored to at any time: it stays dirty over an fsync, and is clean after one when the pin has
# gone.
. ./mmap-lib.sh
plan 12
fresh

mkfifo /tmp/go
# begin COMMAND FILE: "late" runs; go: its next step; reached WORD: it has come so far.
begin() {
	late "$@" </tmp/go >/tmp/late.out 2>&1 &
	late=$!
	exec 3>/tmp/go
}
reached() { within 60 grep -q "^$1" /tmp/late.out || { cat /tmp/late.out; return 1; }; }

begin fsync /mnt/f
check "a page is pinned by who will store into it, and fsynced" reached pinned
equal "it stays dirty" "$(entries /mnt/f ' dirty')" 1
equal "the others are clean" "$(entries /mnt/f ' clean$')" 3
mark
sync
equal "sync writes it back, too" "$(grew cleaned)" 1
equal "and it stays dirty" "$(entries /mnt/f ' dirty')" 1
echo >&3
check "the bytes arrive, and another fsync" reached arrived
equal "nothing is dirty" "$(entries /mnt/f ' dirty')" 0
exec 3>&-
wait $late

begin huge /mnt/h
check "a 2 MiB page" reached pinned
equal "it stays dirty" "$(entries /mnt/h ' 512 dirty')" 1
mark
echo >&3
check "it is cut; the bytes arrive meanwhile" reached cut
exec 3>&-
wait $late
umount /mnt
rm /tmp/go
done_testing
