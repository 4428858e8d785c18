/*
 * Queues: what a task leaves in one while it waits, and the parts of a put and
 * a get that do not wait.
 *
 * Getters wait only while a queue is empty, putters only while it is full, and
 * nobody once it is shut down. Whoever takes or brings an item serves the first
 * of those that wait at once: copies the item, and wakes. So there is nothing
 * that a woken task would have to look for, and nothing to lose.
 */
#ifndef TASK_SRC_QUEUE_H
#define TASK_SRC_QUEUE_H

#include "scheduler.h"

#include <task/queue.h>

_Static_assert(sizeof(struct task_waiters) == sizeof(struct list) &&
                   offsetof(struct task_waiters, last) ==
                       offsetof(struct list, last),
               "a list under another name");

/* On the list of getters or of putters. */
struct queue_waiter {
    struct waiter waiter;
    union {
        const void *from; /* a putter's item */
        void *to;         /* where a getter wants one */
    };
};

static inline struct list *queue_getters(struct task_queue *q)
{
    return (struct list *)&q->getters;
}

static inline struct list *queue_putters(struct task_queue *q)
{
    return (struct list *)&q->putters;
}

/* As task_queue_try_put() and task_queue_try_get(); -EAGAIN: now wait. */
int task__queue_put_now(struct task_queue *q, const void *item);
int task__queue_get_now(struct task_queue *q, void *item);

#endif
