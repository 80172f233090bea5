#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Pages leave mappings while others use them: truncate, punch, eviction, unmount, removal of the device; mapped, touched
# all the time, and pinned. What waits must end within seconds after the pin does: "alarm" makes it a failure.
. ./mmap-lib.sh
plan 22
fresh

check "truncate under a mapping" mapper open /mnt/t rwc truncate 64k map 64k 0 shared rw put 0 64k 1 truncate 16k get 0 16k 1 bus 16k r bus 60k w
equal "the entries went with the pages" "$(entries /mnt/t)" 4
check "what was cut off is zero when it comes back" mapper open /mnt/t rw map 64k 0 shared rw truncate 64k get 0 16k 1 get 16k 48k 0
check "truncate inside a page" mapper open /mnt/t rw map 64k 0 shared rw put 0 64k 2 truncate 10000 truncate 64k get 0 10000 2 get 10000 2288 0 get 16k 4k 0
check "truncate to nothing of a huge mapping" mapper open /mnt/h rwc alloc 0 8M map 8M 0 shared rw put 0 8M 1 huge 4 truncate 0 bus 0 r bus 4M w
equal "no entry is left" "$(entries /mnt/h)" 0
check "punch a hole" mapper open /mnt/p rwc truncate 64k map 64k 0 shared rw put 0 64k 1 punch 8k 8k get 0 8k 1 get 8k 8k 0 get 16k 48k 1 put 8k 4k 2 fget 8k 4k 2

check "truncate while another process touches" mapper open /mnt/t rw truncate 4M map 4M 0 shared rw put 0 4M 1 alarm 90 \
	bg loop 4 ignore get 0 4M 1 end end loop 3 truncate 1M truncate 4M end wait
check "truncate waits for a pin, which keeps its data" mapper open /mnt/t rw truncate 4M map 4M 0 shared rw put 0 4M 4 alarm 90 pin 4k 4k \
	bg sleep 700 pinned 4 end unpin truncate 0 wait
mark
check "also while another process touches the page" mapper open /mnt/t rw truncate 4M map 4M 0 shared rw put 0 4M 4 alarm 90 pin 4k 4k \
	bg loop 5 ignore get 4k 1 4 sleep 1 end end bg sleep 1000 pinned 4 end unpin truncate 0 wait
check "it had to wait" [ "$(grew waits)" -gt 0 ]
check "the same for punching a huge page" mapper open /mnt/t rw truncate 4M map 4M 0 shared rw put 0 4M 4 huge 2 alarm 90 pin 2M 4k \
	bg loop 5 ignore get 2M 1 4 sleep 1 end end bg sleep 1000 pinned 4 end unpin punch 2M 2M get 0 2M 4 wait
check "a pin beside the range does not matter" mapper open /mnt/t rw truncate 0 truncate 64k map 64k 0 shared rw put 0 64k 4 alarm 5 pin 0 4k truncate 8k pinned 4
check "a signal ends the wait, and the file keeps its size" sh -c '
	mapper open /mnt/sig rwc truncate 64k map 64k 0 shared rw put 0 64k 3 pin 0 4k bg sleep 3000 unpin end unpin wait &
	sleep 1; timeout -s KILL 1 mapper open /mnt/sig rw truncate 0; wait; mapper open /mnt/sig r fget 0 64k 3'

check "unlink while mapped and pinned" mapper open /mnt/u rwc alloc 0 4M map 4M 0 shared rw put 0 4M 5 pin 0 4k \
	bg unmap close sleep 1000 pinned 5 end unpin unlink /mnt/u close unmap wait
check "its space comes back" sh -c 'sync; sleep 2; mapper open /mnt/all rwc alloc 0 200M; rm /mnt/all'
check "unmounting waits for a pin" sh -c '
	mapper open /mnt/pin rwc alloc 0 4M map 4M 0 shared rw put 0 4M 6 pin 1M 4k unmap close sleep 1500 pinned 6 &
	sleep 1; umount /mnt; wait'
check "it is mounted again" mount -t pfnfs pfnfs0 /mnt
check "what was stored is there" mapper open /mnt/pin r fget 0 4M 6
gone
done_testing
