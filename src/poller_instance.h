/*
 * A poller's epoll instance, and the descriptors of the poller's own: the timer
 * and the waker in it, and the outer one, which has it in itself and lasts
 * while it is replaced.
 */
#ifndef TASK_SRC_POLLER_INSTANCE_H
#define TASK_SRC_POLLER_INSTANCE_H

#include "poller_timer.h"

/* What an event of the poller's own descriptors carries, and none of others. */
#define INSTANCE_OWN UINT64_MAX

struct epoll_instance {
    int epoll; /* -1: not open; so are then the others, but the waker */
    struct poller_timer timer;
    int outer; /* -1: nobody needs it */
    int waker; /* another's; -1: none */
};

void task__poller_instance_init(struct epoll_instance *instance);
void task__poller_instance_close(struct epoll_instance *instance);

/* Of one that is not open: 0, or a negative errno and nothing is open. */
int task__poller_instance_open(struct epoll_instance *instance);

static ALWAYS_INLINE int instance_open(struct epoll_instance *instance)
{
    return likely(instance->epoll >= 0) ? 0
                                        : task__poller_instance_open(instance);
}

/* Have a new one with nothing in it but what is the poller's own: 0, or a
 * negative errno and the former one stays. */
int task__poller_instance_replace(struct epoll_instance *instance);

/* Of one that is open: have a waker: 0, or a negative errno. */
int task__poller_instance_wake_by(struct epoll_instance *instance, int fd);

/* The outer one, or a negative errno. */
int task__poller_instance_outer(struct epoll_instance *instance);

#endif
