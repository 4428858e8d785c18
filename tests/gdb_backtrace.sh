#!/usr/bin/env bash
# gdb shows a running task's whole backtrace, which ends at its entry: on its
# first step, and after it was suspended and resumed.
. "$(dirname "$0")/support/common.sh"

have gdb || skip 'no gdb'
gdb -nx -batch -ex run /bin/true 2>&1 | matches 'exited normally' ||
    skip 'gdb cannot run a program here'

cat >"$tmp/deep.c" <<'END'
#include <task.h>

static volatile int depth;

static void leaf(void)
{
    depth = 0;
}

static void middle(int n)
{
    if (n > 0)
        middle(n - 1);
    else
        leaf();
    depth = n;
}

static int coroutine(void *arg)
{
    (void)arg;
    middle(3);
    task_sleep(0);
    middle(3);
    return 0;
}

static int run(void *arg)
{
    return task_await(task_create(coroutine, arg));
}

int main(void)
{
    return loop_run(run, NULL);
}
END
# shellcheck disable=SC2086 # words are wanted
$CC -std=c11 -g -O0 $CFLAGS -I "$root/include" "$tmp/deep.c" \
    "$build/libtask.a" -pthread -o "$tmp/deep"
gdb -nx -batch -ex 'break leaf' -ex run -ex backtrace -ex 'echo --\n' \
    -ex continue -ex backtrace "$tmp/deep" >"$tmp/log" 2>&1 || true

# The names of the functions in the backtrace on stdin, from the inside.
functions() {
    sed -nE 's/^#[0-9]+ +(0x[0-9a-f]+ in )?([^ ]+) .*/\2/p'
}
sed '/^--$/,$d' "$tmp/log" | functions >"$tmp/first"
sed '1,/^--$/d' "$tmp/log" | functions >"$tmp/second"

printf '%s\n' leaf middle middle middle middle coroutine >"$tmp/wanted"
for step in first second; do
    head -n 6 "$tmp/$step" | cmp -s - "$tmp/wanted" ||
        { cat "$tmp/log"; fail "$step step: not the functions that were called"; }
    # Behind the coroutine stand the library's entry and makecontext's, if any.
    (($(wc -l <"$tmp/$step") <= 9)) ||
        { cat "$tmp/log"; fail "$step step: the backtrace does not end"; }
done
if grep -nE '\?\?|corrupt|Backtrace stopped|Cannot access' "$tmp/log"; then
    cat "$tmp/log"
    fail 'the backtrace breaks off'
fi
