#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# guest: load=no
# The module loads into the kernel as it is, says so, and goes again, twice.
. ./lib.sh
plan 4

check "loads" modprobe pfnfs
check "is in the list of modules" grep -q '^pfnfs ' /proc/modules
check "unloads" rmmod pfnfs
check "loads again" modprobe pfnfs
done_testing
