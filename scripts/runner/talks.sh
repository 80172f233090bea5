#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# guest: load=no size=none timeout=3 kernel=stock
# All results are good, but then the script becomes a task that nothing can stop, while the kernel goes on talking.
. ./lib.sh
plan 1
check "one" true
exec insmod /bin/plant.ko kind=talks
