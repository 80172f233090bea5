#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# guest: load=no size=none timeout=60 kernel=stock
# All results are good, the exit status is not.
. ./lib.sh
plan 1
check "one" true
exit 3
