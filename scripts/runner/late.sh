#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# guest: load=no size=none timeout=60
# All results are good, but the kernel warns when what was loaded is unloaded after the script's end.
. ./lib.sh
plan 1
check "one" insmod /bin/plant.ko kind=late
done_testing
