#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# A frozen file system: writers wait, readers do not, nor does who lets go of a file without a name, be it a shrinker.
. ./lib.sh
plan 14

ended() { # ended PID: within 20 s
	for _ in $(seq 200); do
		case $(sed -n 's/^State:.//p' "/proc/$1/status" 2>/dev/null) in "" | [ZX]*) return 0 ;; esac
		sleep 0.1
	done
	return 1
}
free() { stat -f -c %f /mnt; }

check "a fresh file system is mounted" fresh
echo content >/mnt/file
check "freeze" fsfreeze --freeze /mnt
(echo late >/mnt/late; echo waited >/tmp/late) &
sleep 1
same "reading works" content "$(cat /mnt/file)"
check "a writer waits" [ ! -e /tmp/late ]
check "thaw" fsfreeze --unfreeze /mnt
wait
same "and goes on then" "waited late" "$(cat /tmp/late) $(cat /mnt/late)"

# The last user goes while nothing may be stored.
was=$(free)
dd if=/dev/zero of=/mnt/open bs=4096 count=16 2>/dev/null
tail -f /mnt/open >/dev/null &
holder=$!
until ls -l /proc/$holder/fd | grep -q /mnt/open; do sleep 0.1; done
rm /mnt/open
check "it is frozen with an open file that has no name" fsfreeze --freeze /mnt
kill $holder
check "who lets go of it does not wait" ended $holder
check "nor does a shrinker" timeout 20 sh -c 'echo 2 >/proc/sys/vm/drop_caches'
check "thaw again" timeout 20 fsfreeze --unfreeze /mnt
sync
same "its blocks are free" "$was" "$(free)"
check "it can be frozen once more" timeout 20 fsfreeze --freeze /mnt
check "and thawed" timeout 20 fsfreeze --unfreeze /mnt
check "unmount" umount /mnt
done_testing
