#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# guest: load=no size=none timeout=60 kernel=stock
# Skips what no list allows.
. ./lib.sh
plan 2
check "one" true
ktap_test_skip "two"
done_testing
