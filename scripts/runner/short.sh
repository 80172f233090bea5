#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# guest: load=no size=none timeout=60 kernel=stock
# Plans three results and gives two.
. ./lib.sh
plan 3
check "one" true
check "two" true
exit 0
