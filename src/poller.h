/*
 * How a loop waits, for its descriptors and for time. One back end a file:
 * epoll, and poll, which every POSIX system has; only they know their system
 * calls. Whoever waits for a descriptor is told by task__descriptor_ready().
 *
 * Descriptors of the poller's own are opened when first needed. Where none can
 * be had a wait for time is still a wait, only less exact.
 */
#ifndef TASK_SRC_POLLER_H
#define TASK_SRC_POLLER_H

#include "descriptor.h"
#include "memory.h"

#include <task/time.h>

struct poller;

struct poller_backend {
    size_t size; /* of its struct poller, which begins with this pointer */

    /* Make a zeroed poller ready: `trusted`, too, is to be set. */
    void (*init)(struct poller *poller);

    /* Close what was opened. */
    void (*destroy)(struct poller *poller);

    /*
     * What is waited for at a descriptor has changed: from now on there are
     * events of it. (Not called for one more task, if poller_watches() it.) 0;
     * -EBADF; -EPERM: it cannot be waited for, and is always ready; or another
     * negative errno, and nothing is waited for.
     */
    int (*watch)(struct poller *poller, struct descriptor *descriptor);

    /* Nothing is waited for any more at a descriptor which was watched as long
     * as it is ready, or which is going to live on without us. */
    void (*unwatch)(struct poller *poller, struct descriptor *descriptor);

    /*
     * Wait until something happens, or the monotonic clock says `until`, which
     * `now` may have passed; TASK_FOREVER: without end. May return early.
     */
    void (*wait)(struct poller *poller, task_time now, task_time until);

    /* Have waits end when another thread makes this descriptor readable, which
     * is not read from here: 0, or a negative errno. */
    int (*wake_by)(struct poller *poller, int fd);
    bool
        wakes_by_edge; /* each write ends a wait, once; else it has to be read */

    /* A descriptor that is readable from `until` on, and whenever something has
     * happened; a negative errno; -ENOTSUP. */
    int (*fd)(struct poller *poller);
    void (*alarm)(struct poller *poller, task_time until);
};

#define POLLER_TRUSTS_NOTHING UINT32_MAX

struct poller {
    const struct poller_backend *backend;
    struct descriptors descriptors;

    /* For what is registered so `watch` has nothing to do when one more task
     * waits; or POLLER_TRUSTS_NOTHING. */
    uint32_t trusted;
    bool is_virtual; /* time does not go by: what is doubted is found out now */
    bool is_wary;    /* whoever waits is looked after again and again */
};

/* Whether it is watched, and looked after, already. One with level observers is
 * not registered so. */
static ALWAYS_INLINE bool poller_watches(const struct poller *poller,
                                         const struct descriptor *descriptor)
{
    return descriptor->registered == poller->trusted && descriptor->is_listed &&
           !descriptor->is_doubtful;
}

/* For calls that count milliseconds: rounded up, so never early; -1: no end. */
static inline int poller_milliseconds(task_time now, task_time until)
{
    task_time wait = until - now;

    if (until == TASK_FOREVER || wait > INT32_MAX * TASK_MILLISECOND)
        return until == TASK_FOREVER ? -1 : INT32_MAX;
    return wait <= 0 ? 0
                     : (int)((wait + TASK_MILLISECOND - 1) / TASK_MILLISECOND);
}

extern const struct poller_backend task__poller_poll;
#ifdef TASK_HAVE_EPOLL
extern const struct poller_backend task__poller_epoll;
#define POLLER_DEFAULT (&task__poller_epoll)
#define POLLER_EPOLL (&task__poller_epoll)
#else
#define POLLER_DEFAULT (&task__poller_poll)
#define POLLER_EPOLL NULL
#endif

#endif
