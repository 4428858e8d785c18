/*
 * Looking at tasks from outside: which there are, and how large their stacks.
 */
#include "loop.h"

#include <stdlib.h>

bool task__is_live(const struct loop *loop, const struct task *task)
{
    return task__pool_has(&loop->task_pool, task) && !task->done &&
           !task->future;
}

struct task *task__next_live(const struct loop *loop, const struct task *task)
{
    struct task *next = task__pool_next(&loop->task_pool, task);

    while (next && (next->done || next->future))
        next = task__pool_next(&loop->task_pool, next);
    return next;
}

static int compare_ids(const void *a, const void *b)
{
    const struct task *x = *(struct task *const *)a;
    const struct task *y = *(struct task *const *)b;

    return (x->id > y->id) - (x->id < y->id);
}

/* Let the task at @p i sink to its place in a heap whose latest is at 0. */
static void sink(struct task *tasks[], size_t n, size_t i)
{
    for (size_t child; (child = 2 * i + 1) < n; i = child) {
        struct task *task = tasks[i];

        if (child + 1 < n && tasks[child + 1]->id > tasks[child]->id)
            child++;
        if (task->id >= tasks[child]->id)
            return;
        tasks[i] = tasks[child];
        tasks[child] = task;
    }
}

/* The first n are a heap, once there are more. */
static void put(struct task *out[], size_t n, size_t n_out, struct task *task)
{
    if (n_out < n) {
        out[n_out] = task;
        return;
    }
    if (n_out == n)
        for (size_t i = n / 2; i--;)
            sink(out, n, i);
    if (n && task->id < out[0]->id) {
        out[0] = task;
        sink(out, n, 0);
    }
}

size_t task__pick_live(const struct loop *loop, struct task *out[], size_t n,
                       accept_fn *accept, void *arg)
{
    struct task *task = NULL;
    size_t n_out = 0;

    while ((task = task__next_live(loop, task)))
        if (!accept || accept(task, arg))
            put(out, n, n_out++, task);
    if (n && n_out)
        qsort(out, n < n_out ? n : n_out, sizeof(struct task *), compare_ids);
    return n_out;
}

size_t task_all(struct task *out[], size_t n)
{
    struct loop *loop = loop_current();

    if (!loop)
        return 0;
    return n ? task__pick_live(loop, out, n, NULL, NULL) : loop->n_tasks;
}

static bool has_stack(const struct task *task)
{
    return task && !task->done && !task->future;
}

size_t task_stack_size(const struct task *task)
{
    if (!has_stack(task))
        return 0;
    return is_new(task) ? task->stacks->size : task__stack_size(task->stack);
}

size_t task_stack_used(const struct task *task)
{
    return has_stack(task) && !is_new(task) ? task__stack_used(task->stack) : 0;
}
