#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# guest: alone=yes monitor=yes
# Memory fails under mappings (MADV_HWPOISON, machine checks): nobody keeps or gets a page of it, who touches it or asked
# to be told gets SIGBUS that says so, its neighbours stay, system calls say EIO. Also while files are truncated.
. ./mmap-lib.sh
plan 25
fresh

check "a page fails in a huge mapping: SIGBUS there" mapper open /mnt/h rwc alloc 0 4M map 4M 0 shared rw put 0 4M 5 fsync huge 2 \
	ignore advise 1M 4k poison lost 1M r lost 1M w
check "its neighbours are read" mapper open /mnt/h rw map 4M 0 shared rw get 0 1M 5 get 1028k 3068k 5
check "and written" mapper open /mnt/h rw map 4M 0 shared rw put 0 1M 6 put 1028k 3068k 6 fsync fget 0 1M 6 fget 1028k 3068k 6
check "and copied by private stores, which the kernel refuses for pages with its mark" \
	mapper open /mnt/h rw map 4M 0 private rw put 0 4k 9 put 1020k 4k 9 put 1028k 4k 9 put 2M 4k 9 get 0 4k 9
check "the page is never mapped again" mapper open /mnt/h rw map 4M 0 shared rw get 0 4k 6 lost 1M r huge 0 get 2M 4k 6 lost 1M w
check "nor by a mapping of its own" mapper open /mnt/h rw map 4k 1M shared rw lost 0 r
check "nor privately" mapper open /mnt/h rw map 4k 1M private rw lost 0 w
refuses "read(2) refuses it" mapper open /mnt/h r fget 1M 4k 5
check "the whole file but for it can be read" mapper open /mnt/h r fget 0 1M 6 fget 1028k 3068k 6

mapper open /mnt/s rwc alloc 0 64k map 64k 0 shared rw put 0 64k 7 sleep 3000 lost 8k r get 12k 4k 7 >/tmp/other 2>&1 &
other=$!
sleep 1
check "a small page fails" mapper open /mnt/s rw map 64k 0 shared rw get 0 64k 7 ignore advise 8k 4k poison lost 8k r get 0 8k 7
check "a process that did not touch it loses it as well" wait $other
check "the file is deleted" rm /mnt/s

# frame FILE INDEX: the page frame of a small page in the cache
frame() { grep "^$(stat -c %i "$1") $2 0x" $DEBUG/entries | cut -d' ' -f3; }
offline() { fails_at $(($1 * 4096)); }

mapper open /mnt/t rwc alloc 0 64k map 64k 0 shared rw put 0 64k 8 early told 8k 300 lost 8k r get 12k 4k 8 >/tmp/told 2>&1 &
told=$!
mapper open /mnt/t rwc map 64k 0 shared rw sleep 60000 >/dev/null 2>&1 &
other=$!
within 100 sh -c "mapper open /mnt/t r map 64k 0 shared r get 0 64k 8" 2>/dev/null
sleep 1
check "a page fails that nobody touches" offline "$(frame /mnt/t 2)"
check "who asked for it is told" wait $told
cat /tmp/told
check "who did not is not" kill $other
wait $other 2>/dev/null
check "the file is deleted" rm /mnt/t

# Pages fail one after the other while the file that has them is truncated, written and mapped again, by two processes.
for n in 1 2; do
	mapper open /mnt/r$n rwc alloc 0 4M loop 5 \
		truncate 1M truncate 4M map 4M 0 shared rw ignore put 0 1M 5 ignore put 2M 64k 5 ignore fsync unmap end &
done
end=$(($(date +%s) + 5))
failed=0
while [ "$(date +%s)" -lt $end ]; do
	for n in 1 2; do
		at=$(entries /mnt/r$n '0x[0-9a-f]* 1 ')
		at=$(grep "^$(stat -c %i /mnt/r$n) [0-9]* 0x[0-9a-f]* 1 " $DEBUG/entries | sed -n "$((at / 2 + 1))p" | cut -d' ' -f3)
		[ -n "$at" ] && offline "$at" && failed=$((failed + 1))
	done
	[ $failed -lt 60 ] || break
done 2>/dev/null
wait
echo "# $failed pages"
check "pages fail while their files are truncated" [ $failed -gt 0 ]
check "the files can be deleted" rm /mnt/r1 /mnt/r2

# extents FILE: its first block, number of blocks, first block on the device, one line for each extent
extents() { dump.pfnfs /dev/pfnfs0 extents "$1" | sed -n 's/^file \([0-9]*\) +\([0-9]*\) device \([0-9]*\).*/\1 \2 \3/p'; }
head=$(extents /h | awk '$1 == 0 { print $3 }')
rm /mnt/h
check "nearly all space is given to a file" mapper open /mnt/all rwc alloc 0 $((($(stat -f -c %f /mnt) - 40) * 4096))
at=$(extents /all | awk -v b="$head" '$3 <= b && b < $3 + $2 { print $1 + b - $3 }')
echo "# block $head of the first file is block $at of this one"
check "it has the first block of the huge page that had failed memory" test -n "$at"
check "whose next owner can store there privately" mapper open /mnt/all rw fput $((at * 4096)) 4k 8 \
	map 4k $((at * 4096)) private rw put 0 4k 9 get 0 4k 9
check "the file is deleted" rm /mnt/all
gone
done_testing
