/*
 * An attempt to connect to an address by TCP, which a task waits for with
 * others.
 *
 *     idle        `fd` is -1: it has not begun, or is over
 *     under way   its descriptor is observed; once `heard` is not 0 there may be
 *                 an outcome, and whoever waits has been woken
 *
 * errno is not kept.
 */
#ifndef TASK_SRC_ATTEMPT_H
#define TASK_SRC_ATTEMPT_H

#include "fd.h"

#include <netdb.h>

struct attempt {
    struct observer observer;
    struct waiter *waiter; /* of the task */
    const struct addrinfo *address;
    struct descriptor *descriptor; /* that of fd */
    int fd;
    short heard; /* the events that have come */
};

static inline bool attempt_is_under_way(const struct attempt *attempt)
{
    return attempt->fd >= 0;
}

/* Begin an idle one: a descriptor that is connected at once; -EINPROGRESS; or
 * another negative errno, and it is over. */
int task__attempt_begin(struct attempt *attempt);

/* What came of one that is under way: as above, or -EINPROGRESS: nothing
 * yet. */
int task__attempt_end(struct attempt *attempt);

/* Close one that is under way. */
void task__attempt_drop(struct attempt *attempt);

#endif
