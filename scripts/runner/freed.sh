#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# guest: load=no size=none timeout=60 kernel=debug
# All results are good, but KASAN saw a write to what was freed.
. ./lib.sh
plan 1
check "one" insmod /bin/plant.ko kind=freed
done_testing
