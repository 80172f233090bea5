#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# guest: load=no size=none timeout=60 kernel=stock
# All results are good, but a module that the script loaded cannot be unloaded.
. ./lib.sh
plan 1
check "one" insmod /bin/plant.ko kind=leak
done_testing
