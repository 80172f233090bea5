# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh disable=SC2046,SC2086
# guest: load=no share=root
# Runs in a guest that has cut images as its NVDIMMs: mounts each, compares it with what the workload had done, does some further steps and
# compares again, reads all after a remount, removes all, and looks for space that is lost. /crash/cuts: one line "NUMBER DONE BEGUN words" for each image, in the order of the NVDIMMs.
. /crash/fs.sh
. /crash/options
echo "KTAP version 1"
echo "1..$(wc -l </crash/cuts)"
fs_load
number=0
result() { # result NAME STATUS OUTPUT
	number=$((number + 1))
	if [ "$2" = 0 ]; then echo "ok $number $1"; else echo "not ok $number $1"; fi
	if [ -n "$3" ]; then echo "$3" | sed 's/^/# /'; fi
}
verify() { # verify ADDRESS DONE BEGUN
	fs_mount "$1" /mnt || return 1
	rc=0
	crash-load check /mnt/work --seed "$SEED" --done "$2" --begun "$3" --further 12 || rc=1
	umount /mnt || return 1
	[ $rc = 0 ] || return 1
	fs_mount "$1" /mnt || return 1
	find /mnt -type f -exec cat {} + >/dev/null || rc=1
	rm -rf /mnt/work || rc=1
	umount /mnt || return 1
	fs_mount "$1" /mnt || return 1
	set -- $(stat -f -c '%f %d' /mnt) $EMPTIED
	umount /mnt || return 1
	if [ "$1" -lt "$3" ] || [ "$2" -lt "$4" ]; then
		echo "with all removed $1 blocks and $2 inodes are free, less than the $3 and $4 after the whole workload"
		return 1
	fi
	return $rc
}
at=$((1 << 32))
while read -r image first begun words; do
	said=$(verify $at "$first" "$begun" 2>&1)
	result "cut $image in step $begun ($words)" $? "$said"
	at=$((at + SIZE))
done </crash/cuts
