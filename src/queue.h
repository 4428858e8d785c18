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

#include "waiters.h"

#include <task/queue.h>

/* On the list of getters or of putters. */
struct queue_waiter {
    struct waiter waiter;
    union {
        const void *from; /* a putter's item */
        void *to;         /* where a getter wants one */
    };
};

/* As task_queue_try_put() and task_queue_try_get(); -EAGAIN: now wait. */
int task__queue_put_now(struct task_queue *q, const void *item);
int task__queue_get_now(struct task_queue *q, void *item);

#endif
