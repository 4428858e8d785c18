/*
 * Sockets that are made for an address: to be connected, or bound to it.
 *
 * What returns an int returns a descriptor or 0, or a negative errno; errno is
 * not kept.
 */
#ifndef TASK_SRC_ADDRESS_H
#define TASK_SRC_ADDRESS_H

#include "fd.h"

#include <netdb.h>

/* How one is bound. */
struct binding {
    int type; /* SOCK_STREAM: it listens; SOCK_DGRAM */
    int backlog;
    bool is_dual;    /* one of IPv6 is for IPv4 too */
    bool reuse_port; /* others may bind to the same port */
};

/* A non-blocking socket that is closed on exec; errno is kept. */
int task__address_open(int family, int type, int protocol);

/* One that is bound to an address, and listens. */
int task__address_bind(const struct addrinfo *address,
                       const struct binding *binding);

/* Listen with that backlog, or the nearest that is possible. */
int task__address_listen(int fd, int backlog);

/* The addresses that a socket may be bound to: in a task; one of the names is
 * not NULL. */
TASK_SUSPENDS int task__address_look_up(const char *host, const char *service,
                                        int type, struct addrinfo **list);

/* Whether an address cannot be bound since this machine does not have it, or
 * not its family: then another one may do. */
static inline bool address_is_missing(int error)
{
    return error == -EAFNOSUPPORT || error == -EPROTONOSUPPORT ||
           error == -EADDRNOTAVAIL;
}

/* "" stands for NULL. */
static inline const char *address_name(const char *name)
{
    return name && *name ? name : NULL;
}

#endif
