#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# guest: smp=4
# What the kernel's memory management does to mappings beside their faults: guard markers in their
# places, private copies past a new end. vm.c.
. ./mmap-lib.sh
plan 5
fresh
check "guard markers beside stores" vm guard /mnt/guard 20
sed 's/^/# /' "$OUT"
check "private copies past a new end" vm cut /mnt/cut
gone
done_testing
