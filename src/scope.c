/*
 * The chain of open scopes, and whose request is whose.
 */
#include "scope.h"

#include "loop.h"
#include "loop_above.h"
#include "report.h"

bool task__scope_is_among(const struct task *self,
                          const struct task_scope *scope)
{
    const struct task_scope *open = self->scope;

    while (open && open != scope)
        open = open->outer;
    return open;
}

/* Their timers and children end with the loop. */
void task__scopes_abandon(struct task *task)
{
    while (task->scope)
        scope_end(task->scope);
}

/* The task of this loop in which it is open; NULL: none. What an open one says
 * of that is so; any other memory may say anything. */
static const struct task *owner_of(const struct task_scope *scope,
                                   const struct task *self)
{
    const struct loop *loop = loop_current();
    const struct task *task = scope->task;

    if (self && task__scope_is_among(self, scope))
        return self;
    if (on_memcheck())
        (void)VALGRIND_MAKE_MEM_DEFINED(&task, sizeof task);
    return loop && task__is_live(loop, task) &&
                   task__scope_is_among(task, scope)
               ? task
               : NULL;
}

static void refuse_outside(struct task_scope *scope, struct call_site site)
{
    scope->task = NULL;
    scope->deadline = TASK_FOREVER;
    scope->again = 0;
    scope->elsewhere = 0;
    scope->asks = false;
    scope->error = misuse_at(site, -EPERM, OUTSIDE_A_TASK);
    scope->state = SCOPE_REFUSED;
}

/* It seems to be open, or there is no task. */
bool task__scope_may_begin(struct task_scope *scope, struct task *self,
                           struct call_site site)
{
    const struct task *owner = owner_of(scope, self);

    if (!owner && self)
        return true;
    if (!owner) {
        refuse_outside(scope, site);
        return false;
    }
    task__misuse(site, self ? -EALREADY : -EPERM, "the scope is open");
    scope->again += owner == self;
    scope->elsewhere += owner != self;
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
    if (scope->task != self && scope->elsewhere) {
        scope->elsewhere--;
        return self ? -EALREADY : -EPERM;
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

/*
 * The request is undelivered as long as there were so many deliveries as before
 * it. If nothing has changed by it, it was passed on, or is delivered with the
 * last one; should that be undone, it is undelivered.
 */
void task__scope_ask(struct task_scope *scope, struct task_chain *requests)
{
    struct task *task = scope->task;
    unsigned undelivered = task->undelivered;

    if (scope->asks)
        return;
    scope->asks = true;
    scope->asked = ++task->scheduler->scope_asks;
    scope->before = task->deliveries;
    task__chain_request(requests, task);
    task__chain_run(requests);
    if (task->undelivered == undelivered && task->deliveries == scope->before)
        scope->before = task_deliveries_before(task);
}

/* What scopes found when they began is no more than is left, beside their own:
 * else what comes later would pass for what was taken back. */
void task__scopes_forget(const struct task *task)
{
    unsigned left = task->cancelling;

    for (struct task_scope *scope = task->scope; scope; scope = scope->outer) {
        if (scope->asks && left)
            left--;
        if (scope->cancelling > left)
            scope->cancelling = left;
        if (scope->heard > left)
            scope->heard = left;
    }
}

void task__scope_take_back(struct task_scope *scope)
{
    struct task *task = scope->task;

    if (task->cancelling)
        task->cancelling--;
    if (task->undelivered && scope->before == task->deliveries)
        task->undelivered--;
    if (task->undelivered > task->cancelling) /* more were taken back before */
        task->undelivered = task->cancelling;
}

/* Whether the request of an outer scope was delivered in this one: it came in
 * it, or was undelivered when it began. */
static bool was_delivered_in(const struct task_scope *scope,
                             const struct task_scope *outer)
{
    return outer->asks &&
           (outer->asked > scope->began || outer->before == scope->deliveries);
}

void task__scope_remind(const struct task_scope *scope)
{
    struct task *task = scope->task;
    unsigned n = 0;

    for (struct task_scope *outer = scope->outer; outer; outer = outer->outer) {
        if (was_delivered_in(scope, outer) && outer->before == scope->before)
            outer->before = task->deliveries;
        n += outer->asks && outer->before == task->deliveries;
    }
    if (task->undelivered < n)
        task->undelivered = n;
}

/*
 * For the outer scopes in which there had been no delivery before, that is as
 * if there had been none yet.
 */
void task__scope_rearm(const struct task_scope *scope)
{
    struct task *task = scope->task;
    unsigned n = scope_requests(scope);

    for (struct task_scope *outer = scope->outer; outer; outer = outer->outer) {
        if (was_delivered_in(scope, outer))
            outer->before = task->deliveries;
        if (outer->deliveries == scope->deliveries)
            outer->deliveries = task->deliveries;
    }
    if (task->undelivered < n)
        task->undelivered = n;
}
