# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh disable=SC2034
# Where things are, and how scripts speak. Sourced first by every script: expects $0 in scripts/ or qemu/ of a checkout.

top=$(cd "$(dirname "$0")/.." && pwd -P)
build=$top/build
mkdir -p "$build"
build=$(cd "$build" && pwd -P)      # a work tree may have a link here, to share the root and the kernels
root=$build/root
# What is built from this checkout's own sources, apart from other checkouts sharing the same build directory.
checkout=$(printf %s "$top" | sha256sum | cut -c1-12)
obj=$build/obj/$checkout
# shellcheck source=scripts/versions
. "$top/scripts/versions"

# kernel NAME: sets where its tree, image and modules are, and the words that choose its compiler. stock is Debian's own;
# the others are built by scripts/build-kernel of qemu/NAME.config. KASAN together with Rust needs clang.
kernels="stock debug noblock"
kernel() {
	case $1 in
	stock) tree=$build/linux compiler='' vmlinuz=$build/vmlinuz modules=$build/modules ;;
	debug) tree=$build/linux-debug compiler=LLVM=1 vmlinuz=$build/vmlinuz-debug modules=$build/modules-debug ;;
	noblock) tree=$build/linux-noblock compiler='' vmlinuz=$build/vmlinuz-noblock modules=$build/modules-noblock ;;
	*) die "no kernel '$1'; there are: $kernels" ;;
	esac
}

say() { printf '%s\n' "$*" >&2; }
die() { printf '%s: %s\n' "${0##*/}" "$*" >&2; exit 1; }
# One word for the contents of files and for the values given as arguments: the key of a cached step.
key() { printf '%s\0' "$@" | sha256sum | cut -c1-16; }
