# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
# For the two scripts of the demo: say what is done, do it, show what it said, stop if it failed.
. /demo/options
MNT=/mnt

tell() { printf '\n  %s\n' "$*"; }

run() {
	printf '    $ %s\n' "$*"
	if "$@" >/tmp/out 2>&1; then
		sed 's/^/      /' /tmp/out
	else
		sed 's/^/      /' /tmp/out
		printf '    failed\n'
		exit 1
	fi
}
