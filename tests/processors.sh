#!/usr/bin/env bash
# The library, the examples and smoke.c, compiled for AArch64, run under qemu,
# with both kinds of switches. gdb looks at a core of such a program.
. "$(dirname "$0")/support/common.sh"

compiler=aarch64-linux-gnu-gcc
qemu=$(command -v qemu-aarch64 || command -v qemu-aarch64-static) ||
    skip 'no qemu-aarch64: install qemu-user'
have "$compiler" || skip "no $compiler: install gcc-aarch64-linux-gnu"
echo 'int main(void) { return 0; }' >"$tmp/trivial.c"
{ "$compiler" -static "$tmp/trivial.c" -o "$tmp/trivial" && "$qemu" "$tmp/trivial"; } ||
    skip "$compiler makes no program that runs"
unset CFLAGS CC

for context in native ucontext; do
    cross=$tmp/$context
    cmake -S "$root" -B "$cross" -DTASK_CONTEXT=$context -DTASK_WERROR=ON \
        -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=aarch64 \
        -DCMAKE_C_COMPILER="$compiler" -DCMAKE_EXE_LINKER_FLAGS=-static \
        -DCMOCKA_LIBRARY=OFF >"$tmp/log" 2>&1 || { cat "$tmp/log"; false; }
    cmake --build "$cross" -j2 >"$tmp/log" 2>&1 || { cat "$tmp/log"; false; }
    "$qemu" "$cross/tests/smoke" || fail "$context: smoke"
    LAUNCHER=$qemu "$root/tests/examples.sh" "$cross" || fail "$context: examples"
    LAUNCHER=$qemu GDB=gdb-multiarch CC=$compiler CFLAGS=-static \
        "$root/tests/gdb_tasks.sh" "$cross" || (($? == 77)) || fail "$context: gdb"
    echo "$context: fine"
done
