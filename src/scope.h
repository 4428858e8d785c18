/*
 * What time-outs, groups and other scopes have in common: how they nest, and how
 * one asks its own task to end and takes that back.
 *
 * The open scopes of a task form a chain, from task->scope outwards.
 */
#ifndef TASK_SRC_SCOPE_H
#define TASK_SRC_SCOPE_H

#include "scheduler.h"

#include <task/scope.h>

/* Open a scope of the current task's. False: it is not open, or not anew; its
 * end will tell why. */
bool task__scope_begin(struct task_scope *scope, task_time deadline);

/*
 * What every end begins with. The scope stays open; 0, or the error of its
 * beginning, and then it is over. Misuse that cannot go on aborts.
 */
int task__scope_check(struct task_scope *scope);

/* Ask the task to end, on the scope's account; once. */
void task__scope_ask(struct task_scope *scope);

/* Take that back. */
void task__scope_take_back(struct task_scope *scope);

/* Have a beginning fail after all. */
void task__scope_refuse(struct task_scope *scope, int error);

/* Close it. */
void task__scope_end(struct task_scope *scope);

bool task__scope_is_open(const struct task_scope *scope);

/* How many requests have come from outside since the scope began, once its own
 * is taken back. */
static inline unsigned scope_requests(const struct task_scope *scope)
{
    unsigned now = scope->task->cancelling;

    return now > scope->cancelling ? now - scope->cancelling : 0;
}

/* A -ECANCELED was replaced: the requests from outside will be delivered anew. */
static inline void scope_rearm(const struct task_scope *scope)
{
    if (scope->task->undelivered < scope_requests(scope))
        scope->task->undelivered = scope_requests(scope);
}

#endif
