# SPDX-License-Identifier: GPL-2.0
# What one can ask for; how it is done is in scripts/. The first use of anything builds what it needs, in build/ and in a cache for all checkouts.

.PHONY: all setup module tools demo crash fuzz test check check-full shell cost install clean clean-cache help fmt
.NOTPARALLEL:

all: module tools		## the module against Debian's kernel, and the tools (the default)

setup:				## the pinned Debian root, the kernels' trees and modules
	@scripts/setup

module: setup			## the module against Debian's kernel
	@scripts/build-module stock

tools: setup			## mkfs.pfnfs, dump.pfnfs, fsck.pfnfs and the tests' helper programs
	@scripts/build-tools

demo: all			## a file system on an emulated NVDIMM through a power cut
	@scripts/demo

test:				## while working: build, lint, host tests, all guest scripts on the stock kernel
	@scripts/check --tier test

check:				## every test, each stage within its time limit
	@scripts/check

check-full:			## the same without limits, at the larger size, and on the kernel without block layer
	@scripts/check --tier full

crash: setup			## power cuts of the media core, SECONDS=600 SEED=1 JOBS=all cores
	@scripts/crash-explore --seconds $(or $(SECONDS),600) $(if $(SEED),--seed $(SEED)) $(if $(JOBS),--jobs $(JOBS))

fuzz: setup			## hostile images for the media core, until interrupted (SEED=N)
	@scripts/fuzz run --images 0 --seed $${SEED:-$$(date +%s)} --collect

shell: all			## an interactive guest with everything loaded
	@qemu/run --shell --share .

cost: all			## instructions, fences and lines per operation
	@scripts/cost

install: all			## the module and the tools into this machine
	@scripts/install

fmt:				## format the Rust sources
	@scripts/fmt

clean:				## this checkout's products
	@scripts/clean

clean-cache:			## what all checkouts share: the root, the kernels, the downloads (PFNFS_CACHE)
	@scripts/clean cache

help:				## this list
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/  \1~\2/p' $(MAKEFILE_LIST) | sed 's/~/               /; s/^\(.\{15\}\) */\1 /'
