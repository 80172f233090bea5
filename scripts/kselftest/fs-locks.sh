#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# guest: kernel=debug add=Documentation/locking.rst:/tests/locking.rst
# The list of Documentation/locking.rst against what lockdep has seen in this guest: it names every lock of
# the module, and no lock was taken inside one that stands below it.
. ./lib.sh
plan 4

check "a fresh file system is mounted" fresh
work() {
	mapper open /mnt/a rwc truncate 4M alloc 0 4M map 4M 0 shared rw put 0 4M 3 msync 0 4M &&
		mkdir /mnt/d && cp /bin/busybox /mnt/b && mv /mnt/b /mnt/d/b && ln /mnt/d/b /mnt/true && /mnt/true &&
		rm /mnt/a && cat /sys/kernel/debug/pfnfs/pfnfs0/* &&
		fsfreeze --freeze /mnt && fsfreeze --unfreeze /mnt &&
		mount -o remount,ro /mnt && mount -o remount,rw /mnt &&
		echo 2 >/proc/sys/vm/drop_caches && sync && again &&
		mapper open /mnt/x rwc truncate 4M map 4M 0 shared rw get 0 64k 0 put 0 4M 3 &&
		echo namespace0.0 >/sys/bus/nd/drivers/pfnfs/unbind && umount /mnt
}
check "a life of a volume" work

# Without what tells classes of one name apart: "#21" and "/1".
bare() { sed 's|[#/][0-9]*$||'; }
sed -n '/^Order$/,/^Inside all/s/^  \([^ ][^ ]*\)  .*/\1/p' locking.rst >/tmp/order
sed -n 's/^.* [-+.?]*: \(pfnfs_.*\)/\1/p' /proc/lockdep | bare | sort -u >/tmp/seen
unnamed() { grep -vxFf /tmp/order /tmp/seen; [ "$(wc -l </tmp/seen)" -ge 15 ] && [ -z "$(grep -vxFf /tmp/order /tmp/seen)" ]; }
check "the list has every lock" unnamed

# Of each pair of which one is ours. Classes that all file systems share, and leaves that hold each other's
# kind, say nothing.
upwards() {
	awk 'NR == FNR { place[$1] = FNR; next }
		function bare(s) { sub("[#/][0-9]+.*$", "", s); return s }
		/^[0-9a-f]+ .*FD:/ { outer = $0; sub("^[^:]*:[^:]*:[^:]*: ", "", outer); outer = bare(outer); next }
		/^ -> / { inner = $0; sub("^ -> [^ ]* ", "", inner); inner = bare(inner)
			if ((outer inner) !~ /pfnfs_/ || !(outer in place) || !(inner in place) || outer == inner) next
			pairs++
			if (place[outer] > place[inner]) { print inner " is taken inside " outer; wrong++ } }
		END { print pairs " pairs"; exit wrong > 0 || pairs < 20 }' /tmp/order /proc/lockdep
}
check "none is taken inside one that stands below it" upwards
done_testing
