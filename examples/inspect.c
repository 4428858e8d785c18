/*
 * inspect: what a program tells of itself when it is asked, and when it goes
 * wrong.
 *
 * usage: inspect dump|deadlock|overflow|stall|gdb
 *
 * dump      a mill at work, as task_dump() shows it; so does `kill -USR1` in gdb
 * deadlock  two who need two things, and take them in opposite orders
 * overflow  a task that needs more stack than it has
 * stall     a task that computes for half a second, and lets nobody else run
 * gdb       the mill at work for a minute, and how to look at it with gdb
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <task.h>
#include <unistd.h>

/* A macro, so that the place of each call is known. */
#define START(fn, arg, called)                                                 \
    task_create_with(fn, arg, &(struct task_options){.name = (called)})

/* A mill: sacks of grain come by a short queue, and two millers share a
 * stone. */

static struct task_queue sacks;
static struct task_lock stone;

static int deliver(void *arg)
{
    struct task_timeout timeout;
    int status = 0;

    (void)arg;
    task_timeout_begin(&timeout, 2 * TASK_MINUTE);
    for (int sack = 0; status == 0; sack++)
        status = task_queue_put(&sacks, &sack);
    return task_timeout_end(&timeout, status);
}

static int grind(void *arg)
{
    int sack;
    int status = task_queue_get(&sacks, &sack);

    (void)arg;
    if (status == 0)
        status = task_lock_acquire(&stone);
    if (status != 0)
        return status;
    status = task_sleep(TASK_MINUTE);
    task_lock_release(&stone);
    return status;
}

static int mill(void *arg)
{
    struct task *tasks[] = {START(grind, NULL, "miller"),
                            START(grind, NULL, "apprentice"),
                            START(deliver, NULL, "carter")};
    int status;

    (void)arg;
    status = task_queue_init(&sacks, sizeof(int), 2);
    if (status == 0)
        status = task_race(tasks, 3, NULL);
    return status < 0 ? status : 0;
}

static int dump(void *arg)
{
    struct task *task = START(mill, arg, "mill");

    task_sleep(20 * TASK_MILLISECOND);
    task_dump(stdout);
    task_cancel(task);
    return task_await(task) == -ECANCELED ? 0 : EXIT_FAILURE;
}

static int gdb(void *arg)
{
    task_dump_on_signal(SIGUSR1);
    printf("gdb -iex 'set auto-load safe-path /' -p %d -batch "
           "-ex 'info tasks' -ex 'task 3 bt'\n",
           (int)getpid());
    fflush(stdout);
    return mill(arg);
}

/* Both hold one thing then, and wait for the other. */

static struct task_lock locks[2];

static int take_both(void *arg)
{
    struct task_lock *first = arg;
    struct task_lock *second = first == locks ? locks + 1 : locks;
    int status = task_lock_acquire(first);

    if (status != 0)
        return status;
    task_sleep(0);
    status = task_lock_acquire(second);
    if (status == 0)
        task_lock_release(second);
    task_lock_release(first);
    return status;
}

static int deadlock(void *arg)
{
    struct task *tasks[] = {START(take_both, &locks[0], "one"),
                            START(take_both, &locks[1], "other")};

    (void)arg;
    return task_gather(tasks, 2, NULL);
}

/* So deep that no stack would do. */
static volatile int deepest = 1000000;

static int descend(int depth)
{
    volatile char room[1000];

    room[0] = (char)depth;
    return depth < deepest ? descend(depth + 1) + room[0] : 0;
}

static int overflow(void *arg)
{
    (void)arg;
    return descend(0);
}

static int compute(void *arg)
{
    task_time end = loop_time() + 500 * TASK_MILLISECOND;

    (void)arg;
    while (loop_time() < end)
        continue;
    return 0;
}

static int stall(void *arg)
{
    return task_await(START(compute, arg, "computer"));
}

static int run_overflow(void *arg)
{
    return task_await(START(overflow, arg, "digger"));
}

static const struct mode {
    const char *name;
    task_fn *run;
} modes[] = {{"dump", dump},
             {"deadlock", deadlock},
             {"overflow", run_overflow},
             {"stall", stall},
             {"gdb", gdb}};

static int run(const struct mode *mode)
{
    const struct loop_options options = {.stall_timeout =
                                             100 * TASK_MILLISECOND};
    struct loop *loop = loop_new(&options);
    int status = loop ? loop_run_main(loop, mode->run, NULL) : -ENOMEM;

    loop_free(loop);
    return status;
}

int main(int argc, char *argv[])
{
    const struct mode *mode = argc == 2 ? modes : NULL;
    int status;

    while (mode && mode < modes + sizeof modes / sizeof *modes &&
           strcmp(argv[1], mode->name) != 0)
        mode++;
    if (!mode || mode == modes + sizeof modes / sizeof *modes) {
        fprintf(stderr, "usage: %s dump|deadlock|overflow|stall|gdb\n",
                argv[0]);
        return 2;
    }
    status = run(mode);
    if (status < 0)
        fprintf(stderr, "%s: %s\n", argv[0], task_strerror(status));
    if (fflush(stdout) != 0) {
        perror(argv[0]);
        return EXIT_FAILURE;
    }
    return status < 0 ? EXIT_FAILURE : status;
}
