#!/usr/bin/env bash
# The library, the examples and smoke.c, compiled for other processors, run under qemu:
# AArch64 with both kinds of switches, where gdb looks at a core of such a program; others,
# which have swapcontext only (s390x is big-endian), if their compilers are there.
. "$(dirname "$0")/support/common.sh"

echo 'int main(void) { return 0; }' >"$tmp/trivial.c"
unset CFLAGS CC
tried=

# with <processor> <prefix of the compiler> <context>...: $cross for each context
with() {
    local processor=$1 compiler=$2-gcc context qemu

    qemu=$(command -v "qemu-$processor" || command -v "qemu-$processor-static") &&
        have "$compiler" &&
        "$compiler" -static "$tmp/trivial.c" -o "$tmp/trivial" && "$qemu" "$tmp/trivial" || {
        echo "$processor: no $compiler, or no qemu for its programs"
        return 0
    }
    for context in "${@:3}"; do
        cross=$tmp/$processor-$context
        cmake -S "$root" -B "$cross" -DTASK_CONTEXT="$context" -DTASK_WERROR=ON \
            -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR="$processor" \
            -DCMAKE_C_COMPILER="$compiler" -DCMAKE_EXE_LINKER_FLAGS=-static \
            -DCMOCKA_LIBRARY=OFF >"$tmp/log" 2>&1 || { cat "$tmp/log"; false; }
        cmake --build "$cross" -j2 >"$tmp/log" 2>&1 || { cat "$tmp/log"; false; }
        "$qemu" "$cross/tests/smoke" || fail "$processor, $context: smoke"
        LAUNCHER=$qemu "$root/tests/examples.sh" "$cross" ||
            fail "$processor, $context: examples"
        [[ $processor != aarch64 ]] ||
            LAUNCHER=$qemu GDB=gdb-multiarch CC=$compiler CFLAGS=-static \
                "$root/tests/gdb_tasks.sh" "$cross" || (($? == 77)) ||
            fail "$processor, $context: gdb"
        echo "$processor, $context: fine"
        tried=1
    done
}

with aarch64 aarch64-linux-gnu native ucontext
with riscv64 riscv64-linux-gnu native
with s390x s390x-linux-gnu native
with ppc64le powerpc64le-linux-gnu native
[[ $tried ]] || skip 'install gcc-aarch64-linux-gnu and qemu-user'
