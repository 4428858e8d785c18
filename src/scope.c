/*
 * The chain of open scopes, and whose request is whose.
 */
#include "scope.h"

#include "loop.h"

bool task__scope_is_among(const struct task *self,
                          const struct task_scope *scope)
{
    const struct task_scope *open = self->scope;

    while (open && open != scope)
        open = open->outer;
    return open;
}

bool task__scope_begin_wrongly(struct task_scope *scope, struct task *self,
                               const char *call)
{
    if (self) {
        task__misuse(call, -EALREADY, "the scope is open");
        scope->again++;
        return false;
    }
    scope->task = NULL;
    scope->deadline = TASK_FOREVER;
    scope->again = 0;
    scope->asks = false;
    scope->error = misuse(call, -EPERM, OUTSIDE_A_TASK);
    scope->state = SCOPE_REFUSED;
    return false;
}

void task__scope_refuse(struct task_scope *scope, int error)
{
    scope_end(scope);
    scope->error = error;
    scope->state = SCOPE_REFUSED;
}

int task__scope_check_failed(struct task_scope *scope, struct task *self)
{
    if (scope->state == SCOPE_REFUSED) {
        scope->state = SCOPE_ENDED;
        return scope->error;
    }
    if (scope->state != SCOPE_OPEN)
        task__abort(self, "ended a scope that is not open");
    if (scope->task != self) {
        if (loop_is_inherited(loop_of_task(scope->task)))
            return -EPERM;
        task__abort(self, "ended a scope of another task's");
    }
    if (self->scope != scope)
        task__abort(self, "ended a scope that is not its innermost");
    assert(scope->again);
    scope->again--;
    return -EALREADY;
}

void task__scope_ask(struct task_scope *scope, struct task_chain *requests)
{
    struct task *task = scope->task;
    unsigned undelivered = task->undelivered;

    if (scope->asks)
        return;
    scope->asks = true;
    task__chain_request(requests, task);
    task__chain_run(requests);
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
