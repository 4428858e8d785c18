/*
 * Waiting by the time-out of poll, to the millisecond.
 */
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

static void wait_until(struct poller *poller, task_time now, task_time until)
{
    (void)poller;
    poll(NULL, 0, poller_milliseconds(now, until));
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
