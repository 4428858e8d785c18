/*
 * Waiting for nothing but time, or for the others.
 */
#include "loop.h"
#include "text.h"

static const struct wait_kind SLEEPING = {.verb = "sleeping"};
static const struct wait_kind SLEEPING_ON = {.verb = "sleeping for ever"};

static void describe_others(const struct waiter *waiter, struct text *text)
{
    (void)waiter;
    task__text_add(text, "all others");
}

static const struct wait_kind WATCHING = {
    .verb = "waiting for",
    .describe = describe_others,
};

/*
 * What it waited for has come, as its waiter says already. Neither that is
 * looked at, nor `task->scheduler`: they would have to come into the cache, and
 * not for the last time before the task runs.
 */
static void wake_up(struct timer *timer)
{
    task_unpark(scheduler_current(), sleeper_of(timer), 0);
}

static int sleep_until(struct task *self, task_time when)
{
    struct waiter waiter;

    waiter_init(&waiter, self, when == TASK_FOREVER ? &SLEEPING_ON : &SLEEPING);
    waiter.result = 0;
    waiter_arm(&waiter, when, wake_up);
    return task__park(&waiter);
}

int task_sleep(task_time delay)
{
    struct task *self;
    int error = task_enter(&self);

    if (error)
        return error;
    if (delay <= 0)
        return task__yield(self);
    return sleep_until(self, scheduler_deadline(self->scheduler, delay));
}

int task_sleep_until(task_time when)
{
    struct task *self;
    int error = task_enter(&self);

    if (error)
        return error;
    if (when <= task__clock_now(self->scheduler->clock))
        return task__yield(self);
    return sleep_until(self, when);
}

int task_yield(void)
{
    struct task *self;
    int error = task_enter(&self);

    return error ? error : task__yield(self);
}

int task_wait_all_blocked(void)
{
    struct task *self;
    int error = task_enter(&self);

    if (error)
        return error;
    return task__park_in(&loop_of_task(self)->watchful, self, &WATCHING,
                         TASK_FOREVER);
}
