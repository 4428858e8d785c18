/*
 * Those that wait for something, in their order: what locks, events, queues and
 * their kin are made of.
 */
#ifndef TASK_SRC_WAITERS_H
#define TASK_SRC_WAITERS_H

#include "request.h"

/* The queue that a waiter is in. */
static inline struct task_list *waiters_of(const struct waiter *waiter)
{
    return (struct task_list *)(void *)waiter->node.list;
}

static ALWAYS_INLINE bool waiters_empty(const struct task_list *waiters)
{
    return list_empty(list_of_const(waiters));
}

static inline size_t waiters_count(const struct task_list *waiters)
{
    const struct list_node *node = list_of_const(waiters)->first;
    size_t n = 0;

    for (; node; node = node->next)
        n++;
    return n;
}

/* The first, who stays there; NULL: nobody. */
static inline struct waiter *waiters_first(struct task_list *waiters)
{
    struct list_node *node = list_of(waiters)->first;

    return node ? container_of(node, struct waiter, node) : NULL;
}

/* Suspend at the end of the queue, with a waiter that is part of something
 * larger; what the caller was woken with. */
static inline int waiters_park_as(struct task_list *waiters,
                                  struct waiter *waiter, struct task *self,
                                  const struct wait_kind *kind)
{
    waiter_init(waiter, self, kind);
    list_append(list_of(waiters), &waiter->node);
    return task__park(waiter);
}

/* The same with one of its own. */
static inline int waiters_park(struct task_list *waiters, struct task *self,
                               const struct wait_kind *kind)
{
    struct waiter waiter;

    return waiters_park_as(waiters, &waiter, self, kind);
}

/* Wake the first, if there is one. */
static inline bool waiters_wake_first(struct task_list *waiters, int result)
{
    return wake_first(list_of(waiters), result);
}

static inline void waiters_wake_all(struct task_list *waiters, int result)
{
    wake_all(list_of(waiters), result);
}

#endif
