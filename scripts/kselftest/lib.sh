# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
# For the test scripts: KTAP by the kernel's own helpers (tools/testing/selftests/kselftest/ktap_helpers.sh), and a
# shorter way to write a test. A script runs in this directory, in a guest with a blank NVDIMM, under busybox sh:
#
#	. ./lib.sh
#	plan 2                                  how many results there will be
#	check "the node appears" test -c /dev/pfnfs0
#	refuses "a second mount" mount -t pfnfs pfnfs0 /mnt
#	done_testing
. ../kselftest/ktap_helpers.sh
TESTS=$PWD PATH=$PATH:$PWD                         # in a kernel tree the programs are built here

# On a machine that is no guest of ours nothing is touched that nobody gave away.
if ! grep -q guest.kernel= /proc/cmdline && [ "${PFNFS_SCRATCH-}" != yes ]; then
	echo "TAP version 13"
	echo "1..0 # SKIP destroys what is on /dev/pfnfs*: say PFNFS_SCRATCH=yes"
	exit "$KSFT_SKIP"
fi
KERNEL=${KERNEL:-stock}

plan() {
	echo "KTAP version 1"
	ktap_set_plan "$1"
}

# failing TEXT: a failed result. For who only asks whether there is one, it is the last.
failing() {
	ktap_test_fail "$1"
	[ -z "$STOP" ] || exit 1
}

# The output of the last command that was checked, for tests that look at messages.
OUT=/tmp/check.out

# check TEXT CMD...: passes if the command succeeds; what it said is shown if not.
check() {
	local text="$1"
	shift
	if "$@" >$OUT 2>&1; then
		ktap_test_pass "$text"
	else
		sed 's/^/# /' $OUT
		failing "$text"
	fi
}

# refuses TEXT CMD...: passes if the command fails.
refuses() {
	local text="$1"
	shift
	if "$@" >$OUT 2>&1; then
		failing "$text"
	else
		ktap_test_pass "$text"
	fi
}

# says TEXT PATTERN: passes if the kernel's log has a line that matches since this script began.
says() {
	if dmesg | grep -Eq -- "$2"; then ktap_test_pass "$1"; else failing "$1"; fi
}

# What is tested: pfnfs on the first device. For the author of a test only: FS=ext4 runs it on ext4 with -o dax on the
# same NVDIMM (by nd_pmem, with a mke2fs in the guest), FS=tmpfs on tmpfs, which shows that the test is right.
FS=${FS:-pfnfs}
case $FS in
pfnfs) DEV=/dev/pfnfs0 SOURCE=pfnfs0 ;;
tmpfs) DEV=none SOURCE=none ;;
*) DEV=/dev/pmem0 SOURCE=/dev/pmem0 ;;
esac

make_fs() { # make_fs [MKFS ARGUMENT...]
	case $FS in
	pfnfs) mkfs.pfnfs -f "$@" $DEV ;;
	tmpfs) ;;
	*) modprobe nd_pmem && /sbin/mke2fs -t ext4 -F -q -b 4096 -m 0 -E lazy_itable_init=0,nodiscard,stride=512,stripe_width=512 "$@" $DEV ;;
	esac
}

mount_fs() { # mount_fs [OPTION,...]
	case $FS in
	pfnfs) mount -t pfnfs ${1:+-o "$1"} $SOURCE /mnt ;;
	tmpfs) mount -t tmpfs -o size=200m $SOURCE /mnt ;;
	*) mount -t ext4 -o "dax${1:+,$1}" $SOURCE /mnt && rm -rf /mnt/lost+found ;;
	esac
}

# fresh [MKFS ARGUMENT...]: an empty file system on the first device, mounted on /mnt.
fresh() {
	umount /mnt 2>/dev/null
	make_fs "$@" >/tmp/mkfs.out 2>&1 && mount_fs && return 0
	cat /tmp/mkfs.out
	return 1
}

# again [OPTION,...]: unmounts and mounts it, so that everything that follows comes from the media.
again() {
	if [ $FS = tmpfs ]; then return; fi
	umount /mnt && mount_fs "$@"
}

# free: the numbers of free blocks and free inodes, when everything that was deleted has been given back.
free() { sync; stat -f -c '%f %d' /mnt; }

# within SECONDS CMD...: passes as soon as the command succeeds.
within() {
	local tries=$(($1 * 10))
	shift
	until "$@"; do
		tries=$((tries - 1))
		[ $tries -gt 0 ] || return 1
		sleep 0.1
	done
}

# ended PID: within a minute. What hangs, hangs for ever, and cannot be waited for.
ended() { within 60 sh -c "case \$(sed -n 's/^State:.//p' /proc/$1/status 2>/dev/null) in '' | [ZX]*) ;; *) exit 1 ;; esac"; }
# fine PID: it ends with status 0.
fine() { ended "$1" && wait "$1"; }

# litter: no block of the file system that is free is blank.
litter() {
	local i=0
	dd if=/dev/urandom of=/tmp/noise bs=1M count=4 2>/dev/null
	while cat /tmp/noise 2>/dev/null >/mnt/noise$i; do i=$((i + 1)); done
	rm /mnt/noise* && sync
}

# unmount_waits HOW [CMD...]: four results, and those of the command. Unmounting waits for a pin (of a file that still has its name,
# or not: HOW is a command of pin.c), and not longer; what the command does meanwhile does not.
unmount_waits() {
	local how="$1" holder unmounter
	shift
	pin "$how" /mnt/held /tmp/held >/tmp/hold.out 2>&1 &
	holder=$!
	check "$how: a pin without file and mapping" within 10 test -e /tmp/held
	umount /mnt &
	unmounter=$!
	sleep 1
	check "$how: umount waits for it" test -d /proc/$unmounter
	"$@"
	rm /tmp/held
	check "$how: the pin goes" fine $holder
	check "$how: and umount ends" fine $unmounter
}

# fails_at ADDRESS...: memory fails at these physical addresses, and the kernel has been told. On the stock kernel by a machine
# check (the script says "# guest: monitor=yes"): that an error was found there that nobody has met. Then the kernel takes the
# page out of its direct mapping, too, right after it has dealt with all else. The other kernels are only told, as a machine
# check turns their checks of locks off.
fails_at() {
	local at pfn
	for at; do
		pfn=$(printf '%#x' $((at / 4096)))
		if [ "$KERNEL" != stock ]; then
			echo $((at)) >/sys/devices/system/memory/hard_offline_page || return 1
			continue
		fi
		dealt=$(dealt_with "$pfn")
		printf 'mce 0 9 0xbd000000000000cf 0xd %#x 0x8c\n' $((at)) >/dev/ttyS2
		within 20 more_dealt_with "$pfn" || return 1
	done
}

dealt_with() { dmesg | grep -cE "Memory failure: $1: (recovery action|memory outside kernel control)"; }
more_dealt_with() { [ "$(dealt_with "$1")" -gt "$dealt" ]; }

# tree DIR: all names below it with kind, mode, links, owner, size, device, time and target, and checksums, in a fixed order.
tree() {
	(
		cd "$1" || exit 1
		find . -print0 | sort -z | xargs -0 stat -c '%N %f %h %u %g %s %t %T %y'
		find . -type f -print0 | sort -z | xargs -0 -r sha256sum
	)
}

# same TEXT WANT GOT: passes if the two are equal.
same() {
	[ "$2" = "$3" ] || printf '# want: %s\n# got:  %s\n' "$2" "$3"
	check "$1" [ "$2" = "$3" ]
}

# fails TEXT ERRNO CALL ARGUMENT...: passes if the system call (see fsop.c) fails with that errno, or says "ok" for ok.
fails() {
	local text="$1" want="$2"
	shift 2
	same "$text" "$want" "$(fsop errno "$@")"
}

done_testing() { ktap_finished; }
