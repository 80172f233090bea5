#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# guest: load=no size=none timeout=60
# All results are good, but the kernel warned.
. ./lib.sh
plan 1
check "one" insmod /bin/plant.ko kind=warn
done_testing
