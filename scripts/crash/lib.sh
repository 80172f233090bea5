# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2154
# For scripts that run guests under the store trace. Sourced after scripts/lib.sh, within the root.

trace=$obj/trace
# Where QEMU puts the first NVDIMM of a q35 machine with less than 2 GiB of memory.
nvdimm_base=$((1 << 32))

# fresh IMAGE SIZE: an empty image.
fresh() {
	rm -f "$1"
	truncate -s "$2" "$1"
}

# traced DIR OPTIONS SCRIPT [RUN ARGUMENT...]: run SCRIPT in a guest with DIR/nv.img, which is first copied to DIR/start.img; its stores
# are logged in DIR/log. OPTIONS are the plugin's further ones (",count=on"). One vCPU only: with several that take turns
# (thread=single) QEMU tells plugins the number of the vCPU that translated an instruction, not of the one that executes it, so
# fences were credited to the wrong one; with several at once the log would not be in true order.
traced() {
	local dir=$1 options=$2 script=$3
	shift 3
	cp --sparse=always "$dir/nv.img" "$dir/start.img"
	"$top/qemu/run" --dir "$dir" --nvdimm "$dir/nv.img" --accel tcg,thread=single "$@" --smp 1 "$script" -- \
		-plugin "$trace/libstore_trace.so,log=$dir/log,base=$nvdimm_base,size=$(stat -c %s "$dir/nv.img")$options"
}

# cut_tool COMMAND ARGUMENT...: store-cut on the log and the start image in $dir.
cut_tool() {
	local command=$1
	shift
	RUST_BACKTRACE=0 "$trace/store-cut" "$command" --start "$dir/start.img" --log "$dir/log" "$@"
}

# bad_log FILE: what a kernel log must not have, as a failure.
bad_log() {
	grep -E -f <(grep -v '^#' "$top/scripts/reports") "$1" | grep -v 'pfnfs-test:' | sed 's/^/not ok kernel log: /' || :
}

# KTAP on standard output.
tests=0 failed=0
ok() { # ok NAME [DETAIL]: counts a success
	tests=$((tests + 1))
	printf 'ok %d %s\n' $tests "$1"
	detail "${2-}"
}
not_ok() {
	tests=$((tests + 1)) failed=$((failed + 1))
	printf 'not ok %d %s\n' $tests "$1"
	detail "${2-}"
}
detail() {
	if [ -n "$1" ]; then printf '%s\n' "$1" | sed 's/^/# /'; fi
}
# expect NAME COMMAND...: ok if the command succeeds; what it says goes along.
expect() {
	local name=$1 said
	shift
	if said=$("$@" 2>&1); then ok "$name" "$said"; else not_ok "$name" "$said"; fi
}
# The stage's last line, and its exit status.
summary() {
	printf '%d passed, %d failed, 0 skipped\n' $((tests - failed)) $failed
	[ $failed = 0 ]
}
