/* What parked tasks cost: n of them are created and sleep, each is woken once
 * (by a cancel) and parks again (on a future), then all end.
 *
 * Bytes are what the process grew by, at the time when all sleep; and, as what is
 * left, three seconds and 3,000 other tasks after they have ended.
 *
 * usage: parked [N...] */
#include "bench.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct crowd {
    long n;
    long arrived; /* tasks that have reached the place where they park next */
    struct task *gate; /* a future */
    struct task **tasks;
    long rss; /* KiB, before the first task */
};

static int sleep_then_await(void *arg)
{
    struct crowd *crowd = arg;
    int status;

    crowd->arrived++;
    status = task_sleep(10 * TASK_HOUR);
    if (status != -ECANCELED)
        return -EPROTO;
    crowd->arrived++;
    return task_await(task_retain(crowd->gate));
}

static int until_all_have_arrived(struct crowd *crowd)
{
    while (crowd->arrived < crowd->n)
        task_yield();
    crowd->arrived = 0;
    return 0;
}

static int create_all(void *arg)
{
    struct crowd *crowd = arg;

    for (long i = 0; i < crowd->n; i++) {
        crowd->tasks[i] = task_create(sleep_then_await, crowd);
        if (!crowd->tasks[i])
            return -ENOMEM;
    }
    return until_all_have_arrived(crowd);
}

static int wake_all(void *arg)
{
    struct crowd *crowd = arg;

    for (long i = 0; i < crowd->n; i++)
        task_cancel(crowd->tasks[i]);
    return until_all_have_arrived(crowd);
}

static int end_all(void *arg)
{
    struct crowd *crowd = arg;
    int status = task_future_complete(crowd->gate, 0);

    for (long i = 0; i < crowd->n && status >= 0; i++)
        status = task_await(crowd->tasks[i]);
    return status;
}

static long n_mappings(void)
{
    FILE *f = fopen("/proc/self/maps", "r");
    long n = 0;

    for (int c; f && (c = getc(f)) != EOF;)
        n += c == '\n';
    if (f)
        fclose(f);
    return n;
}

static double per_task(const struct crowd *crowd, long kib)
{
    return (double)kib * 1024 / (double)crowd->n;
}

static double growth(const struct crowd *crowd)
{
    return per_task(crowd, bench_process_size("VmRSS:") - crowd->rss);
}

static void report_memory(const struct crowd *crowd)
{
    char name[32], note[80];
    struct bench_case c = {name, .unit = "B/task"};

    snprintf(name, sizeof name, "parked %ld: memory", crowd->n);
    snprintf(note, sizeof note, "page tables %.0f B/task, maps %ld",
             per_task(crowd, bench_process_size("VmPTE:")), n_mappings());
    c.operations = crowd->n;
    c.note = note;
    bench_add(&c, growth(crowd));
    bench_report(&c);
}

static void report_phase(struct crowd *crowd, const char *verb, task_fn *phase)
{
    char name[32];
    struct bench_case c = {name, .operations = crowd->n};

    snprintf(name, sizeof name, "parked %ld: %s", crowd->n, verb);
    bench_round(&c, phase, crowd);
    bench_report(&c);
}

/* A crowd's stacks are kept for a while, in case that it comes again. */
static int let_time_pass(const struct crowd *crowd)
{
    long n = crowd->n < 1000 ? crowd->n : 1000;
    int status = 0;

    for (int i = 0; i < 3 && status >= 0; i++) {
        task_sleep(TASK_SECOND);
        status = bench_crowd(crowd->tasks, n, bench_yield_once, NULL);
    }
    return status;
}

static void report_left(const struct crowd *crowd)
{
    char name[32];
    struct bench_case c = {name, .operations = crowd->n};

    snprintf(name, sizeof name, "parked %ld: left", crowd->n);
    c.unit = "B/task";
    bench_add(&c, growth(crowd));
    bench_report(&c);
}

static int park_and_wake(void *arg)
{
    struct crowd *crowd = arg;

    crowd->gate = task_future_create();
    if (!crowd->gate)
        return -ENOMEM;
    crowd->rss = bench_process_size("VmRSS:");
    report_phase(crowd, "create", create_all);
    report_memory(crowd);
    report_phase(crowd, "wake", wake_all);
    report_phase(crowd, "end", end_all);
    bench_check(let_time_pass(crowd), "parked");
    report_left(crowd);
    return task_await(crowd->gate);
}

static void measure(long n)
{
    struct crowd crowd = {.n = n};
    size_t size = (size_t)n * sizeof *crowd.tasks;

    crowd.tasks = malloc(size);
    bench_check(crowd.tasks ? 0 : -ENOMEM, "parked");
    memset(crowd.tasks, 1, size); /* its pages are not the tasks' */
    bench_run(park_and_wake, &crowd);
    free(crowd.tasks);
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        measure(atol(argv[i]));
    if (argc == 1) {
        measure(100000);
        measure(1000000);
    }
    return 0;
}
