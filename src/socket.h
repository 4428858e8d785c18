/*
 * What is peculiar to sockets: errors that are a connection's; and waiting,
 * where there is no event, for room in another local one's queue.
 */
#ifndef TASK_SRC_SOCKET_H
#define TASK_SRC_SOCKET_H

#include "fd.h"

/* Whether it is that of a connection which is gone already, or of the network
 * that it came by. */
static inline bool socket_error_is_of_connection(int error)
{
    switch (error) {
    case -ECONNABORTED:
    case -EPROTO:
    case -ENOPROTOOPT:
    case -ENETDOWN:
    case -ENETUNREACH:
    case -EHOSTDOWN:
    case -EHOSTUNREACH:
        return true;
    default:
        return false;
    }
}

#define SOCKET_FIRST_PAUSE (100 * TASK_MICROSECOND)
#define SOCKET_LAST_PAUSE (20 * TASK_MILLISECOND)

/* Suspend for a while, which is longer the next time; -EBADF: the number has
 * been closed since. */
TASK_SUSPENDS static inline int
socket_pause(const struct descriptor *descriptor, task_time *pause)
{
    uint32_t uses = descriptor->uses;
    int result = task_sleep(*pause);

    *pause *= *pause < SOCKET_LAST_PAUSE ? 2 : 1;
    return result || descriptor->uses == uses ? result : -EBADF;
}

#endif
