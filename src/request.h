/*
 * Requests to end.
 *
 * They go from task to task, since each that is asked may pass it on: a chain
 * of those that are asked, and no recursion. Each stays in it until all have
 * been asked: so a request comes to each once, by whatever ways, and goes round
 * no cycle.
 */
#ifndef TASK_SRC_REQUEST_H
#define TASK_SRC_REQUEST_H

#include "park.h"

/* Put a task at the end of a chain. False: it is in one. */
static inline bool task_chain_append(struct task_chain *chain,
                                     struct task *task)
{
    if (task->chained)
        return false;
    task->chained = true;
    task->next = NULL;
    *(chain->first ? chain->end : &chain->first) = task;
    chain->end = &task->next;
    return true;
}

/* The first task, in no chain now, or NULL. */
static inline struct task *task_chain_pop(struct task_chain *chain)
{
    struct task *task = chain->first;

    if (task) {
        chain->first = task->next;
        task->chained = false;
    }
    return task;
}

static inline void task_chain_clear(struct task_chain *chain)
{
    while (task_chain_pop(chain))
        continue;
}

/* Have one more asked; nothing happens if it is done, or in the chain. */
void task__chain_request(struct task_chain *requests, struct task *task);

/* Ask all in a chain, and whoever they pass the request on to. */
void task__chain_run(struct task_chain *requests);

/* Ask a task, and whoever it passes the request on to. False: it was done. */
bool task__request(struct task *task);

/* It is woken with what tells it of a request: those that come before it runs
 * are delivered with that one. */
static inline void waiter_hears(struct waiter *waiter)
{
    waiter->task->hears = true;
}

/* Deliver a request to a task that is parked. */
static inline void waiter_refuse(struct waiter *waiter)
{
    waiter_hears(waiter);
    task_count_delivery(waiter->task);
    task__wake(waiter, -ECANCELED);
}

/* Before a waiter parks: a request that was there already does what one does
 * that comes later. What is waited for may have come by that. */
void task__waiter_take_requests(struct waiter *waiter);

/* A request that cannot be delivered now comes next. */
static inline void task_keep_request(struct task *task)
{
    task->undelivered++;
}

/* What a request does to a task that waits for the ends of others: it is passed
 * on to those that have not ended. If all have, and the task is not told yet,
 * what they returned is granted, and the request comes next: false. */
bool task__waiter_pass_on(struct waiter *waiter, struct task_chain *requests);

/* How many requests the task has heard of. One that was kept for the next call
 * may have been taken back before: more may be undelivered than there are. */
static inline unsigned task_heard(const struct task *task)
{
    return task->cancelling > task->undelivered
               ? task->cancelling - task->undelivered
               : 0;
}

/* Before a call's next part, which has to be done though requests wait: these
 * are put aside. Returns how many others the task has heard of. */
static inline unsigned task_put_requests_aside(struct task *task)
{
    unsigned heard = task_heard(task);

    task->undelivered = 0;
    return heard;
}

/* After that part: they come next, but for those taken back meanwhile. */
static inline void task_put_requests_back(struct task *task, unsigned heard)
{
    task->undelivered = task->cancelling > heard ? task->cancelling - heard : 0;
}

/* A call that was told of requests has something else to return: so they come
 * next, all since the task had heard of so many; one at the least. */
static inline void task_undeliver(struct task *task, unsigned heard)
{
    task_put_requests_back(task, heard);
    task->undelivered += !task->undelivered;
    task->deliveries--;
}

/* What a request does to a task whose wait nothing may end. */
static inline void waiter_defer(struct waiter *waiter,
                                struct task_chain *requests)
{
    (void)requests;
    task_keep_request(waiter->task);
}

#endif
