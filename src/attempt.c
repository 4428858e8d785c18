/*
 * Attempts to connect.
 */
#include "attempt.h"

#include "address.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>

/* Somebody else has closed its descriptor: whoever has the number now has
 * nothing to do with us. */
static bool is_lost(const struct attempt *attempt)
{
    return attempt->heard & POLLNVAL;
}

static struct loop *loop_of_attempt(const struct attempt *attempt)
{
    return loop_of_task(attempt->waiter->task);
}

static void hear(struct observer *observer, short events)
{
    struct attempt *attempt = container_of(observer, struct attempt, observer);

    attempt->heard |= events;
    if (events & POLLNVAL)
        loop_of_attempt(attempt)->n_sources--;
    if (waiter_is_parked(attempt->waiter))
        task__wake(attempt->waiter, 0);
}

static int observe(struct attempt *attempt)
{
    int error = task__fd_observe(loop_of_attempt(attempt), attempt->descriptor,
                                 OUTGOING, &attempt->observer);

    return error ? error : -EINPROGRESS;
}

/* It is over; its descriptor, which is observed no more. */
static int leave(struct attempt *attempt)
{
    int fd = attempt->fd;

    if (attempt->descriptor->observers[OUTGOING] == &attempt->observer)
        task__fd_observe_no_more(loop_of_attempt(attempt), attempt->descriptor,
                                 OUTGOING);
    attempt->fd = -1;
    return fd;
}

void task__attempt_drop(struct attempt *attempt)
{
    bool is_ours = !is_lost(attempt);
    int fd = leave(attempt);

    if (is_ours)
        task_close(fd);
}

/* Whether the socket has met itself: then it has the address of its peer. */
static bool is_own_peer(int fd, const struct sockaddr *peer)
{
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } own;
    socklen_t size = sizeof own;

    if (getsockname(fd, &own.any, &size) ||
        own.any.sa_family != peer->sa_family)
        return false;
    if (peer->sa_family == AF_INET) {
        const struct sockaddr_in *v4 = (const void *)peer;

        return own.v4.sin_port == v4->sin_port &&
               own.v4.sin_addr.s_addr == v4->sin_addr.s_addr;
    }

    const struct sockaddr_in6 *v6 = (const void *)peer;

    return own.v6.sin6_port == v6->sin6_port &&
           !memcmp(&own.v6.sin6_addr, &v6->sin6_addr, sizeof v6->sin6_addr);
}

/* 0: it is connected; or why not. */
static int outcome_of(const struct attempt *attempt)
{
    int error = 0;
    socklen_t size = sizeof error;

    if (getsockopt(attempt->fd, SOL_SOCKET, SO_ERROR, &error, &size))
        return -errno;
    if (!error && is_own_peer(attempt->fd, attempt->address->ai_addr))
        return -ECONNREFUSED;
    return -error;
}

/* An event may be in vain: of what had the number before, or since the poller
 * does not know better. */
static int look(struct attempt *attempt)
{
    attempt->heard = 0;
    if (task__fd_poll(attempt->fd, POLLOUT))
        return outcome_of(attempt);
    attempt->descriptor->is_doubtful = true;
    return observe(attempt);
}

/* The result of what was done, and the descriptor with it, if that was it. */
static int conclude(struct attempt *attempt, int result)
{
    if (!result)
        return leave(attempt);
    if (result != -EINPROGRESS)
        task__attempt_drop(attempt);
    return result;
}

int task__attempt_end(struct attempt *attempt)
{
    if (!attempt->heard)
        return -EINPROGRESS;
    return conclude(attempt, is_lost(attempt) ? -EBADF : look(attempt));
}

static int start(struct attempt *attempt)
{
    const struct addrinfo *address = attempt->address;
    int error;

    if (!connect(attempt->fd, address->ai_addr, address->ai_addrlen))
        return outcome_of(attempt);
    if (errno != EINPROGRESS && errno != EINTR)
        return -errno;
    error = observe(attempt);
    attempt->descriptor->kind = DESCRIPTOR_TCP; /* nobody need ask */
    return error;
}

int task__attempt_begin(struct attempt *attempt)
{
    struct loop *loop = loop_of_attempt(attempt);
    const struct addrinfo *address = attempt->address;
    int fd = task__address_open(address->ai_family, SOCK_STREAM,
                                address->ai_protocol);
    int error;

    if (fd < 0)
        return fd;
    error = task__descriptors_get(&loop->poller->descriptors, fd,
                                  &attempt->descriptor);
    if (error) {
        task_close(fd);
        return error;
    }
    attempt->observer.ready = hear;
    attempt->fd = fd;
    return conclude(attempt, start(attempt));
}
