/*
 * Connections: accepting and connecting.
 */
#include "socket.h"

#include "unblock.h"

#include <errno.h>
#include <sys/socket.h>

struct accepting {
    struct sockaddr *addr;
    socklen_t *len;
};

static ssize_t attempt_accept(struct descriptor *descriptor, void *operation)
{
    const struct accepting *accepting = operation;
    int flags = task__unblock(descriptor->fd);
    int fd;

    if (flags < 0)
        return flags;
    fd = accept4(descriptor->fd, accepting->addr, accepting->len,
                 SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) /* -EINTR: try the next one */
        fd = socket_error_is_of_connection(-errno) ? -EINTR : -errno;
    task__block_again(descriptor->fd, flags);
    if (fd == -EAGAIN && fd_is_shut(descriptor))
        fd = -EINVAL;
    return fd;
}

static const struct wait_kind ACCEPTING = {
    .verb = "accepting from",
    .describe = task__fd_describe_in,
};
static const struct wait_kind CONNECTING = {
    .verb = "connecting",
    .describe = task__fd_describe_out,
};

/* That it was read empty tells of bytes only: what does not listen is to say so
 * at once. */
static ssize_t accept_one(struct task *self, int fd,
                          struct accepting *accepting)
{
    struct descriptor *descriptor;
    ssize_t result = fd_get(loop_of_task(self), fd, &descriptor);

    if (!result)
        result = task__descriptor_classify(descriptor);
    if (result)
        return result;
    descriptor->drained[INCOMING] = false;
    result = task__fd_perform(self, descriptor, INCOMING, attempt_accept,
                              accepting, &ACCEPTING, false);
    if (result >= 0)
        task__fd_opened(loop_of_task(self), (int)result, descriptor->kind);
    return result;
}

int task_accept(int fd, struct sockaddr *addr, socklen_t *len)
{
    struct accepting accepting = {addr, len};
    struct task *self;
    int result = task_enter(&self);
    int saved_errno;

    if (result)
        return result;
    saved_errno = errno;
    result = (int)accept_one(self, fd, &accepting);
    fd_restore_errno(self, saved_errno);
    return (int)fd_tell_busy(fd, result, __func__);
}

static NEVER_INLINE int connect_now(int fd, const struct sockaddr *addr,
                                    socklen_t len)
{
    int flags = task__unblock(fd);
    int result;

    if (flags < 0)
        return flags;
    result = connect(fd, addr, len) ? -errno : 0;
    task__block_again(fd, flags);
    return result;
}

/* What has come of it. After a failure Linux's TCP is as if it were connecting
 * until the next connect(), which tells of it (with -ECONNABORTED, as the error
 * was taken) instead of beginning anew: so that is called now. */
static NEVER_INLINE int conclude(struct descriptor *descriptor,
                                 const struct sockaddr *addr, socklen_t len)
{
    int fd = descriptor->fd;
    int error = 0;
    socklen_t n = sizeof error;

    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &n))
        return -errno;
    if (error && !task__descriptor_classify(descriptor) &&
        descriptor->kind == DESCRIPTOR_TCP)
        (void)connect_now(fd, addr, len);
    return -error;
}

/* A local socket whose peer's backlog is full gives no event when it is not. */
static int connect_later(const struct descriptor *descriptor,
                         const struct sockaddr *addr, socklen_t len)
{
    task_time pause = SOCKET_FIRST_PAUSE;
    int result;

    do {
        result = socket_pause(descriptor, &pause);
        if (!result)
            result = connect_now(descriptor->fd, addr, len);
    } while (result == -EAGAIN);
    return result;
}

static int connect_one(struct task *self, int fd, const struct sockaddr *addr,
                       socklen_t len)
{
    struct loop *loop = loop_of_task(self);
    struct descriptor *descriptor;
    int result = fd_get(loop_of_task(self), fd, &descriptor);

    if (!result)
        result = task__fd_check_free(loop, descriptor, POLLOUT);
    if (result)
        return result;
    if (descriptor_is_idle(descriptor))
        task__fd_opened(loop, fd, DESCRIPTOR_UNKNOWN);
    result = connect_now(fd, addr, len);
    if (result == -EAGAIN && addr->sa_family == AF_UNIX)
        return connect_later(descriptor, addr, len);
    if (result != -EINPROGRESS && result != -EALREADY && result != -EINTR)
        return result;
    result = task__fd_wait_surely(self, descriptor, POLLOUT, &CONNECTING);
    return result < 0 ? result : conclude(descriptor, addr, len);
}

int task_connect(int fd, const struct sockaddr *addr, socklen_t len)
{
    struct task *self;
    int result = task_enter(&self);
    int saved_errno;

    if (result)
        return result;
    saved_errno = errno;
    result = connect_one(self, fd, addr, len);
    fd_restore_errno(self, saved_errno);
    return (int)fd_tell_busy(fd, result, __func__);
}
