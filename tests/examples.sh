#!/usr/bin/env bash
# The examples print what they should, byte for byte, through a pipe and into a
# file, and refuse bad arguments. LAUNCHER goes before each command.
. "$(dirname "$0")/support/common.sh"

launcher=${LAUNCHER:-}

# run <exit code> <command...>
run() {
    local wanted=$1 code=0
    shift
    $launcher "$@" 2>"$tmp/err" || code=$?
    [[ $code == "$wanted" ]] || fail "$*: exit code $code instead of $wanted"
}

# expect_code <exit code> <wanted output> <example> [argument...]
expect_code() {
    local code=$1 wanted=$2 program=$build/examples/$3
    shift 3
    printf '%s\n' "$wanted" >"$tmp/wanted"
    run "$code" "$program" "$@" | cat >"$tmp/piped"
    cmp "$tmp/wanted" "$tmp/piped" || fail "$program $* | cat: other output"
    run "$code" "$program" "$@" >"$tmp/file"
    cmp "$tmp/wanted" "$tmp/file" || fail "$program $* >file: other output"
}

# expect <wanted output> <example> [argument...]: and exit code 0
expect() {
    expect_code 0 "$@"
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

# worker_pool: below a tree with a link, an empty directory and a deep one
mkdir -p "$tmp/tree/empty" "$tmp/tree/a/b/c/d"
printf 12345 >"$tmp/tree/five"
printf 1234567 >"$tmp/tree/a/b/seven"
ln -s /nowhere/at/all "$tmp/tree/a/link" # 15 bytes
for i in {1..50}; do
    mkdir "$tmp/tree/$i"
    printf x >"$tmp/tree/$i/one"
done
expect '56 directories, 53 files, 77 bytes' worker_pool "$tmp/tree"
for workers in 1 2 100; do
    expect '56 directories, 53 files, 77 bytes' worker_pool "$tmp/tree" "$workers"
done
expect '0 directories, 1 files, 5 bytes' worker_pool "$tmp/tree/five"
for workers in '' x 0 101 -1 1x; do
    refuse worker_pool "$tmp/tree" "$workers"
done
refuse worker_pool "$tmp/tree" 1 1
! $launcher "$build/examples/worker_pool" "$tmp/none" >/dev/null 2>"$tmp/err" ||
    fail 'worker_pool: what is missing goes unnoticed'
grep -v '^==' "$tmp/err" >"$tmp/said" # AddressSanitizer warns of makecontext
printf '%s: No such file or directory\n' "$tmp/none" | cmp - "$tmp/said"
! $launcher "$build/examples/worker_pool" "$tmp/tree" >/dev/full 2>"$tmp/err" ||
    fail 'worker_pool: a full disk goes unnoticed'

primes='25 primes, the largest is 97; 16 numbers in the queue at most'
for list in '' 1 '1 1' '1 100' '100 1' '7 5'; do
    read -ra tasks <<<"$list"
    expect "$primes" producers_consumers 100 "${tasks[@]}"
done
expect '0 primes, the largest is 0; 1 numbers in the queue at most' \
    producers_consumers 1
for argument in '' x 0 -1 1x 100000001; do
    refuse producers_consumers "$argument"
    refuse producers_consumers 1 1 "$argument"
done
refuse producers_consumers 1 1 1 1
! $launcher "$build/examples/producers_consumers" >/dev/full 2>"$tmp/err" ||
    fail 'producers_consumers: a full disk goes unnoticed'

# without memory for all of its tasks each says so, and none waits for the others
short_of_memory() {
    local kilobytes code program=$build/examples/$1
    shift

    # from where it gets as far as to look at its arguments
    for ((kilobytes = 2000; kilobytes < 14000; kilobytes += 100)); do
        (ulimit -c 0 -v $kilobytes; exec "$program" x x x x) >/dev/null 2>"$tmp/err" || true
        [[ $(<"$tmp/err") == *usage* ]] || continue
        code=0
        (ulimit -v $kilobytes; exec "$program" "$@") >"$tmp/out" 2>"$tmp/err" || code=$?
        [[ $code == 0 || $(<"$tmp/err") == *:* ]] ||
            fail "$program with $kilobytes KiB: exit code $code without a word"
        [[ $(<"$tmp/err") != *'would wait'* ]] ||
            fail "$program with $kilobytes KiB: $(<"$tmp/err")"
    done
}
# AddressSanitizer takes terabytes, and so has nothing to say here
if [[ -z $launcher ]] &&
    { (ulimit -c 0 -v 60000; exec "$build/examples/pipeline" 20 true); } 2>/dev/null; then
    short_of_memory producers_consumers 100 100 100
    short_of_memory worker_pool "$tmp/tree" 100
    short_of_memory pipeline 20 true
fi

# dining: with a deadlock, everyone waits for a neighbour
expect "$(printf '%s has eaten 3 times\n' Plato Hypatia Kant Arendt Hume)" dining
refuse dining x
refuse dining deadlock x
! $launcher "$build/examples/dining" deadlock >"$tmp/out" 2>"$tmp/err" ||
    fail 'dining deadlock: goes unnoticed'
printf '%s has eaten 0 times\n' Plato Hypatia Kant Arendt Hume |
    cmp - "$tmp/out" || fail 'dining deadlock: other output'
grep -q 'deadlock: 6 tasks can never be woken' "$tmp/err" ||
    fail 'dining deadlock: no report'
wanted='  a cycle: task 2 "Plato" -> task 3 "Hypatia" -> task 4 "Kant" -> task 5 "Arendt" -> task 6 "Hume" -> task 2 "Plato"'
grep -qxF "$wanted" "$tmp/err" || fail 'dining deadlock: another cycle'

# inspect: what is different in each run is masked
masked() { # masked <file>: without what AddressSanitizer says of makecontext
    sed -E '/^==/d; s/0x[0-9a-f]+/0x/; s/[0-9.]+ (us|ms|s|min [0-9]+ s)\b/? s/g
        s/[0-9.]+ of [0-9]+ KiB/? KiB/; s/created at [^;,]*\/(inspect.c):[0-9]+/created at \1/' \
        "$1"
}
# inspect <exit code> <mode> <stdout or stderr>: the lines on stdin
inspect() {
    run "$1" "$build/examples/inspect" "$2" >"$tmp/out"
    masked "$tmp/$3" >"$tmp/masked"
    cmp - "$tmp/masked" || { cat "$tmp/masked"; fail "inspect $2: other output"; }
}
refuse inspect
refuse inspect x
refuse inspect dump dump
inspect 0 dump out <<'END'
loop 0x: 5 tasks, 1 running, 4 parked, 2 timers
  task 1 "task-1", running; stack ? KiB
  task 2 "mill", parked ? s: racing 3 tasks; created at inspect.c; stack ? KiB
    task 3 "miller", parked ? s: sleeping ? s more; awaited by tasks 2, 4; created at inspect.c; stack ? KiB
    task 4 "apprentice", parked ? s: acquiring lock 0x held by task 3 "miller"; created at inspect.c; stack ? KiB
    task 5 "carter", parked ? s: putting into queue 0x, full with 2; in 1 scope, time-out in ? s; created at inspect.c; stack ? KiB
END
inspect 1 deadlock err <<END
libtask: deadlock: 3 tasks can never be woken:
  a cycle: task 2 "one" -> task 3 "other" -> task 2 "one"
  task 1 "task-1", parked ? s: gathering 2 tasks
    task 2 "one", parked ? s: acquiring lock 0x held by task 3 "other"; awaited by tasks 1, 3; created at inspect.c
      task 3 "other", parked ? s: acquiring lock 0x held by task 2 "one"; awaited by tasks 1, 2; created at inspect.c
        task 2 "one", a cycle of 2: 2 -> 3 -> 2
    task 3 "other", see above
$build/examples/inspect: would wait for ever
END
inspect_faults() { # what emulators do not emulate well
    run 0 "$build/examples/inspect" stall
    masked "$tmp/err" >"$tmp/masked"
    sed '/^    at/d' "$tmp/masked" | cmp - <(printf 'libtask: task 2 "computer", created at inspect.c, %s\n' \
        'has held the loop for ? s:' 'held the loop for more than ? s') || {
        cat "$tmp/masked"
        fail 'inspect stall: other output'
    }
    grep -q '^    at compute' "$tmp/masked" || fail 'inspect stall: not where it was'
    (
        ulimit -c 0
        ! "$build/examples/inspect" overflow >"$tmp/out" 2>"$tmp/err" ||
            fail 'inspect overflow: goes unnoticed'
    ) 2>/dev/null
    masked "$tmp/err" | matches '^libtask: task 2 "digger", created at inspect.c, ran over its stack of 64 KiB; its function is overflow' || {
        cat "$tmp/err"
        fail 'inspect overflow: other output'
    }
    # gdb: the mill says how to be looked at; a signal makes it dump
    "$build/examples/inspect" gdb >"$tmp/out" 2>"$tmp/err" &
    mill=$!
    for ((i = 0; i < 500; i++)); do
        [[ ! -s $tmp/out ]] || break
        sleep 0.01
    done
    [[ $(cat "$tmp/out") == "gdb -iex 'set auto-load safe-path /' -p $mill -batch -ex 'info tasks' -ex 'task 3 bt'" ]] ||
        fail 'inspect gdb: other output'
    kill -USR1 $mill
    for ((i = 0; i < 500; i++)); do
        [[ $(wc -l <"$tmp/err") -lt 5 ]] || break
        sleep 0.01
    done
    kill $mill
    wait $mill 2>/dev/null || true
    masked "$tmp/err" | matches '^    task 3 "apprentice", parked ? s: acquiring lock 0x held by task 2 "miller"' || {
        cat "$tmp/err"
        fail 'inspect gdb: no dump'
    }
}
[[ -n $launcher ]] || inspect_faults
! $launcher "$build/examples/inspect" dump >/dev/full 2>"$tmp/err" ||
    fail 'inspect: a full disk goes unnoticed'

expect $'0! = 1\n1! = 1' gather 0 1
for pause in 0 0.000001 0.02; do
    expect '2!: multiplying by 2
4!: multiplying by 2
3!: multiplying by 2
4!: multiplying by 3
3!: multiplying by 3
4!: multiplying by 4
2! = 2
4! = 24
3! = 6' gather -p $pause 2 4 3
done
multiplied=$(for ((i = 2; i <= 20; i++)); do echo "21!: multiplying by $i"; done)
expect_code 1 "$multiplied"'
21! is too large' gather 21

done=$'\n  done'
late=$'\n  cleaning up\n  took too long'
expect "step 1$done" timeout 20 10 0
expect "step 1$late"$'\n'"step 2$done" timeout 20 0.2 19 0
expect_code 1 "step 1$done"$'\nstep 2\n  cleaning up\nno time left' \
    timeout 0.3 10 0 9 0
for argument in '' x 1x -1 nan inf 1e300; do
    refuse gather "$argument"
    refuse gather -p "$argument" 1
    refuse timeout "$argument" 1 1
    refuse timeout 1 1 "$argument"
done
refuse gather
refuse gather -p 1
refuse gather 1001
refuse timeout
refuse timeout 1 1
for command in 'gather 1' 'timeout 1 1 0'; do
    # shellcheck disable=SC2086
    ! $launcher "$build/examples/"$command >/dev/full 2>"$tmp/err" ||
        fail "$command: a full disk goes unnoticed"
done
