/*
 * What local sockets wait for without an event: room in another one's queue.
 */
#ifndef TASK_SRC_SOCKET_H
#define TASK_SRC_SOCKET_H

#include "fd.h"

#define FIRST_PAUSE (100 * TASK_MICROSECOND)
#define LAST_PAUSE (20 * TASK_MILLISECOND)

/* Suspend for a while, which is longer the next time; -EBADF: the number has
 * been closed since. */
static inline int pause_a_while(const struct descriptor *descriptor,
                                task_time *pause)
{
    uint32_t uses = descriptor->uses;
    int result = task_sleep(*pause);

    *pause *= *pause < LAST_PAUSE ? 2 : 1;
    return result || descriptor->uses == uses ? result : -EBADF;
}

#endif
