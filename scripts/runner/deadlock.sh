#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# guest: load=no size=none timeout=60 kernel=debug
# All results are good, but lockdep saw two locks taken in both orders.
. ./lib.sh
plan 1
check "one" insmod /bin/plant.ko kind=lock
done_testing
