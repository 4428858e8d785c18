#!/usr/bin/env bash
# The program on the first page of README.md compiles, and prints what is said
# there (its 5 seconds shortened). The map in src/README.md has each module once.
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

# The modules of the map, and those that there are.
awk -F '|' '/^## /{ exit } { print $3 }' "$root/src/README.md" |
    grep -oE '`[^`]+`' | tr -d '`' | sed 's/\.[ch]$//' | sort >"$tmp/told"
(cd "$root/src" && printf '%s\n' *.[ch] *.py) | sed -E 's/\.[ch]$//' >"$tmp/files"
uniq -d "$tmp/told" | grep . && fail 'src/README.md has the above twice'
while read -r file; do
    # A part may go without saying: x_y of x.
    grep -qxF -e "$file" -e "${file%%_*}" "$tmp/told" ||
        fail "src/README.md does not tell of $file"
done <"$tmp/files"
grep -vxF -f "$tmp/files" "$tmp/told" &&
    fail 'src/README.md tells of the above, which are not there'
exit 0
