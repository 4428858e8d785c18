/*
 * Opening what the poller needs, all of it or nothing.
 */
#include "poller_instance.h"

#include "own_fd.h"

#include <errno.h>
#include <unistd.h>

void task__poller_instance_init(struct epoll_instance *instance)
{
    instance->epoll = -1;
    task__poller_timer_init(&instance->timer);
    instance->outer = -1;
    instance->waker = -1;
}

static void close_one(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

void task__poller_instance_close(struct epoll_instance *instance)
{
    close_one(&instance->outer);
    close_one(&instance->timer.fd);
    close_one(&instance->epoll);
}

static int add(int epoll, int fd, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.u64 = INSTANCE_OWN};

    return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) ? -errno : 0;
}

/* A new epoll, with what is the poller's own; or a negative errno. */
static int open_epoll(const struct epoll_instance *instance)
{
    int epoll = own_fd(epoll_create1(EPOLL_CLOEXEC));
    int error = epoll < 0 ? -errno : 0;

    if (!error)
        error = add(epoll, instance->timer.fd, EPOLLIN | EPOLLET);
    if (!error && instance->waker >= 0)
        error = add(epoll, instance->waker, EPOLLIN | EPOLLET);
    if (!error && instance->outer >= 0)
        error = add(instance->outer, epoll, EPOLLIN);
    if (!error)
        return epoll;
    close_one(&epoll);
    return error;
}

COLD int task__poller_instance_open(struct epoll_instance *instance)
{
    int error = task__poller_timer_open(&instance->timer);

    if (!error)
        instance->epoll = open_epoll(instance);
    if (!error && instance->epoll < 0)
        error = instance->epoll;
    if (error)
        task__poller_instance_close(instance);
    return error;
}

COLD int task__poller_instance_replace(struct epoll_instance *instance)
{
    int epoll = open_epoll(instance);

    if (epoll < 0)
        return epoll;
    close(instance->epoll);
    instance->epoll = epoll;
    return 0;
}

int task__poller_instance_wake_by(struct epoll_instance *instance, int fd)
{
    int error = add(instance->epoll, fd, EPOLLIN | EPOLLET);

    if (!error)
        instance->waker = fd;
    return error;
}

static int open_outer(struct epoll_instance *instance)
{
    int error;

    instance->outer = own_fd(epoll_create1(EPOLL_CLOEXEC));
    if (instance->outer < 0)
        return -errno;
    error = add(instance->outer, instance->epoll, EPOLLIN);
    if (error)
        close_one(&instance->outer);
    return error;
}

int task__poller_instance_outer(struct epoll_instance *instance)
{
    int error = instance_open(instance);

    if (!error && instance->outer < 0)
        error = open_outer(instance);
    return error ? error : instance->outer;
}
