#!/usr/bin/env bash
# The examples print what they should, byte for byte, through a pipe and into a
# file, and refuse bad arguments. LAUNCHER goes before each command.
. "$(dirname "$0")/support/common.sh"

launcher=${LAUNCHER:-}

# expect <wanted output> <example> [argument...]
expect() {
    local wanted=$1 program=$build/examples/$2
    shift 2
    printf '%s\n' "$wanted" >"$tmp/wanted"
    $launcher "$program" "$@" | cat >"$tmp/piped" || fail "$program $*: failed"
    cmp "$tmp/wanted" "$tmp/piped" || fail "$program $* | cat: other output"
    $launcher "$program" "$@" >"$tmp/file" || fail "$program $*: failed"
    cmp "$tmp/wanted" "$tmp/file" || fail "$program $* >file: other output"
}

# refuse <example> [argument...]: usage on stderr, nothing on stdout, exit code 2
refuse() {
    local program=$build/examples/$1 code=0
    shift
    $launcher "$program" "$@" >"$tmp/out" 2>"$tmp/err" || code=$?
    [[ $code == 2 && ! -s $tmp/out ]] || fail "$program $*: not refused ($code)"
    grep -q '^usage: ' "$tmp/err" || fail "$program $*: no usage"
}

running='Coroutine is running'
other='Main doing other stuff...'
done='Coroutine is done'
for seconds in 0 0.000000001 0.02 0.3; do
    expect "$running"$'\n'"$done" foreground_task "$seconds"
    expect "$running"$'\n'"$other"$'\n'"$done" background_task "$seconds"
done
for example in foreground_task background_task; do
    for argument in '' x 1x -1 nan inf 1e300; do
        refuse "$example" "$argument"
    done
    refuse "$example" 1 2
    ! $launcher "$build/examples/$example" 0 >/dev/full 2>"$tmp/err" ||
        fail "$example: a full disk goes unnoticed"
done
