#!/usr/bin/env bash
# The program on the first page of README.md compiles, and prints what is said
# there (its 5 seconds shortened).
. "$(dirname "$0")/support/common.sh"

awk '/^```c$/ { inside = 1; next } /^```$/ { inside = 0 } inside' \
    "$root/README.md" | sed 's/5 \* TASK_SECOND/5 * TASK_MILLISECOND/' \
    >"$tmp/program.c"
# shellcheck disable=SC2086 # words are wanted
$CC -std=c11 -Wall -Wextra -Werror $CFLAGS -I "$root/include" "$tmp/program.c" \
    "$build/libtask.a" -pthread -o "$tmp/program"
grep -A 2 '^    Coroutine is running$' "$root/README.md" | sed 's/^    //' \
    >"$tmp/wanted"
"$tmp/program" >"$tmp/printed"
cmp "$tmp/wanted" "$tmp/printed" || fail 'other output'
[[ $(wc -l <"$tmp/wanted") == 3 ]] || fail 'no output in README.md'

# What it links to exists.
grep -oE '\]\([^)]+\)' "$root/README.md" | tr -d '])(' | while read -r path; do
    [[ -e $root/$path ]] || fail "$path is not there"
done
