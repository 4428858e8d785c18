/*
 * Park and wake.
 *
 * Everything that blocks is made of this: a struct waiter on the stack of the
 * task, put on the list of what it waits for; then park. Whoever has something
 * for it calls wake, which takes the waiter off its list and moves the task to
 * the ready queue, and never switches. What cancels acts only on what is still
 * parked: so whatever was granted is delivered.
 */
#ifndef TASK_SRC_PARK_H
#define TASK_SRC_PARK_H

#include "scheduler.h"

/* Prepare a waiter; then put `node` where it belongs, and park. */
static inline void waiter_init(struct waiter *waiter, struct task *self,
                               const struct wait_kind *kind)
{
    waiter->kind = kind;
    waiter->task = self;
    waiter->node.list = NULL;
    waiter->timer = NULL;
}

/* When a time-out that begins now is over. */
static inline task_time scheduler_deadline(const struct scheduler *scheduler,
                                           task_time timeout)
{
    return timeout == TASK_FOREVER
               ? TASK_FOREVER
               : clock_after(task__clock_now(scheduler->clock), timeout);
}

/* Have a function called then, unless it is TASK_FOREVER, or the task was woken
 * before: park with this waiter next. */
static inline void waiter_arm(struct waiter *waiter, task_time when,
                              void (*fire)(struct timer *timer))
{
    struct task *task = waiter->task;
    struct wait_timer *timer;

    if (when == TASK_FOREVER)
        return;
    assert(!waiter->timer && !task->waiter);
    timer = stack_beside(task->stack);
    timer_init(&timer->timer, fire);
    timer->task = task;
    waiter->timer = &timer->timer;
    task__timer_arm(task->scheduler->timers, &timer->timer, when);
}

/* Suspend until woken; what it was woken with. */
int task__park(struct waiter *waiter);

/* The same, and wake with -ETIMEDOUT then, unless it is TASK_FOREVER. */
int task__park_until(struct waiter *waiter, task_time when);

/* The same with a waiter that is one of this queue, and needs no more. */
int task__park_in(struct list *queue, struct task *self,
                  const struct wait_kind *kind, task_time when);

/* Whether the task still waits in this way: it was neither woken nor
 * refused. */
static inline bool waiter_is_parked(const struct waiter *waiter)
{
    return waiter->task->waiter == waiter;
}

/* Make a parked task ready; its park returns `result`. The waiter may be one of
 * several of its task's. */
void task__wake(struct waiter *waiter, int result);

/* A task is parked no more, and ready. The result, which is the waiter's
 * already, is for the probe. */
static ALWAYS_INLINE void task_unpark(struct scheduler *scheduler,
                                      struct task *task, int result)
{
    (void)result;
    PROBE2(task_woken, task, result);
    task->waiter = NULL;
    scheduler->n_parked--;
    ready_push(scheduler, &task->ready);
}

/* The same for the one that the task is parked with. */
static ALWAYS_INLINE void waiter_wake(struct waiter *waiter, int result)
{
    struct task *task = waiter->task;
    struct scheduler *scheduler = task->scheduler;

    assert(task->waiter == waiter);
    waiter->result = result;
    list_remove(&waiter->node);
    if (unlikely(waiter->timer)) {
        task__timer_cancel(scheduler->timers, waiter->timer);
        waiter->timer = NULL;
    }
    task_unpark(scheduler, task, result);
}

/* task__wake, inline. */
static ALWAYS_INLINE void waiter_wake_any(struct waiter *waiter, int result)
{
    if (unlikely(waiter->task->waiter != waiter))
        waiter = waiter->kind->leave(waiter);
    waiter_wake(waiter, result);
}

/* Call a function for each whose end, or doing, a task waits for. */
static inline void each_awaited(const struct task *task, visit_fn *visit,
                                void *arg)
{
    const struct waiter *waiter = task->done ? NULL : task->waiter;

    if (waiter && waiter->kind->each_awaited)
        waiter->kind->each_awaited(waiter, visit, arg);
}

/* Wake the first waiter of a queue, if there is one. */
static inline bool wake_first(struct list *queue, int result)
{
    if (list_empty(queue))
        return false;
    task__wake(container_of(queue->first, struct waiter, node), result);
    return true;
}

static inline void wake_all(struct list *queue, int result)
{
    while (wake_first(queue, result))
        continue;
}

#endif
