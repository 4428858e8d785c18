/*
 * Once: who runs it, and those that wait for the outcome, or for their turn.
 */
#include "lock.h"
#include "loop.h"
#include "text.h"

#include <errno.h>
#include <task/once.h>

static const struct task_once *once_of(const struct waiter *waiter)
{
    return container_of(waiters_of(waiter), const struct task_once,
                        run.waiters);
}

static void name_runner(const struct waiter *waiter, visit_fn *visit, void *arg)
{
    visit(once_of(waiter)->run.owner, arg);
}

static void describe(const struct waiter *waiter, struct text *text)
{
    const struct task_once *once = once_of(waiter);

    task__text_add(text, "%p, run by ", (const void *)once);
    task__text_add_task(text, once->run.owner);
}

static const struct wait_kind WAITING = {
    .verb = "waiting for once",
    .describe = describe,
    .each_awaited = name_runner,
};

/* What a waiter is woken with that is the next to run it; else it is told a
 * status that is not negative, or was cancelled. */
enum { YOUR_TURN = -EAGAIN };

static void pass_on(struct task_lock *run);

/* Have a task run it. That a former one was dropped is told to nobody: whatever
 * it has left, a run that failed might have. */
static void begin(struct task_lock *run, struct task *task)
{
    run->admit = pass_on;
    run->is_run = true;
    lock_take(run, task);
}

static void pass_on(struct task_lock *run)
{
    struct waiter *first = waiters_first(&run->waiters);

    if (!first)
        return;
    begin(run, first->task);
    task__wake(first, YOUR_TURN);
}

static void finish(struct task_once *once, int status)
{
    once->status = status;
    once->done = true;
    waiters_wake_all(&once->run.waiters, status);
}

/* In the child of a fork it may be somebody else's by the end. */
static int run(struct task_once *once, const struct task *self, task_fn *fn,
               void *arg)
{
    int status = fn(arg);

    if (unlikely(once->run.owner != self))
        return status;
    lock_drop(&once->run);
    if (status < 0)
        pass_on(&once->run);
    else
        finish(once, status);
    return status;
}

/* Whether it was run when this process was forked: here nobody does, or
 * waits. */
static bool is_inherited(const struct task_once *once)
{
    const struct task *runner = once->run.owner;

    return unlikely(runner && loop_is_inherited(loop_of_task(runner)));
}

int task_once_run(struct task_once *once, task_fn *fn, void *arg)
{
    struct task *self;
    int status = fn || !scheduler_self()
                     ? task_enter(&self)
                     : MISUSE(-EINVAL, "the function is NULL");

    if (unlikely(status))
        return status;
    if (likely(once->done))
        return once->status;
    if (is_inherited(once))
        *once = (struct task_once){.done = false};
    if (once->run.owner == self)
        return MISUSE(-EDEADLK, "the caller runs the function");
    if (once->run.owner) {
        status = waiters_park(&once->run.waiters, self, &WAITING);
        if (status != YOUR_TURN)
            return status;
    } else {
        begin(&once->run, self);
    }
    return run(once, self, fn, arg);
}

bool task_once_done(const struct task_once *once)
{
    return once->done;
}

size_t task_once_waiting(const struct task_once *once)
{
    return is_inherited(once) ? 0 : waiters_count(&once->run.waiters);
}

int task_once_destroy(struct task_once *once)
{
    if (once->run.owner && !is_inherited(once))
        return MISUSE(-EBUSY, "a task runs the function");
    *once = (struct task_once){.done = false};
    return 0;
}
