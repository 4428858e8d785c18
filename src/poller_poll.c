#include "poller.h"

#include <errno.h>
#include <poll.h>

static void init(struct poller *poller)
{
    (void)poller;
}

static void destroy(struct poller *poller)
{
    (void)poller;
}

/* In milliseconds, rounded up: never early. */
static int milliseconds(task_time now, task_time until)
{
    task_time wait = until - now;

    if (until == TASK_FOREVER || wait > INT32_MAX * TASK_MILLISECOND)
        return until == TASK_FOREVER ? -1 : INT32_MAX;
    return wait <= 0 ? 0
                     : (int)((wait + TASK_MILLISECOND - 1) / TASK_MILLISECOND);
}

static void wait_until(struct poller *poller, task_time now, task_time until)
{
    (void)poller;
    poll(NULL, 0, milliseconds(now, until));
}

static int no_fd(struct poller *poller)
{
    (void)poller;
    return -ENOTSUP;
}

static void alarm_at(struct poller *poller, task_time until)
{
    (void)poller;
    (void)until;
}

const struct poller_backend task__poller_poll = {
    .size = sizeof(struct poller),
    .init = init,
    .destroy = destroy,
    .wait = wait_until,
    .fd = no_fd,
    .alarm = alarm_at,
};
