/*
 * Events: set, or a queue of those that wait until it is.
 */
#include "text.h"
#include "waiters.h"

#include <errno.h>
#include <task/sync.h>

static void describe(const struct waiter *waiter, struct text *text)
{
    const struct task_event *event =
        container_of(waiters_of(waiter), const struct task_event, waiters);

    task__text_add(text, "%p", (const void *)event);
}

static const struct wait_kind WAITING = {
    .verb = "waiting for event",
    .describe = describe,
};

int task_event_wait(struct task_event *event)
{
    struct task *self;
    int error = task_enter(&self);

    if (unlikely(error))
        return error;
    return event->set ? 0 : waiters_park(&event->waiters, self, &WAITING);
}

void task_event_set(struct task_event *event)
{
    event->set = true;
    waiters_wake_all(&event->waiters, 0);
}

void task_event_clear(struct task_event *event)
{
    event->set = false;
}

bool task_event_is_set(const struct task_event *event)
{
    return event->set;
}

size_t task_event_waiting(const struct task_event *event)
{
    return waiters_count(&event->waiters);
}

int task_event_destroy(struct task_event *event)
{
    if (!waiters_empty(&event->waiters))
        return MISUSE(-EBUSY, "there are tasks that wait");
    *event = (struct task_event){0};
    return 0;
}
