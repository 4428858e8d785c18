/*
 * Those that wait for something, in their order: what locks, events, queues and
 * their kin are made of.
 *
 * A public struct cannot contain a struct list, which users do not see; it
 * contains a struct task_waiters, which is one. Only what is here looks into it.
 */
#ifndef TASK_SRC_WAITERS_H
#define TASK_SRC_WAITERS_H

#include "scheduler.h"

#include <task/base.h>

_Static_assert(sizeof(struct task_waiters) == sizeof(struct list) &&
                   _Alignof(struct task_waiters) == _Alignof(struct list),
               "a struct task_waiters is a struct list");

static ALWAYS_INLINE struct list *waiters_list(struct task_waiters *waiters)
{
    return (struct list *)(void *)waiters;
}

static inline const struct list *
waiters_list_const(const struct task_waiters *waiters)
{
    return (const struct list *)(const void *)waiters;
}

/* The queue that a waiter is in. */
static inline struct task_waiters *waiters_of(const struct waiter *waiter)
{
    return (struct task_waiters *)(void *)waiter->node.list;
}

static ALWAYS_INLINE bool waiters_empty(const struct task_waiters *waiters)
{
    return list_empty(waiters_list_const(waiters));
}

static inline size_t waiters_count(const struct task_waiters *waiters)
{
    const struct list_node *node = waiters_list_const(waiters)->first;
    size_t n = 0;

    for (; node; node = node->next)
        n++;
    return n;
}

/* The first, who stays there; NULL: nobody. */
static inline struct waiter *waiters_first(struct task_waiters *waiters)
{
    struct list_node *node = waiters_list(waiters)->first;

    return node ? container_of(node, struct waiter, node) : NULL;
}

/* Suspend at the end of the queue; what the caller was woken with. */
static inline int waiters_park(struct task_waiters *waiters, struct task *self,
                               const struct wait_kind *kind)
{
    struct waiter waiter;

    waiter_init(&waiter, self, kind);
    list_append(waiters_list(waiters), &waiter.node);
    return task__park(&waiter);
}

/* Wake the first, if there is one. */
static inline bool waiters_wake_first(struct task_waiters *waiters, int result)
{
    return wake_first(waiters_list(waiters), result);
}

static inline void waiters_wake_all(struct task_waiters *waiters, int result)
{
    while (waiters_wake_first(waiters, result))
        continue;
}

#endif
