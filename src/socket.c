/*
 * Messages, accepting, connecting.
 */
#include "fd.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>

struct message {
    struct msghdr *header;
    int flags;
};

/* Flags with which a short read says nothing about what is left. */
static bool drains(const struct message *message,
                   const struct descriptor *descriptor)
{
    return !message->flags && descriptor->kind == DESCRIPTOR_STREAM &&
           !descriptor->hung;
}

static size_t room_of(const struct msghdr *header)
{
    size_t room = 0;

    for (size_t i = 0; i < header->msg_iovlen; i++)
        room += header->msg_iov[i].iov_len;
    return room;
}

static ssize_t attempt_receive(struct descriptor *descriptor, void *operation)
{
    struct message *message = operation;
    ssize_t result =
        recvmsg(descriptor->fd, message->header, message->flags | MSG_DONTWAIT);

    if (result < 0)
        return -errno;
    if (result && drains(message, descriptor))
        descriptor->drained[INCOMING] =
            (size_t)result < room_of(message->header);
    return result;
}

static ssize_t attempt_send(struct descriptor *descriptor, void *operation)
{
    struct message *message = operation;
    ssize_t result = sendmsg(descriptor->fd, message->header,
                             message->flags | MSG_DONTWAIT | MSG_NOSIGNAL);

    return result < 0 ? -errno : result;
}

/* With MSG_DONTWAIT the caller does not want to wait. */
static ssize_t attempt_once(struct descriptor *descriptor, attempt_fn *attempt,
                            struct message *message)
{
    ssize_t result;

    do {
        result = attempt(descriptor, message);
    } while (result == -EINTR);
    return result;
}

static ssize_t exchange(int fd, enum direction direction, attempt_fn *attempt,
                        struct message *message)
{
    struct descriptor *descriptor;
    struct task *self;
    ssize_t result = task_enter(&self);
    int saved_errno;

    if (result)
        return result;
    saved_errno = errno;
    result = fd_get(self, fd, &descriptor);
    if (!result)
        result = task__descriptor_classify(descriptor);
    if (!result && (message->flags & MSG_DONTWAIT))
        result = attempt_once(descriptor, attempt, message);
    else if (!result)
        result = task__fd_perform(self, descriptor, direction, attempt, message,
                                  direction == INCOMING ? &task__reading
                                                        : &task__writing);
    fd_restore_errno(self, saved_errno);
    return result;
}

ssize_t task_recvmsg(int fd, struct msghdr *header, int flags)
{
    return exchange(fd, INCOMING, attempt_receive,
                    &(struct message){header, flags});
}

ssize_t task_sendmsg(int fd, const struct msghdr *header, int flags)
{
    struct msghdr copy = *header;

    return exchange(fd, OUTGOING, attempt_send,
                    &(struct message){&copy, flags});
}

ssize_t task_recvfrom(int fd, void *buf, size_t n, int flags,
                      struct sockaddr *addr, socklen_t *len)
{
    struct iovec part = {buf, n};
    struct msghdr header = {
        .msg_name = addr,
        .msg_namelen = addr && len ? *len : 0,
        .msg_iov = &part,
        .msg_iovlen = 1,
    };
    ssize_t result = task_recvmsg(fd, &header, flags);

    if (result >= 0 && addr && len)
        *len = header.msg_namelen;
    return result;
}

ssize_t task_sendto(int fd, const void *buf, size_t n, int flags,
                    const struct sockaddr *addr, socklen_t len)
{
    struct iovec part = {(void *)(uintptr_t)buf, n};
    struct msghdr header = {
        .msg_name = (void *)(uintptr_t)addr,
        .msg_namelen = addr ? len : 0,
        .msg_iov = &part,
        .msg_iovlen = 1,
    };

    return task_sendmsg(fd, &header, flags);
}

ssize_t task_recv(int fd, void *buf, size_t n, int flags)
{
    if (flags == MSG_WAITALL)
        return task_read_full(fd, buf, n);
    return task_recvfrom(fd, buf, n, flags, NULL, NULL);
}

ssize_t task_send(int fd, const void *buf, size_t n, int flags)
{
    return task_sendto(fd, buf, n, flags, NULL, 0);
}

/* Make an open file non-blocking for a call that knows no flag for that; what
 * its flags were, or a negative errno. Others that share it may see that for the
 * time of a call. */
static int unblock(int fd)
{
    int flags = fcntl(fd, F_GETFL);

    if (flags < 0)
        return -errno;
    if (!(flags & O_NONBLOCK) && fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
        return -errno;
    return flags;
}

static void block_again(int fd, int flags)
{
    if (!(flags & O_NONBLOCK))
        fcntl(fd, F_SETFL, flags);
}

struct accepting {
    struct sockaddr *addr;
    socklen_t *len;
};

/* A connection that is gone already is not worth an error: the next one. */
static ssize_t attempt_accept(struct descriptor *descriptor, void *operation)
{
    const struct accepting *accepting = operation;
    int flags = unblock(descriptor->fd);
    int fd;

    if (flags < 0)
        return flags;
    fd = accept4(descriptor->fd, accepting->addr, accepting->len,
                 SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0)
        fd = errno == ECONNABORTED || errno == EPROTO ? -EINTR : -errno;
    block_again(descriptor->fd, flags);
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

static ssize_t accept_one(struct task *self, int fd,
                          struct accepting *accepting)
{
    struct descriptor *descriptor;
    ssize_t result = fd_get(self, fd, &descriptor);

    if (!result)
        result = task__descriptor_classify(descriptor);
    if (!result)
        result = task__fd_perform(self, descriptor, INCOMING, attempt_accept,
                                  accepting, &ACCEPTING);
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
    return result;
}

static NEVER_INLINE int connect_now(int fd, const struct sockaddr *addr,
                                    socklen_t len)
{
    int flags = unblock(fd);
    int result;

    if (flags < 0)
        return flags;
    result = connect(fd, addr, len) ? -errno : 0;
    block_again(fd, flags);
    return result;
}

static NEVER_INLINE int error_of(int fd)
{
    int error = 0;
    socklen_t size = sizeof error;

    return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) ? -errno
                                                               : -error;
}

/* A Unix socket whose peer's backlog is full gives no event when it is not. */
static int connect_later(int fd, const struct sockaddr *addr, socklen_t len)
{
    task_time pause = TASK_MILLISECOND;

    for (;;) {
        int result = task_sleep(pause);

        if (!result)
            result = connect_now(fd, addr, len);
        if (result != -EAGAIN)
            return result;
        pause = pause < 32 * TASK_MILLISECOND ? 2 * pause : pause;
    }
}

static int connect_one(struct task *self, int fd, const struct sockaddr *addr,
                       socklen_t len)
{
    struct descriptor *descriptor;
    int result = fd_get(self, fd, &descriptor);

    if (result)
        return result;
    if (descriptor_is_busy(descriptor, POLLOUT))
        return -EBUSY;
    if (descriptor_is_idle(descriptor))
        task__fd_opened(loop_of_task(self), fd, DESCRIPTOR_UNKNOWN);
    result = connect_now(fd, addr, len);
    if (result == -EAGAIN)
        return connect_later(fd, addr, len);
    if (result != -EINPROGRESS && result != -EALREADY && result != -EINTR)
        return result;
    result = task__fd_wait(self, descriptor, POLLOUT, &CONNECTING);
    return result < 0 ? result : error_of(fd);
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
    return result;
}
