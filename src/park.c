/*
 * Park and wake, out of line.
 */
#include "park.h"

#include "switch.h"

int task__park(struct waiter *waiter)
{
    return waiter_park(waiter);
}

static void time_out(struct timer *timer)
{
    waiter_wake(waiter_of(timer), -ETIMEDOUT);
}

int task__park_until(struct waiter *waiter, task_time when)
{
    waiter_arm(waiter, when, time_out);
    return waiter_park(waiter);
}

int task__park_in(struct list *queue, struct task *self,
                  const struct wait_kind *kind, task_time when)
{
    struct waiter waiter;

    waiter_init(&waiter, self, kind);
    list_append(queue, &waiter.node);
    return task__park_until(&waiter, when);
}

void task__wake(struct waiter *waiter, int result)
{
    waiter_wake_any(waiter, result);
}
