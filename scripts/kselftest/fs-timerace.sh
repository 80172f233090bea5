#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# guest: size=64M weight=30
# Times when calls meet: a call and fsync(2), calls and stores through mappings, a file that is written before it has a name.
. ./lib.sh
plan 24

for seed in 1 2 3; do
	check "a fresh file system (seed $seed)" fresh
	check "calls against fsync" timerace race /mnt /tmp/race $seed 280
	check "unmount and mount" again
	check "all as before" filetime same /tmp/race
	check "calls beside stores by a mapping" timerace watch /mnt $seed 1500
done

for after in nothing sync; do
	check "a fresh file system (tmpfile, $after)" fresh
	check "names for files that were changed before" timerace tmpfile /mnt /tmp/tmpfile
	[ $after = nothing ] || sync
	check "unmount and mount" again
	check "all as before" filetime same /tmp/tmpfile
done
check "unmount" umount /mnt
done_testing
