/* What our benchmarks have in common, beside measuring. */
#ifndef BENCH_H
#define BENCH_H

#include <task.h>

#include "measure.h"

/** Run a loop with @p main, and check its status. */
static inline void bench_run(task_fn *main, void *arg)
{
    bench_check(loop_run(main, arg), "loop_run");
}

/** Tasks that do nothing: that end at their first step, or at their second. */
static inline int bench_end_at_once(void *arg)
{
    (void)arg;
    return 0;
}

static inline int bench_yield_once(void *arg)
{
    (void)arg;
    return task_yield();
}

/** Create @p n tasks, and then await each; @p tasks is scratch space. */
static inline int bench_crowd(struct task *tasks[], long n, task_fn *fn,
                              void *arg)
{
    int status = 0;

    for (long i = 0; i < n; i++)
        tasks[i] = task_create(fn, arg);
    for (long i = 0; i < n; i++) {
        int s = task_await(tasks[i]);

        status = s < 0 ? s : status;
    }
    return status;
}

#endif
