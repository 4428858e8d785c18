/* What task_create and task_await cost: one by one, and 100,000 at a time.
 *
 * Tasks that end at their first step may all use one stack; those that yield
 * need one each. Fresh: in a loop that has no stacks yet, so that every one
 * costs a page fault; warm: the same number has just been used. */
#include "bench.h"

#include <stddef.h>

enum { ONE_BY_ONE = 1000000, MANY = 100000 };

static struct task *tasks[MANY];

static int one_by_one(void *arg)
{
    int status = 0;

    for (long i = 0; i < ONE_BY_ONE && status >= 0; i++)
        status = task_await(task_create(bench_end_at_once, arg));
    return status;
}

static int many(void *arg)
{
    return bench_crowd(tasks, MANY, bench_end_at_once, arg);
}

static int many_that_yield(void *arg)
{
    return bench_crowd(tasks, MANY, bench_yield_once, arg);
}

static int measure_warm(void *arg)
{
    struct bench_case one = {.name = "create+await 1"};
    struct bench_case all = {.name = "create+await 100000"};
    struct bench_case yield = {.name = "create+await 100000, warm"};

    one.operations = ONE_BY_ONE;
    all.operations = yield.operations = MANY;
    bench_rounds(&one, one_by_one, arg);
    bench_rounds(&all, many, arg);
    bench_rounds(&yield, many_that_yield, arg);
    return 0;
}

static int measure_fresh(void *arg)
{
    bench_round(arg, many_that_yield, NULL);
    return 0;
}

int main(void)
{
    struct bench_case fresh = {.name = "create+await 100000, fresh"};

    bench_run(measure_warm, NULL);
    fresh.operations = MANY;
    for (int i = 0; i < BENCH_WINDOWS; i++)
        bench_run(measure_fresh, &fresh);
    bench_report(&fresh);
    return 0;
}
