#include "scope.h"

#include "loop.h"

enum { OPEN = 0x5c, ENDED, REFUSED };

/* Whether it is open in this task: known without a look at what is in it. */
static bool is_among(const struct task *self, const struct task_scope *scope)
{
    const struct task_scope *open = self->scope;

    while (open && open != scope)
        open = open->outer;
    return open;
}

bool task__scope_begin(struct task_scope *scope, task_time deadline)
{
    struct task *self = scheduler_self();

    if (unlikely(self && is_among(self, scope))) {
        scope->again++;
        return false;
    }
    scope->task = self;
    scope->deadline = deadline;
    scope->again = 0;
    scope->asks = false;
    if (unlikely(!self)) {
        scope->error = -EPERM;
        scope->state = REFUSED;
        return false;
    }
    scope->error = 0;
    scope->state = OPEN;
    scope->cancelling = self->cancelling;
    scope->heard = self->cancelling > self->undelivered
                       ? self->cancelling - self->undelivered
                       : 0;
    scope->deliveries = self->deliveries;
    scope->outer = self->scope;
    self->scope = scope;
    self->owns = true;
    return true;
}

void task__scope_end(struct task_scope *scope)
{
    scope->task->scope = scope->outer;
    scope->state = ENDED;
}

void task__scope_refuse(struct task_scope *scope, int error)
{
    task__scope_end(scope);
    scope->error = error;
    scope->state = REFUSED;
}

int task__scope_check(struct task_scope *scope)
{
    struct task *self = scheduler_self();

    if (scope->state == REFUSED) {
        scope->state = ENDED;
        return scope->error;
    }
    if (unlikely(scope->state != OPEN))
        task__abort(self, "ended a scope that is not open");
    if (unlikely(scope->task != self)) {
        if (loop_is_inherited(loop_of_task(scope->task)))
            return -EPERM;
        task__abort(self, "ended a scope of another task's");
    }
    if (unlikely(self->scope != scope))
        task__abort(self, "ended a scope that is not its innermost");
    if (unlikely(scope->again)) {
        scope->again--;
        return -EALREADY;
    }
    return 0;
}

void task__scope_ask(struct task_scope *scope)
{
    struct task *task = scope->task;
    unsigned undelivered = task->undelivered;

    if (scope->asks)
        return;
    scope->asks = true;
    task__request(task);
    scope->is_waiting = task->undelivered > undelivered;
    scope->asked_at = task->deliveries;
}

/*
 * What is undelivered afterwards are requests from outside: those that came
 * since the beginning, and what was undelivered then, if nothing was delivered
 * since. (More there may be: an inner scope has armed ours anew.)
 */
void task__scope_take_back(struct task_scope *scope)
{
    struct task *task = scope->task;
    unsigned delivered;

    if (likely(!scope->asks))
        return;
    if (task->cancelling)
        task->cancelling--;
    if (scope->is_waiting && task->deliveries == scope->asked_at &&
        task->undelivered)
        task->undelivered--;
    delivered = task->deliveries == scope->deliveries ? scope->heard
                                                      : scope->cancelling;
    if (task->undelivered + delivered > task->cancelling)
        task->undelivered =
            task->cancelling > delivered ? task->cancelling - delivered : 0;
}

bool task__scope_is_open(const struct task_scope *scope)
{
    return scope->state == OPEN;
}
