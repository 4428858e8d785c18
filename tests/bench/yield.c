/* What a task_yield costs: n tasks yield in turn.
 *
 * usage: yield [N...] */
#include "bench.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static int yielder(void *arg)
{
    struct bench_ticks *ticks = arg;

    while (bench_tick(ticks))
        task_yield();
    return 0;
}

struct crowd {
    long n;
    struct bench_ticks ticks;
};

static int yield_in_turn(void *arg)
{
    struct crowd *crowd = arg;
    struct task **tasks = calloc((size_t)crowd->n, sizeof *tasks);
    int status = -ENOMEM;

    if (tasks)
        status = bench_crowd(tasks, crowd->n, yielder, &crowd->ticks);
    free(tasks);
    return status;
}

static void measure(long n)
{
    char name[32];
    struct bench_case c = {.name = name};
    struct crowd crowd = {.n = n, .ticks = {.result = &c}};

    snprintf(name, sizeof name, "yield %ld", n);
    c.operations = 2000000;
    crowd.ticks.next = 2 * (uint64_t)n + 200000;
    bench_run(yield_in_turn, &crowd);
    bench_report(&c);
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        measure(atol(argv[i]));
    if (argc == 1) {
        measure(2);
        measure(1000);
        measure(100000);
    }
    return 0;
}
