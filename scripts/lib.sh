# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh disable=SC2034
# Where things are, and how scripts speak. Sourced first by every script: expects $0 in scripts/ or
# qemu/ of a checkout, or $top to be set.

top=${top:-$(cd "$(dirname "$0")/.." && pwd -P)}
build=$top/build
mkdir -p "$build"
build=$(cd "$build" && pwd -P)
# What is downloaded or built once lies in a cache that all checkouts of this user share; build/
# has links to the entries that this checkout uses (scripts/setup).
PFNFS_CACHE=${PFNFS_CACHE:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/pfnfs}
case $PFNFS_CACHE in /*) ;; *) PFNFS_CACHE=$PWD/$PFNFS_CACHE ;; esac
export PFNFS_CACHE
cache=$PFNFS_CACHE
root=$build/root
# What is built from this checkout's own sources.
checkout=$(printf %s "$top" | sha256sum | cut -c1-12)
obj=$build/obj/$checkout
# shellcheck source=scripts/versions
. "$top/scripts/versions"

# kernel NAME: sets where its tree, image and modules are, and the words that choose its compiler.
# stock is Debian's own; scripts/setup NAME builds the others of qemu/NAME.config. KASAN together
# with Rust needs clang.
kernels="stock debug noblock"
kernel() {
	case $1 in
	stock) tree=$build/linux modules=$build/modules compiler='' ;;
	debug) tree=$build/debug/tree modules=$build/debug/modules compiler=LLVM=1 ;;
	noblock) tree=$build/noblock/tree modules=$build/noblock/modules compiler='' ;;
	*) die "no kernel '$1'; there are: $kernels" ;;
	esac
	vmlinuz=$modules/vmlinuz
}

say() { printf '%s\n' "$*" >&2; }
die() { printf '%s: %s\n' "${0##*/}" "$*" >&2; exit 1; }
# One word for the values given as arguments: the key of a cached step.
key() { printf '%s\0' "$@" | sha256sum | cut -c1-16; }
