/*
 * Waiting by the time-out of poll, to the millisecond.
 */
#include "poller.h"

#include <errno.h>
#include <poll.h>

struct poll_poller {
    struct poller poller;
    int waker; /* -1: none */
};

static struct poll_poller *self_of(struct poller *poller)
{
    return container_of(poller, struct poll_poller, poller);
}

static void init(struct poller *poller)
{
    self_of(poller)->waker = -1;
}

static void destroy(struct poller *poller)
{
    (void)poller;
}

static void wait_until(struct poller *poller, task_time now, task_time until)
{
    struct pollfd waker = {.fd = self_of(poller)->waker, .events = POLLIN};

    poll(&waker, 1, poller_milliseconds(now, until));
}

static int wake_by(struct poller *poller, int fd)
{
    self_of(poller)->waker = fd;
    return 0;
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
    .size = sizeof(struct poll_poller),
    .init = init,
    .destroy = destroy,
    .wait = wait_until,
    .wake_by = wake_by,
    .fd = no_fd,
    .alarm = alarm_at,
};
