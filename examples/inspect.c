/*
 * inspect: what a program tells of itself when it is asked, and when it is stuck.
 *
 * usage: inspect dump|deadlock
 *
 * dump      a mill at work, as task_dump() shows it
 * deadlock  two who need two things and take them in opposite orders
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <task.h>

static struct task *start(task_fn *fn, void *arg, const char *name)
{
    return task_create_with(fn, arg, &(struct task_options){.name = name});
}

/* A mill: sacks of grain come by a short queue, and two millers share a stone. */

struct mill {
    struct task_queue sacks;
    struct task_lock stone;
};

static int deliver(void *arg)
{
    struct mill *mill = arg;
    struct task_timeout timeout;
    int status = 0;

    task_timeout_begin(&timeout, TASK_MINUTE);
    for (int sack = 0; status == 0; sack++)
        status = task_queue_put(&mill->sacks, &sack);
    return task_timeout_end(&timeout, status);
}

static int grind_one(struct mill *mill)
{
    int sack;
    int status = task_queue_get(&mill->sacks, &sack);

    if (status == 0)
        status = task_lock_acquire(&mill->stone);
    if (status != 0)
        return status;
    status = task_sleep(20 * TASK_SECOND);
    task_lock_release(&mill->stone);
    return status;
}

static int grind(void *arg)
{
    int status;

    do {
        status = grind_one(arg);
    } while (status == 0);
    return status;
}

static void print(void *arg)
{
    struct task_group *group = arg;

    task_dump(stdout);
    task_group_cancel(group);
}

static int dump(void *arg)
{
    struct mill mill = {0};
    struct task_group group;
    int status = task_queue_init(&mill.sacks, sizeof(int), 2);

    (void)arg;
    task_group_begin(&group);
    if (status == 0)
        status = task_group_start(&group, grind, &mill);
    if (status == 0)
        status = task_group_start(&group, grind, &mill);
    if (status == 0)
        status = task_group_start(&group, deliver, &mill);
    if (status == 0 &&
        loop_call_later(20 * TASK_MILLISECOND, print, &group) < 0)
        status = -ENOMEM;
    status = task_group_end(&group, status);
    task_queue_destroy(&mill.sacks);
    return status;
}

/* Both hold one lock then, and wait for the other. */

struct pair {
    struct task_lock *first;
    struct task_lock *second;
};

static int take_both(void *arg)
{
    struct pair *pair = arg;
    int status = task_lock_acquire(pair->first);

    if (status != 0)
        return status;
    task_sleep(0);
    status = task_lock_acquire(pair->second);
    if (status == 0)
        task_lock_release(pair->second);
    task_lock_release(pair->first);
    return status;
}

static int deadlock(void *arg)
{
    struct task_lock hammer = {0};
    struct task_lock nail = {0};
    struct pair one = {&hammer, &nail};
    struct pair other = {&nail, &hammer};
    struct task *tasks[] = {start(take_both, &one, "one"),
                            start(take_both, &other, "other")};

    (void)arg;
    return task_gather(tasks, 2, NULL);
}

static const struct mode {
    const char *name;
    task_fn *run;
} modes[] = {{"dump", dump}, {"deadlock", deadlock}};

enum { MODES = sizeof modes / sizeof *modes };

static int run_mode(const char *program, const char *name)
{
    int status;
    int i = 0;

    while (i < MODES && strcmp(name, modes[i].name) != 0)
        i++;
    if (i == MODES)
        return 2;
    status = loop_run(modes[i].run, NULL);
    if (status < 0)
        fprintf(stderr, "%s: %s\n", program, task_strerror(status));
    if (fflush(stdout) != 0) {
        perror(program);
        return EXIT_FAILURE;
    }
    return status < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

int main(int argc, char *argv[])
{
    int code = argc == 2 ? run_mode(argv[0], argv[1]) : 2;

    if (code == 2)
        fprintf(stderr, "usage: %s dump|deadlock\n", argv[0]);
    return code;
}
