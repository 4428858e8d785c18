/*
 * Once: who runs it, and those that wait for the outcome, or for their turn.
 */
#include "text.h"
#include "waiters.h"

#include <errno.h>
#include <task/once.h>

static const struct task_once *once_of(const struct waiter *waiter)
{
    return container_of(waiters_of(waiter), const struct task_once, waiters);
}

static void name_runner(const struct waiter *waiter, visit_fn *visit, void *arg)
{
    visit(once_of(waiter)->runner, arg);
}

static void describe(const struct waiter *waiter, struct text *text)
{
    const struct task_once *once = once_of(waiter);

    task__text_add(text, "%p, run by ", (const void *)once);
    task__text_add_task(text, once->runner);
}

static const struct wait_kind WAITING = {
    .verb = "waiting for once",
    .describe = describe,
    .each_awaited = name_runner,
};

/* What a waiter is woken with that is the next to run it; else it is told a
 * status that is not negative, or was cancelled. */
enum { YOUR_TURN = -EAGAIN };

static void pass_on(struct task_once *once)
{
    struct waiter *first = waiters_first(&once->waiters);

    once->runner = first ? first->task : NULL;
    if (first)
        task__wake(first, YOUR_TURN);
}

static void finish(struct task_once *once, int status)
{
    once->runner = NULL;
    once->status = status;
    once->done = true;
    waiters_wake_all(&once->waiters, status);
}

static int run(struct task_once *once, task_fn *fn, void *arg)
{
    int status = fn(arg);

    if (status < 0)
        pass_on(once);
    else
        finish(once, status);
    return status;
}

int task_once_run(struct task_once *once, task_fn *fn, void *arg)
{
    struct task *self;
    int status =
        fn ? task_enter(&self) : MISUSE(-EINVAL, "the function is NULL");

    if (unlikely(status))
        return status;
    if (likely(once->done))
        return once->status;
    if (once->runner == self)
        return MISUSE(-EDEADLK, "the caller runs the function");
    if (once->runner) {
        status = waiters_park(&once->waiters, self, &WAITING);
        if (status != YOUR_TURN)
            return status;
    }
    once->runner = self;
    return run(once, fn, arg);
}

bool task_once_done(const struct task_once *once)
{
    return once->done;
}

size_t task_once_waiting(const struct task_once *once)
{
    return waiters_count(&once->waiters);
}

int task_once_destroy(struct task_once *once)
{
    if (once->runner)
        return MISUSE(-EBUSY, "a task runs the function");
    *once = (struct task_once){0};
    return 0;
}
