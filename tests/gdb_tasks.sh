#!/usr/bin/env bash
# gdb lists the tasks of all loops and shows their backtraces: of a process and
# out of a core, which it leaves as they were; without debug info; and when what
# it reads makes no sense.
#
# LAUNCHER, GDB: of another processor's programs, of which it looks at a core.
. "$(dirname "$0")/support/common.sh"

gdb=${GDB:-gdb}
have "$gdb" || skip "no $gdb"
[[ $("$gdb" -nx -batch -ex 'python print(6 * 7)' 2>&1) == 42 ]] ||
    skip "$gdb has no Python"

cat >"$tmp/parked.c" <<'END'
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <task.h>
#include <unistd.h>

static struct task_lock lock;
static struct task_queue jobs;
static struct task *futures[10];
static pthread_barrier_t barrier;

static int deep(int n)
{
    volatile int level = n;
    int status = level ? deep(level - 1) : task_sleep(5 * TASK_SECOND);

    return status + level - n;
}

static int sleeper(void *arg)
{
    (void)arg;
    return deep(20);
}

static int owner(void *arg)
{
    int job;

    (void)arg;
    task_lock_acquire(&lock);
    return task_queue_get(&jobs, &job);
}

static int wants(void *arg)
{
    (void)arg;
    return task_lock_acquire(&lock);
}

static int awaiter(void *arg)
{
    return task_await(arg);
}

static int gatherer(void *arg)
{
    (void)arg;
    return task_gather(futures, 10, NULL);
}

static int parent(void *arg)
{
    struct task_group group;

    (void)arg;
    task_group_begin(&group);
    task_group_start(&group, wants, NULL);
    task_group_start(&group, wants, NULL);
    return task_group_end(&group, 0);
}

static int read_end = 200;

static int reader(void *arg)
{
    char byte;

    return (int)task_read(*(int *)arg, &byte, 1);
}

/* Its name tells the number; the child ends with this process. */
static int waits_for_child(void *arg)
{
    struct task_process_options options = {.stdin_mode = TASK_PIPE};
    struct task_process *process;
    char name[32];
    int status;

    (void)arg;
    if (task_process_exec(&process, (const char *[]){"cat", NULL}, &options))
        return -1;
    snprintf(name, sizeof name, "child %d", (int)task_process_pid(process));
    task_set_name(task_current(), name);
    status = task_process_wait(process);
    task_process_free(process);
    return status;
}

static int waits_for_signals(void *arg)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGUSR2);
    sigaddset(&set, SIGRTMIN + 3);
    return task_signal_wait(&set, arg);
}

static int yielder(void *arg)
{
    (void)arg;
    while (task_yield() == 0)
        continue;
    return 0;
}

static void here(void)
{
    __asm__ volatile("");
    if (getenv("CRASH"))
        abort();
}

static void start(task_fn *fn, void *arg)
{
    task_detach(task_create(fn, arg));
}

static int run(void *arg)
{
    struct task *task = task_create(sleeper, arg);
    int ends[2];

    task_set_name(task, "deep sleeper");
    start(owner, NULL);
    start(wants, NULL);
    start(awaiter, task_retain(task));
    for (int i = 0; i < 10; i++)
        futures[i] = task_future_create();
    start(gatherer, NULL);
    start(parent, NULL);
    start(yielder, NULL);
    if (pipe(ends) == 0 && dup2(ends[0], read_end) == read_end)
        start(reader, &read_end);
    start(waits_for_child, NULL);
    start(waits_for_signals, NULL);
    task_sleep(TASK_MILLISECOND);
    for (int i = 0; i < 3; i++) /* on a slow machine that was no time at all */
        task_yield();
    start(yielder, NULL);
    task_cancel(task);
    here();
    task_detach(task);
    return 0;
}

static int run_other(void *arg)
{
    start(sleeper, arg);
    task_yield();
    pthread_barrier_wait(&barrier);
    pthread_barrier_wait(&barrier);
    return 0;
}

static void *other_thread(void *arg)
{
    loop_run(run_other, arg);
    return NULL;
}

int main(int argc, char **argv)
{
    pthread_t thread;
    int two = argc > 1;

    (void)argv;
    task_queue_init(&jobs, sizeof(int), 0);
    pthread_barrier_init(&barrier, NULL, 2);
    if (two) {
        pthread_create(&thread, NULL, other_thread, NULL);
        pthread_barrier_wait(&barrier);
    }
    loop_run(run, NULL);
    if (two) {
        pthread_barrier_wait(&barrier);
        pthread_join(thread, NULL);
    }
    return 0;
}
END

# compile <program> [flag...]
compile() {
    # shellcheck disable=SC2086 # words are wanted
    $CC -std=gnu11 -O0 $CFLAGS "${@:2}" -I "$root/include" "$tmp/parked.c" \
        "$build/libtask.a" -pthread -o "$tmp/$1"
}

# run_gdb <log> [argument...]: with the script that is in the program.
run_gdb() {
    timeout 100 "$gdb" -nx -batch -iex 'set auto-load safe-path /' \
        -iex 'set width 0' -ex 'set confirm off' "${@:2}" >"$tmp/$1.log" 2>&1 || true
}

show() {
    cat "$tmp/$1.log"
    fail "${@:2}"
}

# part <log> <name>: what is between the lines "-- name" and "--".
part() {
    sed "1,/^-- $2\$/d; /^--/,\$d" "$tmp/$1.log"
}

# The names of the program's functions in a backtrace.
functions() {
    sed -nE 's/^#[0-9]+ +(0x[0-9a-f]+ in )?([^ ]+) .*/\2/p' | grep -xE \
        'deep|sleeper|owner|wants|awaiter|gatherer|parent|reader|waits_for_child|waits_for_signals|yielder|here|run' || true
}

# check_list <log> <part>
check_list() {
    part "$1" "$2" | sed -E 's/^\*/ /; s/ +/ /g; s/[0-9.]+ s more/N s more/; s/ [0-9.e-]+ s / T /
        s/[0-9.]+\/64 KiB/D/; s/ [^ ]*parked.c:[0-9]+//; s/ $//
        s/ child ([0-9]+) (.* process) \1$/ child P \2 P/' |
        grep '^ ' >"$tmp/list" || true
    diff "$tmp/wanted" "$tmp/list" || show "$1" "$2: other tasks"
}
cat >"$tmp/wanted" <<'END'
 Id Name State Stack Function Created at Waits for
 1 task-1 running D run
 2 deep sleeper ready D sleeper (asked to cancel)
 3 task-3 parked T D owner getting from queue jobs
 4 task-4 parked T D wants acquiring lock lock held by task 3
 5 task-5 parked T D awaiter awaiting task 2 "deep sleeper"
 16 task-16 parked T D gatherer gathering future 6, future 7, future 8, future 9, future 10, future 11, future 12, future 13 and 2 more
 17 task-17 parked T D parent ending a group with task 22, task 23
 18 task-18 ready D yielder
 19 task-19 parked T D reader reading descriptor 200
 20 child P parked T D waits_for_child waiting for process P
 21 task-21 parked T D waits_for_signals waiting for signal SIGUSR2 or SIGTERM or SIGRTMIN+3
 22 task-22 parked T D wants acquiring lock lock held by task 3
 23 task-23 parked T D wants acquiring lock lock held by task 3
 24 task-24 new yielder
END

# check_frames <log>: of the commands below
check_frames() {
    printf '%s\n' deep{0..20} sleeper | sed 's/[0-9]*$//' >"$tmp/frames"
    part "$1" deep | functions | diff "$tmp/frames" - ||
        show "$1" 'task 2: other frames'
    part "$1" all | functions | LC_ALL=C sort | uniq -c | sed 's/^ *//' >"$tmp/frames"
    printf '%s\n' '1 awaiter' '21 deep' '1 gatherer' '1 here' '1 owner' \
        '1 parent' '1 reader' '1 run' '1 sleeper' '1 waits_for_child' \
        '1 waits_for_signals' '3 wants' '1 yielder' |
        diff - "$tmp/frames" ||
        show "$1" 'all tasks: other frames'
    part "$1" all | matches 'It has not begun; it will run yielder' ||
        show "$1" 'nothing of the one that is new'
    part "$1" level | matches '^level = 7$' || show "$1" 'no local variable'
    if grep -nE '\?\?|corrupt|Backtrace stopped|Cannot access' "$tmp/$1.log"; then
        show "$1" 'a backtrace breaks off'
    fi
}
state='info registers pc sp'
look=(-ex 'echo -- before\n' -ex "$state" -ex backtrace
    -ex 'echo -- list\n' -ex 'info tasks' -ex 'echo -- deep\n' -ex 'task 2 bt'
    -ex 'echo -- all\n' -ex 'task apply all bt'
    -ex 'echo -- level\n' -ex 'task 2 python show_level(7)'
    -ex 'echo -- after\n' -ex "$state" -ex backtrace -ex 'echo --\n')
cat >"$tmp/level.py" <<'END'
def show_level(level):
    frame = gdb.selected_frame()
    while frame.name() != "deep" or int(frame.read_var("n")) != level:
        frame = frame.older()
    frame.select()
    gdb.execute("info locals")
END
look=(-ex "source $tmp/level.py" "${look[@]}")

# check_same <log>: looking has changed nothing.
check_same() {
    part "$1" before >"$tmp/before"
    part "$1" after >"$tmp/after"
    [[ -s $tmp/before ]] && diff "$tmp/before" "$tmp/after" ||
        show "$1" 'other registers or frames than before'
}

compile parked -g
if [[ -n ${LAUNCHER:-} ]]; then
    cd "$tmp"
    (ulimit -c unlimited && CRASH=1 "$LAUNCHER" ./parked) >launcher 2>&1 || true
    core=$(find . -name '*.core') # the launcher's own is called core
    [[ -n $core ]] || skip "$LAUNCHER leaves no core"
    run_gdb core "${look[@]}" parked "$core"
    check_list core list
    check_frames core
    check_same core
    exit 0
fi

"$gdb" -nx -batch -ex run /bin/true 2>&1 | matches 'exited normally' ||
    skip 'gdb cannot run a program here'

run_gdb live -ex 'break here' -ex run "${look[@]}" \
    -ex "task gcore $tmp/core" -ex continue "$tmp/parked"
check_list live list
check_frames live
check_same live
grep -q 'exited normally' "$tmp/live.log" || show live 'the program did not go on'

run_gdb dead "${look[@]}" "$tmp/parked" "$tmp/core"
check_list dead list
check_frames dead
check_same dead

# Symbols are enough; the script can also be loaded by hand.
compile bare
run_gdb bare -ex 'break here' -ex run -ex 'echo -- list\n' -ex 'info tasks' \
    -ex 'echo -- deep\n' -ex 'task 2 bt' -ex 'echo --\n' "$tmp/bare"
check_list bare list
part bare deep | functions | grep -c '^deep$' | grep -qx 21 ||
    show bare 'no frames without debug info'
strip -g -o "$tmp/by-hand" "$tmp/bare"
run_gdb by-hand -ex "source $root/src/task-gdb.py" -ex 'break here' -ex run \
    -ex 'echo -- list\n' -ex 'info tasks' -ex 'echo --\n' "$tmp/by-hand"
check_list by-hand list
strip -o "$tmp/stripped" "$tmp/bare"
run_gdb stripped -ex "source $root/src/task-gdb.py" \
    -ex 'set environment CRASH 1' -ex run -ex 'info tasks' "$tmp/stripped"
grep -qx 'There is no libtask.*no task__debugger\.' "$tmp/stripped.log" ||
    show stripped 'no sentence about the symbols'

# Nonsense.
cat >"$tmp/spoil.py" <<'END'
def spoil(address, value):
    data = value.to_bytes(memory.size, "little")
    gdb.selected_inferior().write_memory(address, data)

memory = Memory()
loop = read_loops()[0]
tasks = {task.number: task for task in loop.live()}
chunk = memory.field(loop.address, "loop.task_pool.chunks")
spoil(chunk + memory["list_node.next"], chunk)
spoil(tasks[3].address + memory["task.waiter"], 1)
spoil(tasks[4].address + memory["task.stack"], 1)
spoil(tasks[5].address + memory["task.context"], 1)
spoil(tasks[16].address + memory["task.name"], 1)
spoil(tasks[18].address + memory["task.file"], 1)
END
run_gdb spoilt -ex 'break here' -ex run -ex "source $tmp/spoil.py" \
    -ex 'info tasks' -ex 'task apply all bt' -ex 'echo the end\n' "$tmp/parked"
grep -qE '^ +3 .*\(unreadable\)' "$tmp/spoilt.log" || show spoilt 'task 3 is readable'
grep -qE '^ +20 ' "$tmp/spoilt.log" || show spoilt 'task 20 is missing'
grep -qx 'the end' "$tmp/spoilt.log" || show spoilt 'gdb never came back'
! grep -q 'Python Exception' "$tmp/spoilt.log" || show spoilt 'an exception'

# Two threads with a loop each.
run_gdb two -ex 'break here' -ex 'run two' -ex 'echo -- list\n' -ex 'info tasks' \
    -ex 'echo -- other\n' -ex 'task 1.2 bt' -ex 'echo -- main\n' -ex 'task 1.1 bt' \
    -ex 'echo -- mine\n' -ex 'task 1' -ex 'echo -- apply\n' -ex 'task apply all bt 1' \
    -ex 'echo --\n' -ex 'kill' "$tmp/parked"
part two list | matches -E '^loop 1 \(0x[0-9a-f]+\), thread 2 .*: 2 tasks$' ||
    show two 'no first loop in the second thread'
part two list | matches -E '^loop 2 \(0x[0-9a-f]+\), thread 1 .*: 14 tasks$' ||
    show two 'no second loop in the first thread'
part two other | functions | grep -c '^deep$' | grep -qx 21 ||
    show two 'no frames of the other loop'"'s task"
part two main | matches 'run_other' || show two 'no frames of what runs elsewhere'
part two mine | matches -E '^\* +2\.1 .* run$' || show two 'task 1 is not the own loop'"'s"
part two apply | grep -c '^Task [12]\.' | grep -qx 16 || show two 'not all tasks'
