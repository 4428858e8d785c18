#include "moment.h"

#include "loop.h"
#include "record.h"

#include <string.h>

enum { MOST = 8 };

struct moment {
    struct task *caller;
    struct task *futures[2];
    task_time when;
    size_t n;
    struct event {
        struct timer timer;
        struct moment *moment;
        char what;
    } events[MOST];
};

static void happen(struct timer *timer)
{
    struct event *event = container_of(timer, struct event, timer);
    struct moment *moment = event->moment;

    if (event->what == 'X')
        task_cancel(moment->caller);
    else if (event->what == 'B')
        task_future_complete(moment->futures[1], 2);
    else
        task_future_complete(moment->futures[0], event->what == 'A' ? 1 : -EIO);
}

/* Have it happen after what was added before. */
static void add(struct moment *moment, char what)
{
    struct event *event = &moment->events[moment->n++];

    event->moment = moment;
    event->what = what;
    timer_init(&event->timer, happen);
    task__timer_arm(&loop_current()->timers, &event->timer, moment->when);
}

void moment_run(const char *order, task_fn *caller)
{
    struct moment moment = {.when = loop_time() + TASK_SECOND};
    struct task *futures[2] = {task_future_create(), task_future_create()};
    bool has_begun = false;

    moment.futures[0] = task_retain(futures[0]);
    moment.futures[1] = task_retain(futures[1]);
    moment.caller = task_create(caller, futures);
    if (!strchr(order, 'T'))
        has_begun = !task_yield();
    for (; *order && moment.n < MOST; order++) {
        if (*order != 'T')
            add(&moment, *order);
        else
            has_begun = !task_yield();
    }
    CHECK(has_begun && loop_time() == moment.when - TASK_SECOND);
    task_await(moment.caller);
    task_detach(moment.futures[0]);
    task_detach(moment.futures[1]);
}
