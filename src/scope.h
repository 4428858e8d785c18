/*
 * What time-outs, groups and other scopes have in common: how they nest, and
 * how one asks its own task to end and takes that back.
 *
 * The open scopes of a task form a chain, from task->scope outwards.
 */
#ifndef TASK_SRC_SCOPE_H
#define TASK_SRC_SCOPE_H

#include "request.h"
#include "scheduler.h"

#include <task/scope.h>

enum { SCOPE_OPEN = 0x5c, SCOPE_ENDED, SCOPE_REFUSED };

/* Whether it is open in this task: known without a look at what is in it. */
bool task__scope_is_among(const struct task *self,
                          const struct task_scope *scope);

bool task__scope_may_begin(struct task_scope *scope, struct task *self,
                           struct call_site site);
int task__scope_check_failed(struct task_scope *scope, struct task *self);
void task__scope_take_back(struct task_scope *scope);

static inline bool scope_is_open(const struct task_scope *scope)
{
    return scope->state == SCOPE_OPEN;
}

/* The same of memory that may never have been written. */
static ALWAYS_INLINE bool scope_seems_open(const struct task_scope *scope)
{
    unsigned char state = scope->state;

    if (on_memcheck())
        (void)VALGRIND_MAKE_MEM_DEFINED(&state, sizeof state);
    return state == SCOPE_OPEN;
}

/* Open a scope of the current task's. False: it is not open, or was so before
 * and is left alone; its end will tell why. */
static ALWAYS_INLINE bool scope_begin(struct task_scope *scope,
                                      task_time deadline, const char *call)
{
    struct task *self = scheduler_self();

    if (unlikely(!self || scope_seems_open(scope)) &&
        !task__scope_may_begin(scope, self, site_here(call)))
        return false;
    scope->task = self;
    scope->deadline = deadline;
    scope->again = 0;
    scope->elsewhere = 0;
    scope->asks = false;
    scope->error = 0;
    scope->state = SCOPE_OPEN;
    scope->cancelling = self->cancelling;
    scope->heard = task_heard(self);
    scope->deliveries = self->deliveries;
    scope->began = self->scheduler->scope_asks;
    scope->outer = self->scope;
    self->scope = scope;
    self->owns = true;
    return true;
}

/*
 * What every end begins with. The scope stays open; 0, or the error of its
 * beginning, and then it is over. Misuse that cannot go on aborts.
 */
static ALWAYS_INLINE int scope_check(struct task_scope *scope)
{
    struct task *self = scheduler_self();

    if (likely(scope_is_open(scope) && scope->task == self &&
               self->scope == scope && !scope->again))
        return 0;
    return task__scope_check_failed(scope, self);
}

/* Ask the task to end, on the scope's account, and with it those in a chain;
 * once. */
void task__scope_ask(struct task_scope *scope, struct task_chain *requests);

/* Take that back. */
static ALWAYS_INLINE void scope_take_back(struct task_scope *scope)
{
    if (unlikely(scope->asks))
        task__scope_take_back(scope);
}

/* Have a beginning fail after all. */
void task__scope_refuse(struct task_scope *scope, int error);

/* Close it. */
static inline void scope_end(struct task_scope *scope)
{
    scope->task->scope = scope->outer;
    scope->state = SCOPE_ENDED;
}

/*
 * How many requests from outside were delivered in the scope, or might have
 * been, once its own is taken back: those that have come since it began, and
 * those that waited then, if there was a delivery.
 */
static inline unsigned scope_requests(const struct task_scope *scope)
{
    const struct task *task = scope->task;
    unsigned before = task->deliveries == scope->deliveries ? scope->cancelling
                                                            : scope->heard;

    return task->cancelling > before ? task->cancelling - before : 0;
}

/*
 * A -ECANCELED was replaced: the requests from outside will be delivered anew,
 * those of outer scopes among them.
 */
void task__scope_rearm(const struct task_scope *scope);

/* The requests of outer scopes that were delivered together with the scope's
 * own will be so once more: whoever takes that for dealt with is stopped all
 * the same. */
void task__scope_remind(const struct task_scope *scope);

/* The -ECANCELED that the scope itself has caused goes on as that of requests
 * from outside: if none of them was delivered yet, they are by this. */
static inline void scope_deliver(const struct task_scope *scope)
{
    struct task *task = scope->task;

    if (scope->asks && task->undelivered &&
        task->undelivered >= scope_requests(scope))
        task_take_requests(task);
}

#endif
