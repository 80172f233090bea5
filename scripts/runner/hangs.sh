#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# guest: load=no size=none timeout=3 kernel=stock
# Never ends.
. ./lib.sh
plan 1
check "one" true
sleep 1000
