/* What a child of a group costs, from its start to the end of its group: 1,000
 * that end at their first step, and 1,000 that yield once. */
#include "bench.h"

enum {
    CHILDREN = 1000,
    GROUPS = 100 /* in one window */
};

static int one_group(task_fn *child)
{
    struct task_group group;
    int status = 0;

    task_group_begin(&group);
    for (int i = 0; i < CHILDREN && status >= 0; i++)
        status = task_group_start(&group, child, NULL);
    return task_group_end(&group, status);
}

static int many_groups(task_fn *child)
{
    int status = 0;

    for (int i = 0; i < GROUPS && status >= 0; i++)
        status = one_group(child);
    return status;
}

static int short_children(void *arg)
{
    (void)arg;
    return many_groups(bench_end_at_once);
}

static int yielding_children(void *arg)
{
    (void)arg;
    return many_groups(bench_yield_once);
}

static int measure(void *arg)
{
    struct bench_case ends = {.name = "group of 1000 that end"};
    struct bench_case yields = {.name = "group of 1000 that yield"};

    ends.operations = yields.operations = (long)GROUPS * CHILDREN;
    bench_rounds(&ends, short_children, arg);
    bench_rounds(&yields, yielding_children, arg);
    return 0;
}

int main(void)
{
    bench_run(measure, NULL);
    return 0;
}
