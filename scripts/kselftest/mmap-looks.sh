#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# guest: needs=cachestat weight=40
# What in the kernel looks at pages, let loose on those of a mapping: nothing of it may change what
# is mapped, or what is in it. What each says is shown as well, for Documentation/dax-entries.rst.
. ./mmap-lib.sh
plan 31

# The frames of the file: index, frame, pages of each entry.
frames() { grep "^$ino " $DEBUG/entries | cut -d ' ' -f 2-4; }

# address: of the first one, in bytes.
address() { echo $(($(frames | head -n 1 | cut -d ' ' -f 2) * 4096)); }

# intact TEXT CMD...: passes if the command succeeds, and has left entries and contents alone.
intact() {
	local text="$1" before
	shift
	before=$(frames)
	if ! "$@" >$OUT 2>&1; then
		sed 's/^#* */# /' $OUT
		ktap_test_fail "$text"
		return
	fi
	sed 's/^#* */# /' $OUT
	if [ "$before" != "$(frames)" ]; then
		echo "# the entries are not the same any more"
		ktap_test_fail "$text"
		return
	fi
	check "$text" looks same /mnt/f
}

# needs PATH TEXT CMD...: the same, where the kernel has this file.
needs() {
	local path="$1"
	shift
	if [ -e "$path" ]; then intact "$@"; else ktap_test_skip "$1"; fi
}

# put VALUE FILE...: writes it to each; says why one does not take it.
put() {
	local value="$1"
	shift
	for file; do echo "$value" >"$file" || echo "$file does not take $value"; done
	return 0
}

THP=/sys/kernel/mm/transparent_hugepage KSM=/sys/kernel/mm/ksm LRU=/sys/kernel/debug/lru_gen
DAMON=/sys/kernel/mm/damon/admin/kdamonds TRACING=/sys/kernel/tracing

join() {
	local merging
	put always $THP/enabled
	put 10 $THP/khugepaged/scan_sleep_millisecs
	if [ -e $KSM ]; then
		put 20 $KSM/sleep_millisecs
		put 1000 $KSM/pages_to_scan
		put 1 $KSM/run
	fi
	looks merge /mnt/f >/tmp/merges &
	merging=$!
	within 60 grep -q merges /tmp/merges || return 1
	sleep 8
	echo "khugepaged: $(cat $THP/khugepaged/full_scans) scans," \
		"$(cat $THP/khugepaged/pages_collapsed) collapsed"
	if [ -e $KSM ]; then
		echo "KSM: $(cat $KSM/full_scans) scans, $(cat $KSM/pages_sharing) sharing"
		put 2 $KSM/run
	fi
	kill $merging || return 1
	wait $merging 2>/dev/null
	cat /tmp/merges
}

generations() {
	awk '/^memcg/ { m = $2; next } $1 == "node" { n = m " " $2; next }
		{ if (!(n in first)) first[n] = $1; last[n] = $1 }
		END { for (n in last) print n, first[n], last[n] }' $LRU >/tmp/generations
	while read -r memcg node min max; do
		put "+ $memcg $node $max 1 1" $LRU
		put "- $memcg $node $min 200 1000" $LRU
	done </tmp/generations
	echo "$(wc -l </tmp/generations) lists of generations"
	cat ${LRU}_full >/dev/null
}

reclaim() {
	put +memory /tmp/cg/cgroup.subtree_control
	mkdir /tmp/cg/few || return 1
	put 6M /tmp/cg/few/memory.max
	sh -c 'echo $$ >/tmp/cg/few/cgroup.procs; exec looks hold /mnt/f' >/tmp/few &
	local few=$!
	within 60 grep -q holds /tmp/few || return 1
	echo "8 MiB mapped where 6 MiB are allowed: $(cat /tmp/cg/few/memory.current) bytes"
	grep -E '^(file_mapped|file|shmem) ' /tmp/cg/few/memory.stat
	put 4M /tmp/cg/few/memory.reclaim
	put 64M /tmp/cg/memory.reclaim
	kill -0 $few || return 1
	kill $few
	wait $few 2>/dev/null
	rmdir /tmp/cg/few
}

# damon vaddr|paddr ACTION
damon() {
	local d=$DAMON/0/contexts/0
	put 1 $DAMON/nr_kdamonds
	put 1 $DAMON/0/contexts/nr_contexts
	put "$1" $d/operations
	put 1 $d/targets/nr_targets
	if [ "$1" = vaddr ]; then
		put $held $d/targets/0/pid_target
	else
		put 1 $d/targets/0/regions/nr_regions
		put "$(address)" $d/targets/0/regions/0/start
		put $(($(address) + 8388608)) $d/targets/0/regions/0/end
	fi
	put 1 $d/schemes/nr_schemes
	put "$2" $d/schemes/0/action
	put 18446744073709551615 $d/schemes/0/access_pattern/sz/max
	put 4294967295 $d/schemes/0/access_pattern/nr_accesses/max
	put 4294967295 $d/schemes/0/access_pattern/age/max
	put on $DAMON/0/state
	[ "$(cat $DAMON/0/state)" = on ] || return 1
	sleep 4
	put update_schemes_stats $DAMON/0/state
	echo "DAMON $1 $2: tried $(cat $d/schemes/0/stats/sz_tried) bytes,"
	echo "applied to $(cat $d/schemes/0/stats/sz_applied)"
	put off $DAMON/0/state
	put 0 $DAMON/nr_kdamonds
	kill -0 $held
}

probe() {
	cp /bin/busybox /mnt/busybox
	/mnt/busybox sleep 1000 &
	local running=$!
	echo 'p:pfnfs/probe /mnt/busybox:0x1000' >$TRACING/uprobe_events || return 1
	if echo 1 >$TRACING/events/pfnfs/probe/enable; then
		echo "a probe is enabled"
		/mnt/busybox true
		echo 0 >$TRACING/events/pfnfs/probe/enable
	fi
	echo >$TRACING/uprobe_events
	kill $running
	wait $running 2>/dev/null
	rm /mnt/busybox
}

splits() {
	put "/mnt/f,0x0,0x800,0" /sys/kernel/debug/split_huge_pages
	put "$held,0x1000,0x7fffffffffff,0" /sys/kernel/debug/split_huge_pages
	put 1 /sys/kernel/debug/split_huge_pages
}

balance() {
	local old
	old=$(cat /proc/sys/kernel/numa_balancing)
	put 1 /proc/sys/kernel/numa_balancing
	sleep 2
	grep -E '^numa_(pte_updates|hint_faults|pages_migrated) ' /proc/vmstat
	put "$old" /proc/sys/kernel/numa_balancing
}

built() {
	cp "$(command -v looks)" /mnt/looks && /mnt/looks build && rm /mnt/looks
}

# Nobody uses the file: the inode shrinker comes by, and the entries may go (fs-forget).
unused() {
	for i in 1 2 3 2; do echo $i >/proc/sys/vm/drop_caches; done
	mapper open /mnt/small rwc alloc 0 4k map 4k 0 shared rw put 0 4k 7 fsync || return 1
	for i in 2 3 2; do echo $i >/proc/sys/vm/drop_caches; done
	echo "a small file has $(entries /mnt/small) entry"
	mapper open /mnt/small r map 4k 0 shared r get 0 4k 7 && looks same /mnt/f
}

fresh
check "a file with entries of both sizes" looks make /mnt/f
ino=$(stat -c %i /mnt/f)
looks hold /mnt/f >/tmp/holds &
held=$!
check "it is mapped" within 60 grep -q holds /tmp/holds
intact "caches are dropped" sh -c 'for i in 1 2 3; do echo $i >/proc/sys/vm/drop_caches; done'
intact "memory is compacted" put 1 /proc/sys/vm/compact_memory
intact "mlock" looks lock /mnt/f
intact "pagemap, smaps, numa_maps, clear_refs" looks scan /mnt/f
intact "kpageflags, kpagecount, kpagecgroup" \
	looks frames $(frames | cut -d ' ' -f 2 | sed -n '1p;$p')
intact "move_pages, migrate_pages, mbind" looks place /mnt/f
intact "KSM, khugepaged, MADV_COLLAPSE" join
intact "guard pages" looks guard /mnt/f
intact "process_madvise, process_vm_readv, process_vm_writev, /proc/PID/mem, ptrace" \
	looks remote /mnt/f
intact "build ids" built
intact "MADV_SOFT_OFFLINE" looks offline /mnt/f
intact "soft_offline_page" put "$(address)" /sys/devices/system/memory/soft_offline_page
needs /sys/kernel/debug/split_huge_pages "split_huge_pages" splits
needs $LRU "lru_gen is aged and reclaimed from" generations
needs /proc/sys/kernel/numa_balancing "NUMA balancing" balance
mkdir -p /tmp/cg
if mount -t cgroup2 none /tmp/cg 2>/dev/null && grep -q memory /tmp/cg/cgroup.controllers; then
	intact "reclaim in a memory cgroup, and everywhere" reclaim
else
	ktap_test_skip "reclaim in a memory cgroup, and everywhere"
fi
# What some kernels begin with; there is one user at a time.
stat=/sys/module/damon_stat/parameters/enabled
[ ! -e $stat ] || put N $stat
needs $DAMON "DAMON pages virtual addresses out" damon vaddr pageout
needs $DAMON "DAMON pages physical addresses out" damon paddr pageout
needs $TRACING/uprobe_events "uprobes" probe
refuses "swapon" swapon /mnt/f
intact "the file is looked at by cachestat" cachestat look /mnt/f
check "who mapped it all the time has noticed nothing" kill $held
wait $held 2>/dev/null
check "the inode shrinker, when nobody uses the file" unused
check "all bytes are as they were" looks whole /mnt/f
check "a store is still seen" \
	sh -c "mapper open /mnt/f rw fsync && cachestat store /mnt/f 5 1600"
equal "and what was stored to is dirty" "$(entries /mnt/f ' dirty')" 2
umount /tmp/cg 2>/dev/null
gone
done_testing
