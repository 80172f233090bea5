# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
# For the scripts that test devices.
. ./lib.sh

is() { # is TEXT WANTED GOT
	check "$1: $2" test "$2" = "$3"
}

denied() { # denied TEXT REASON CMD...: the command fails and says why
	local text="$1" why="$2" said
	shift 2
	if said=$("$@" 2>&1); then said="it did not fail"; fi
	# shellcheck disable=SC2016
	check "$text: $why" sh -c 'echo "$1"; case $1 in *"$2"*) ;; *) exit 1 ;; esac' sh "$said" "$why"
}

drivers=/sys/bus/nd/drivers
bind() { echo "$2" >"$drivers/$1/bind"; }          # bind DRIVER NAMESPACE
unbind() { echo "$2" >"$drivers/$1/unbind"; }      # unbind DRIVER NAMESPACE

# The name of a namespace's device. Numbers are given in the order in which namespaces turn up, which varies.
name_of() { ls "/sys/bus/nd/devices/$1/pfnfs"; }

# put FILE OFFSET TEXT: TEXT, in which \\0 is a zero byte, to a node or block device
put() {
	# shellcheck disable=SC2059
	printf "$3" | dd of="$1" bs=1 seek="$2" conv=notrunc,fsync 2>/dev/null
}
