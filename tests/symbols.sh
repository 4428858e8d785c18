#!/usr/bin/env bash
# libtask.a defines no external symbol but task_*, loop_* and create_task; and
# what <sys/sdt.h> has every object of a program with probes share. It wants no function
# that glibc has only lately.
. "$(dirname "$0")/support/common.sh"

nm --defined-only --extern-only --format=posix "$build/libtask.a" |
    awk 'NF > 1 { print $1 }' >"$tmp/symbols"
for symbol in loop_run task_create create_task task_await; do
    grep -qx "$symbol" "$tmp/symbols" || fail "$symbol is missing"
done
if grep -vE '^(task_.*|loop_.*|create_task|_\.stapsdt\.base)$' "$tmp/symbols"; then
    fail 'libtask.a defines the above'
fi

nm --undefined-only --format=posix "$build/libtask.a" >"$tmp/wanted"
! grep '^epoll_pwait2 ' "$tmp/wanted" || fail 'glibc has that since 2.35'
