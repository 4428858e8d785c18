# shellcheck shell=bash disable=SC2034
# What every script test starts with: `. "$(dirname "$0")/support/common.sh"`.
#
# $1, else $BUILD, else build/: the build folder. CC, CXX, CFLAGS: the compilers
# and the flags that a program needs to link the libtask.a in there.
#
# Gives $root, $build, and $tmp, a folder that goes when the script ends.

set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
build=$(realpath -m "${1:-${BUILD:-$root/build}}")
CC=${CC:-cc}
CXX=${CXX:-c++}
CFLAGS=${CFLAGS:-}
export CC CXX CFLAGS
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

fail() {
    printf '%s: %s\n' "${0##*/}" "$*" >&2
    exit 1
}

# ctest counts 77 as skipped.
skip() {
    printf '%s: skipped: %s\n' "${0##*/}" "$*"
    exit 77
}

have() {
    command -v "$1" >/dev/null 2>&1
}

# grep -q for a pipe: that ends at the first match, and by pipefail whoever still writes
# to it makes the pipe fail. This reads all.
matches() {
    [[ $(grep -c "$@") -gt 0 ]]
}
