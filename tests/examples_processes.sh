#!/usr/bin/env bash
# The examples that run other programs: run_parallel and pipeline, with real
# commands. A terminal is one of script(1), if that is there.
. "$(dirname "$0")/support/common.sh"

read -ra launcher <<<"${LAUNCHER:-}"
parallel=("${launcher[@]}" "$build/examples/run_parallel")
pipeline=("${launcher[@]}" "$build/examples/pipeline")
interruptible=(env --default-signal=INT,HUP)

# same <wanted> <got> <what>
same() {
    [[ $1 == "$2" ]] || fail "$3: '$2' instead of '$1'"
}

# code_of <command...>: its exit code; its output in $tmp/out, $tmp/err
code_of() {
    local code=0

    timeout 30 "$@" >"$tmp/out" 2>"$tmp/err" || code=$?
    echo $code
}

# until_true <command...>: within ten seconds
until_true() {
    local i

    for ((i = 0; i < 500; i++)); do
        ! "$@" || return 0
        sleep 0.02
    done
    return 1
}

# all_are <file> <n>: so many numbers are there
all_are() {
    [[ $(wc -l <"$1") == "$2" ]]
}
# gone <file>: none of the processes in there is left
gone() {
    local pid

    while read -r pid; do
        ! kill -0 "$pid" 2>/dev/null || return 1
    done <"$1"
}

# ended <pid>
ended() {
    ! kill -0 "$1" 2>/dev/null
}

# run_parallel: every line with the number of its command, whole
for i in {1..20}; do
    echo "echo out $i; echo err $i >&2; printf last"
done >"$tmp/commands"
for n in 1 3 20; do
    same 0 "$(code_of "${parallel[@]}" $n <"$tmp/commands")" "run_parallel $n"
    same 60 "$(wc -l <"$tmp/out")" "run_parallel $n: lines"
    for i in 1 2 20; do
        same "[$i] out $i [$i] err $i [$i] last" \
            "$(grep -F "[$i] " "$tmp/out" | paste -sd' ')" "run_parallel $n, command $i"
    done
    ! grep -v '^==' "$tmp/err" || fail "run_parallel $n: words on stderr"
done
same 0 "$(code_of "${parallel[@]}" 4 </dev/null)" 'run_parallel: no command'
head -c 300000 /dev/zero | tr '\0' x >"$tmp/long"
same 0 "$(code_of "${parallel[@]}" 1 <<<"cat $tmp/long")" 'run_parallel: a long line'
same 300005 "$(wc -c <"$tmp/out")" 'run_parallel: a long line'

# ... N at a time, and no more: the first ones wait for each other, and each
# counts those that run
mkdir "$tmp/running"
for ((i = 1; i <= 12; i++)); do
    ((i > 3)) || printf 'touch %s; until [ -e %s ]; do sleep 0.01; done; ' \
        "$tmp/here$i" "$tmp/here$((i % 3 + 1))"
    printf 'touch %s; ls %s | wc -l; rm %s\n' "$tmp/running/$i" "$tmp/running" \
        "$tmp/running/$i"
done >"$tmp/commands"
same 0 "$(code_of "${parallel[@]}" 3 <"$tmp/commands")" 'run_parallel 3'
(($(sed 's/.*] //' "$tmp/out" | sort -n | tail -n 1) <= 3)) ||
    fail 'run_parallel 3: too many at a time'
same 0 "$(code_of "${parallel[@]}" 1 <<<"$(tail -n 9 "$tmp/commands")")" \
    'run_parallel 1'
same 1 "$(sed 's/.*] //' "$tmp/out" | sort -nu)" 'run_parallel: one at a time'

# ... and the worst status, with nothing of its input for the commands
same 7 "$(code_of "${parallel[@]}" 2 <<<$'exit 3\nexit 7\nexit 5\n')" \
    'run_parallel: the worst status'
same 143 "$(code_of "${parallel[@]}" 2 <<<$'kill $$\nexit 9')" 'run_parallel: a signal'
same 127 "$(code_of "${parallel[@]}" 2 <<<$'no-such-command\ntrue')" \
    'run_parallel: no such command'
same 0 "$(code_of "${parallel[@]}" 1 <<<$'cat\necho next')" 'run_parallel: cat'
same '[2] next' "$(cat "$tmp/out")" 'run_parallel: cat reads the commands'
for arguments in '' 0 x 1x 1000 '1 2'; do
    # shellcheck disable=SC2086
    same 2 "$(code_of "${parallel[@]}" $arguments </dev/null)" "run_parallel $arguments"
    grep -q '^usage: ' "$tmp/err" || fail "run_parallel $arguments: no usage"
done
! "${parallel[@]}" 1 <<<'echo x' >/dev/full 2>"$tmp/err" ||
    fail 'run_parallel: a full disk goes unnoticed'

# ... long lines: 128 KiB are the system's limit for a command
for n in 100000 200000; do
    printf 'echo %s\necho second\n' "$(head -c $n "$tmp/long")"
done >"$tmp/commands"
same 126 "$(code_of "${parallel[@]}" 2 <"$tmp/commands")" 'run_parallel: long commands'
same '[2] second [4] second' "$(grep second "$tmp/out" | sort | paste -sd' ')" \
    'run_parallel: long commands stop others'
same 100005 "$(grep -F '[1] ' "$tmp/out" | wc -c)" 'run_parallel: a long command'
grep -qF '[3] Argument list too long' "$tmp/err" ||
    fail 'run_parallel: too long a command goes unnoticed'
same 0 "$(code_of "${parallel[@]}" 1 <<<'head -c 3000000 /dev/zero; echo; echo next')" \
    'run_parallel: a very long line'
same '[1] next' "$(grep -ax '\[1\] next' "$tmp/out")" 'run_parallel: after a very long line'
(($(wc -c <"$tmp/out") < 1100000)) || fail 'run_parallel: keeps a very long line'

# ... too few descriptors for all
yes 'echo x; sleep 0.2' | head -n 50 >"$tmp/commands" || true
same 126 "$(ulimit -n 20; code_of "${parallel[@]}" 50 <"$tmp/commands")" \
    'run_parallel: few descriptors'
grep -q 'Too many open files' "$tmp/err" || fail 'run_parallel: few go unnoticed'
(($(grep -c x "$tmp/out") > 0)) || fail 'run_parallel: few descriptors end all'

# ... signals, which a job of the shell ignores unless it is told not to: all end,
# also what the commands have started and left, one that does not want to, and
# although nobody reads
# ended_by <n> <signal>...: when so many of the commands have begun
ended_by() {
    local n=$1 code=0 pid signal
    shift

    : >"$tmp/pids"
    "${interruptible[@]}" "${parallel[@]}" 3 <"$tmp/commands" >"$tmp/fifo" 2>"$tmp/err" &
    pid=$!
    until_true all_are "$tmp/pids" "$n" || fail 'run_parallel: not all are running'
    for signal; do
        sleep 0.2
        kill "-$signal" $pid 2>/dev/null || true
    done
    until_true ended $pid || {
        kill -KILL $pid
        fail "run_parallel: does not end by $*"
    }
    wait $pid || code=$?
    same 130 $code "run_parallel: exit code after $*"
    until_true gone "$tmp/pids" || fail "run_parallel: some outlive $*"
}
if "${interruptible[@]}" true 2>/dev/null; then
    mkfifo "$tmp/fifo"
    exec 7<>"$tmp/fifo"
    noted="sh -c 'echo \$\$ >>$tmp/pids; exec sleep 1000'"
    cat >"$tmp/commands" <<END
echo \$\$ >>$tmp/pids; $noted & wait
$noted
trap '' TERM; echo \$\$ >>$tmp/pids; while :; do sleep 0.1; done
exit 99
END
    for signal in INT TERM HUP; do
        ended_by 4 $signal
    done
    ended_by 4 INT INT
    printf "(trap '' TERM; %s); echo x\n%s & echo hi\n" "$noted" "$noted" >"$tmp/commands"
    ended_by 2 INT
    printf 'echo $$ >>%s; exec yes\n%s\n' "$tmp/pids" "$noted" >"$tmp/commands"
    ended_by 2 INT
    exec 7<&-
    same 3 "$(code_of env --ignore-signal=CHLD "${parallel[@]}" 1 <<<'exit 3')" \
        'run_parallel: SIGCHLD was ignored'
else
    echo 'no env --default-signal: left out signals'
fi

# pipeline
same 0 "$(code_of "${pipeline[@]}" 20 seq 1 1000 '|' grep 7 '|' wc -l)" pipeline
same 271 "$(paste -sd' ' "$tmp/out")" 'pipeline: seq, grep, wc'
same 0 "$(echo x | code_of "${pipeline[@]}" 20 cat)" 'pipeline: one command'
same x "$(cat "$tmp/out")" 'pipeline: its input'
same 3 "$(code_of "${pipeline[@]}" 20 true '|' sh -c 'cat; exit 3')" 'pipeline: status'
same 143 "$(code_of "${pipeline[@]}" 20 false '|' sh -c 'kill $$')" 'pipeline: a signal'
same 0 "$(code_of "${pipeline[@]}" 20 yes '|' head -n 2)" 'pipeline: yes'
same 'y y' "$(paste -sd' ' "$tmp/out")" 'pipeline: yes, head'
head -c 3000000 /dev/urandom >"$tmp/much"
same 0 "$(code_of "${pipeline[@]}" 20 cat "$tmp/much" '|' cat '|' cat)" 'pipeline: much'
cmp "$tmp/out" "$tmp/much" || fail 'pipeline: other bytes'
same 127 "$(code_of "${pipeline[@]}" 20 sleep 1000 '|' no-such-command '|' cat)" \
    'pipeline: no such command'
same 'no-such-command: No such file or directory' "$(grep -v ^== "$tmp/err")" \
    'pipeline: no such command'
same 124 "$(code_of "${pipeline[@]}" 0.2 sh -c "echo \$\$ >$tmp/pids; exec sleep 1000" '|' cat)" \
    'pipeline: a time-out'
gone "$tmp/pids" || fail 'pipeline: one outlives the time-out'
same 124 "$(code_of "${pipeline[@]}" 0.2 sh -c "trap '' TERM; echo \$\$ >$tmp/pids; while :; do sleep 0.1; done")" \
    'pipeline: one that does not want to end'
gone "$tmp/pids" || fail 'pipeline: one that does not want to outlives it'
if "${interruptible[@]}" true 2>/dev/null; then
    same 3 "$(code_of env --ignore-signal=CHLD "${pipeline[@]}" 20 sh -c 'exit 3')" \
        'pipeline: SIGCHLD was ignored'
fi
for arguments in '' 1 '0 true' 'x true' '5abc true' 'nan true' '1 |' '1 true |' '1 | true' \
    '1 true | | true'; do
    # shellcheck disable=SC2086
    same 2 "$(code_of "${pipeline[@]}" $arguments)" "pipeline $arguments"
    grep -q '^usage: ' "$tmp/err" || fail "pipeline $arguments: no usage"
done

# With a terminal there is a progress line, and Ctrl-C is a key.
if ! have script; then
    echo 'no script(1): left out what needs a terminal'
    exit
fi
printf 'echo one\nexit 5\n' >"$tmp/commands"
same 5 "$(code_of script -qec "${parallel[*]} 1 <$tmp/commands" /dev/null)" \
    'run_parallel on a terminal'
grep -q '2 of 2 have ended, the worst with 5' "$tmp/out" ||
    fail 'run_parallel: no progress on a terminal'
same '[1] one' "$(tr '\r' '\n' <"$tmp/out" | grep -ao '\[1\] .*')" \
    'run_parallel: its output on a terminal'
: >"$tmp/pids"
printf 'echo $$ >>%s; exec sleep 1000\n' "$tmp/pids" "$tmp/pids" >"$tmp/commands"
same 130 "$({
    until_true all_are "$tmp/pids" 2
    printf '\003'
    until_true gone "$tmp/pids"
} | code_of script -qec "${parallel[*]} 2 <$tmp/commands" /dev/null)" \
    'run_parallel: Ctrl-C'
until_true gone "$tmp/pids" || fail 'run_parallel: some outlive Ctrl-C'
