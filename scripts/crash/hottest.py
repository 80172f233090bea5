#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""hottest.py SYMBOLS HOT OPERATION RUNS: add up a plugin's hot blocks by function, and print the first 40, per run."""
import bisect, collections, sys

symbols, hot, operation, runs = sys.argv[1:5]
table = sorted((int(a, 16), name) for a, name in (line.split(maxsplit=1) for line in open(symbols)))
starts = [a for a, _ in table]
sums = collections.Counter()
for line in open(hot):
    name, vaddr, insns = line.rstrip("\n").split("\t")
    if name == operation:
        at = bisect.bisect_right(starts, int(vaddr, 16)) - 1
        known = at >= 0 and int(vaddr, 16) >> 63
        sums[table[at][1].strip() if known else "(the program)"] += int(insns)
for function, insns in sums.most_common(40):
    print(f"{insns // max(int(runs or 1), 1):10} {function[:150]}")
