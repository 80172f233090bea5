# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh disable=SC2046,SC2086
# guest: load=no
# Runs in a guest that has cut images as its NVDIMMs: mounts each, compares it with what its workload had done, does another workload, removes
# all, and looks for space that is lost. /crash/cuts: one line "NUMBER STATE words" for each image, in the order of the NVDIMMs.
. /crash/fs.sh
. /crash/options
echo "KTAP version 1"
echo "1..$(wc -l </crash/cuts)"
fs_load
for dev in /sys/class/pfnfs/pfnfs*; do
	echo "$(($(cat "$dev/device/../resource"))) ${dev##*/}"
done >/tmp/devices
verify() { # verify DEVICE STATE
	mount -t pfnfs "$1" /mnt || return 1
	rc=0
	crash-load check-suite /mnt "$2" --seed "$SEED" || rc=1
	crash-load suite /mnt --first 999996 --last 999996 --seed "$SEED" || rc=1
	rm -rf /mnt/w* || rc=1
	umount /mnt || return 1
	mount -t pfnfs "$1" /mnt || return 1
	set -- $(stat -f -c '%f %d' /mnt) $EMPTIED
	umount /mnt || return 1
	if [ "$1" -lt "$3" ] || [ "$2" -lt "$4" ]; then
		echo "with all removed $1 blocks and $2 inodes are free, less than the $3 and $4 after all workloads"
		return 1
	fi
	return $rc
}
at=$((1 << 32))
number=0
while read -r image state words; do
	number=$((number + 1))
	if said=$(verify "$(sed -n "s/^$at //p" /tmp/devices)" "$state" 2>&1); then
		echo "ok $number workload $state ($words)"
	else
		echo "not ok $number workload $state ($words)"
	fi
	[ -z "$said" ] || echo "$said" | sed 's/^/# /'
	at=$((at + SIZE))
done </crash/cuts
