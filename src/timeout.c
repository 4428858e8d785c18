/*
 * Time-outs: a timer asks the task of a scope to end.
 */
#include "scope.h"

#include "loop.h"

static void expire(struct timer *timer)
{
    struct task_timeout *timeout =
        container_of(timer, struct task_timeout, timer);
    struct task_chain requests = {NULL, NULL};

    timeout->is_expired = true;
    task__scope_ask(&timeout->scope, &requests);
}

static ALWAYS_INLINE void begin(struct task_timeout *timeout,
                                struct scheduler *scheduler, task_time when,
                                const char *call)
{
    bool began = scope_begin(&timeout->scope, when, call);

    if (unlikely(!began) && scope_is_open(&timeout->scope))
        return;
    timeout->is_expired = false;
    if (unlikely(!began))
        return;
    timer_init(timer_of(&timeout->timer), expire);
    if (when != TASK_FOREVER)
        task__timer_arm(scheduler->timers, timer_of(&timeout->timer), when);
}

void task_timeout_begin_at(struct task_timeout *timeout, task_time when)
{
    begin(timeout, scheduler_current(), when, __func__);
}

void task_timeout_begin(struct task_timeout *timeout, task_time delay)
{
    struct scheduler *scheduler = scheduler_current();

    begin(timeout, scheduler,
          scheduler ? scheduler_deadline(scheduler, delay) : TASK_FOREVER,
          __func__);
}

int task_timeout_end(struct task_timeout *timeout, int status)
{
    struct task_scope *scope = &timeout->scope;
    int error = scope_check(scope);

    if (unlikely(error))
        return error;
    task__timer_cancel(scope->task->scheduler->timers,
                       timer_of(&timeout->timer));
    scope_take_back(scope);
    scope_end(scope);
    if (status != -ECANCELED || !timeout->is_expired)
        return status;
    if (!scope_requests(scope))
        return -ETIMEDOUT;
    scope_deliver(scope);
    task__scope_remind(scope);
    return -ECANCELED;
}

int task_timeout_reschedule(struct task_timeout *timeout, task_time when)
{
    struct scheduler *scheduler = scheduler_current();
    struct timer *timer = timer_of(&timeout->timer);

    if (!scheduler || !scope_is_open(&timeout->scope) ||
        timeout->scope.task->scheduler != scheduler || timeout->is_expired)
        return MISUSE(-EINVAL, "the time-out is not open, or is over");
    task__timer_cancel(scheduler->timers, timer);
    timeout->scope.deadline = when;
    if (when != TASK_FOREVER)
        task__timer_arm(scheduler->timers, timer, when);
    return 0;
}

bool task_timeout_expired(const struct task_timeout *timeout)
{
    return timeout->is_expired;
}

task_time task_deadline(void)
{
    const struct task *self = scheduler_self();
    task_time nearest = TASK_FOREVER;

    for (const struct task_scope *scope = self ? self->scope : NULL; scope;
         scope = scope->outer)
        if (scope->deadline < nearest)
            nearest = scope->deadline;
    return nearest;
}
