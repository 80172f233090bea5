#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# guest: load=no size=none timeout=60 kernel=stock
# The guest goes away before its end.
. ./lib.sh
plan 1
check "one" true
poweroff -f -n
sleep 60
