/*
 * Whether a task that is to be waited for cannot go on before the one that
 * waits has ended, at some remove: a cycle of those that need each other.
 */
#ifndef TASK_SRC_NEEDS_H
#define TASK_SRC_NEEDS_H

#include "request.h"

/* Whether one of these, none of which is `self`, needs it. An entry may be
 * NULL. */
bool task__any_needs(struct task *const tasks[], size_t n, struct task *self);

/* The same for one that is parked. */
bool task__needs_parked(struct task *task, struct task *self);

/* If it is not parked it needs nobody; and if nobody watches `self`, nobody
 * needs that. */
static ALWAYS_INLINE bool task_needs(struct task *task, struct task *self)
{
    if (unlikely(task == self))
        return true;
    return task->waiter && !list_empty(&self->watchers) &&
           task__needs_parked(task, self);
}

#endif
