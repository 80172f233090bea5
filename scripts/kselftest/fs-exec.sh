#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Programs stored on the file system run, from its pages; nobody writes them meanwhile, and removing them does not stop them.
. ./lib.sh
plan 14

check "a fresh file system is mounted" fresh
check "a program is copied" cp /bin/busybox /mnt/busybox
same "it runs" hello "$(/mnt/busybox echo hello)"
mkfifo /tmp/go
/mnt/busybox cat /tmp/go >/tmp/said 2>&1 &
sleeper=$!
within 5 grep -q /mnt/busybox /proc/$sleeper/maps
fails "it cannot be written while it runs" ETXTBSY openw /mnt/busybox
check "it can be removed while it runs" rm /mnt/busybox
refuses "it keeps the mount" umount /mnt
echo further >/tmp/go
wait $sleeper
same "it runs to its end" "0 further" "$? $(cat /tmp/said)"
cp /bin/busybox /mnt/busybox
exec 3>>/mnt/busybox
same "and cannot be run while it is written" 126 "$(/mnt/busybox true 2>/dev/null; echo $?)"
exec 3>&-
printf '#!/bin/sh\necho "script $1"\n' >/mnt/script
chmod 755 /mnt/script
same "a script runs" "script x" "$(/mnt/script x)"
chmod 644 /mnt/script
same "not without the permission" 126 "$(/mnt/script x 2>/dev/null; echo $?)"
check "unmount and mount" again
same "it runs from the media" "$(sha256sum </bin/busybox)" "$(/mnt/busybox sha256sum </mnt/busybox)"
same "nothing runs on a mount that forbids it" 126 "$(mount -o remount,noexec /mnt; /mnt/busybox true 2>/dev/null; echo $?)"
check "unmount" umount /mnt
done_testing
