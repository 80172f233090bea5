# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
# guest: load=yes size=64M smp=1
# Runs in a guest under the store trace: writes to the device node, of many sizes and at odd places, each a step.
set -e
echo "KTAP version 1"
echo "1..1"
step=0
head -c 1000000 /dev/urandom >/tmp/data
put() { # put BLOCK SEEK COUNT
	step=$((step + 1))
	mark 1 $step
	dd if=/tmp/data of=/dev/pfnfs0 bs="$1" seek="$2" count="$3" conv=notrunc 2>/dev/null
	mark 2 $step
}
for n in 1 2 3 4 5 6; do
	put 1 $((n * 4099)) 1
	put 7 $((n * 1001)) 1
	put 64 $((n * 511)) 3
	put 100 $((n * 77)) 5
	put 512 $((n * 33)) 4
	put 4096 $((n * 9)) 2
	put 1000000 $n 1
	put 3001 $((n * 13)) 1
done
echo "ok 1 node"
