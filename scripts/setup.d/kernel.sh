# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh disable=SC2154,SC2164
# The kernel of qemu/$name.config from the same source as the stock one: $OUT/tree, and $OUT/modules
# with the image. Sourced by the steps debug and noblock, with $name set.
# shellcheck source=scripts/lib.sh
. "$top/scripts/lib.sh"
kernel "$name"
config=$top/qemu/$name.config
tree=$OUT/tree
mkdir -p "$tree"
cp -al "$build/source/." "$tree"                   # of what the link leads to
cp "$config" "$tree/.fragment"
cd "$tree"
in=$top/scripts/in-root
# shellcheck disable=SC2086
make() { nice -n "${NICE-5}" "$in" make $compiler "$@"; }
make tinyconfig
"$in" scripts/kconfig/merge_config.sh -m .config .fragment
make olddefconfig

# An option that another one rules out is dropped without a word: RUST with a compiler it does not
# like, for one.
grep '^CONFIG_' "$config" | while IFS='=' read -r option value; do
	case $value in
	n) ! grep -q "^$option=" .config || say "  $option should be off" ;;
	*) grep -q "^$option=$value\$" .config ||
		say "  $option should be $value, is '$(sed -n "s/^$option=//p" .config)'" ;;
	esac
done 2>.wrong
if [ -s .wrong ]; then
	cat .wrong >&2
	die "these options of qemu/$name.config did not survive olddefconfig"
fi

make -j"$(nproc)" bzImage modules
make INSTALL_MOD_PATH="$OUT/installed" modules_install
release=$(cat include/config/kernel.release)
mv "$OUT/installed/lib/modules/$release" "$OUT/modules"
rm -rf "$OUT/installed"
mkdir -p "$OUT/modules/lib/modules"
ln -s ../.. "$OUT/modules/lib/modules/$release"
cp arch/x86/boot/bzImage "$OUT/modules/vmlinuz"
# Modules are built with the headers, the scripts, objtool and the metadata of the Rust crates alone.
find . \( -path ./scripts -o -path ./tools -o -path ./rust \) -prune -o \
	\( -name '*.o' -o -name '*.a' -o -name '.*.cmd' -o -name 'vmlinux*' \) -type f -exec rm -f {} +
rm -f rust/kernel/generated_arch_*.rs.S            # as in the step linux
