/*
 * Messages: receiving and sending.
 */
#include "socket.h"

#include "io.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

struct message {
    struct msghdr *header;
    int flags;
};

static size_t room_of(const struct msghdr *header)
{
    size_t room = 0;

    for (size_t i = 0; i < (size_t)header->msg_iovlen; i++)
        room += header->msg_iov[i].iov_len;
    return room;
}

/*
 * Whether a short read tells that nothing is left. Not with flags, nor where
 * something else than bytes was received, or left out for want of room: a
 * stream reads no further than to there.
 */
static bool drains(const struct descriptor *descriptor,
                   const struct message *message, ssize_t result)
{
    const struct msghdr *header = message->header;

    return kind_is_stream(descriptor->kind) && !message->flags &&
           !header->msg_controllen && !(header->msg_flags & MSG_CTRUNC) &&
           result > 0 && (size_t)result < room_of(header);
}

/* The flags of receiving that leave it waiting for data. With MSG_OOB and
 * others the system calls do not wait either. */
enum {
    WAITING =
        MSG_PEEK | MSG_WAITALL | MSG_TRUNC | MSG_CMSG_CLOEXEC | MSG_NOSIGNAL
};

/* Whether that may be the end, of what is no stream and was shut down. */
static bool may_be_at_end(const struct descriptor *descriptor,
                          const struct message *message, ssize_t result)
{
    return result == -EAGAIN && descriptor->kind == DESCRIPTOR_SOCKET &&
           !(message->flags & ~WAITING) && fd_is_shut(descriptor);
}

static ssize_t receive_now(const struct descriptor *descriptor,
                           const struct message *message)
{
    ssize_t result =
        recvmsg(descriptor->fd, message->header, message->flags | MSG_DONTWAIT);

    return result < 0 ? task__fd_error() : result;
}

static ssize_t attempt_receive(struct descriptor *descriptor, void *operation)
{
    struct message *message = operation;
    ssize_t result = receive_now(descriptor, message);

    if (may_be_at_end(descriptor, message, result)) {
        /* What came before it was shut is told first. */
        result = receive_now(descriptor, message);
        if (result == -EAGAIN) {
            message->header->msg_namelen = 0;
            message->header->msg_controllen = 0;
            message->header->msg_flags = 0;
            return 0;
        }
    }
    if (drains(descriptor, message, result))
        descriptor->drained[INCOMING] = !descriptor->hung;
    return result;
}

/* What a local datagram waits for elsewhere gives no event here: -EAGAIN, and
 * yet the socket is ready. Stands for no errno. */
enum { RECEIVER_IS_FULL = -0x4000 };

static ssize_t attempt_send(struct descriptor *descriptor, void *operation)
{
    struct message *message = operation;
    ssize_t result = sendmsg(descriptor->fd, message->header,
                             message->flags | MSG_DONTWAIT | MSG_NOSIGNAL);

    if (result < 0)
        result = task__fd_error();
    if (unlikely(result == -EAGAIN) && message->header->msg_name &&
        !(message->flags & MSG_DONTWAIT) &&
        task__fd_poll(descriptor->fd, POLLOUT) > 0)
        return RECEIVER_IS_FULL;
    return result;
}

/* Without waiting, as the caller or the system wants it. */
static ssize_t attempt_once(struct descriptor *descriptor, attempt_fn *attempt,
                            struct message *message)
{
    ssize_t result;

    do {
        result = attempt(descriptor, message);
    } while (result == -EINTR);
    return result;
}

static bool may_suspend(enum direction direction, int flags)
{
    return direction == INCOMING ? !(flags & ~WAITING)
                                 : !(flags & MSG_DONTWAIT);
}

static bool is_empty(const struct descriptor *descriptor,
                     const struct message *message)
{
    return kind_is_stream(descriptor->kind) && !room_of(message->header);
}

/* A read of nothing takes a datagram, but nothing of a stream. And a stream
 * sends nothing also while it has no room, once it is connected. */
static ssize_t exchange_now(struct task *self, struct descriptor *descriptor,
                            enum direction direction, attempt_fn *attempt,
                            struct message *message)
{
    ssize_t result = task__descriptor_classify(descriptor);

    if (!result)
        result = fd_take_error(descriptor, direction);
    if (result || (direction == INCOMING && !message->flags &&
                   is_empty(descriptor, message)))
        return result;
    if (!may_suspend(direction, message->flags))
        return attempt_once(descriptor, attempt, message);
    if (unlikely(!kind_is_socket(descriptor->kind))) /* to be told so at once */
        descriptor->drained[direction] = false;
    if (direction == OUTGOING && unlikely(descriptor->drained[OUTGOING]) &&
        is_empty(descriptor, message)) {
        result = attempt_once(descriptor, attempt, message);
        if (result != -EAGAIN)
            return result;
    }
    return fd_perform(self, descriptor, direction, attempt, message,
                      direction == INCOMING ? &task__reading : &task__writing);
}

static COLD ssize_t send_later(struct task *self, struct descriptor *descriptor,
                               struct message *message)
{
    task_time pause = SOCKET_FIRST_PAUSE;
    ssize_t result;

    do {
        result = socket_pause(descriptor, &pause);
        if (!result)
            result =
                exchange_now(self, descriptor, OUTGOING, attempt_send, message);
    } while (result == RECEIVER_IS_FULL);
    return result;
}

static ALWAYS_INLINE ssize_t exchange(int fd, enum direction direction,
                                      attempt_fn *attempt,
                                      struct message *message, const char *call)
{
    struct descriptor *descriptor;
    struct task *self;
    ssize_t result = task_enter_in(&self, call);
    int saved_errno;

    if (result)
        return result;
    saved_errno = fd_errno(self);
    result = fd_get(loop_of_task(self), fd, &descriptor);
    if (!result)
        result = exchange_now(self, descriptor, direction, attempt, message);
    if (unlikely(result == RECEIVER_IS_FULL))
        result = send_later(self, descriptor, message);
    fd_restore_errno(self, saved_errno);
    return fd_tell_busy(fd, result, call);
}

/* Descriptors that came with a message: their numbers were others' before. */
static void note_opened(const struct msghdr *header)
{
    struct msghdr copy = *header; /* the macros want one that may be written */
    struct cmsghdr *part = CMSG_FIRSTHDR(&copy);

    for (; part; part = CMSG_NXTHDR(&copy, part)) {
        size_t n = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);

        if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS)
            continue;
        for (size_t i = 0; i < n; i++) {
            int fd;

            memcpy(&fd, CMSG_DATA(part) + i * sizeof fd, sizeof fd);
            task__fd_opened(loop_current(), fd, DESCRIPTOR_UNKNOWN);
        }
    }
}

ssize_t task_recvmsg(int fd, struct msghdr *header, int flags)
{
    ssize_t result = exchange(fd, INCOMING, attempt_receive,
                              &(struct message){header, flags}, __func__);

    if (result >= 0 && header->msg_controllen)
        note_opened(header);
    return result;
}

ssize_t task_sendmsg(int fd, const struct msghdr *header, int flags)
{
    struct msghdr copy = *header;

    return exchange(fd, OUTGOING, attempt_send, &(struct message){&copy, flags},
                    __func__);
}

/* Whether MSG_WAITALL is to wait for all, which it does with streams. */
static bool wants_all(int fd, int flags)
{
    struct task *self = scheduler_self();
    struct descriptor *descriptor;
    int saved_errno;
    bool wants;

    if ((flags & ~MSG_NOSIGNAL) != MSG_WAITALL || !self)
        return false;
    saved_errno = errno;
    wants = !fd_get(loop_of_task(self), fd, &descriptor) &&
            !task__descriptor_classify(descriptor) &&
            kind_is_stream(descriptor->kind);
    errno = saved_errno;
    return wants;
}

static ALWAYS_INLINE ssize_t receive(int fd, void *buf, size_t n, int flags,
                                     struct sockaddr *addr, socklen_t *len,
                                     const char *call)
{
    struct iovec part = {buf, n};
    struct msghdr header = {
        .msg_name = addr,
        .msg_namelen = addr && len ? *len : 0,
        .msg_iov = &part,
        .msg_iovlen = 1,
    };
    ssize_t result;

    if (unlikely(flags & MSG_WAITALL) && wants_all(fd, flags)) {
        result = fd_tell_busy(fd, task__io_read_full(fd, buf, n), call);
        header.msg_namelen = 0; /* a stream tells of no sender */
    } else {
        result = exchange(fd, INCOMING, attempt_receive,
                          &(struct message){&header, flags}, call);
    }
    if (result >= 0 && addr && len)
        *len = header.msg_namelen;
    return result;
}

ssize_t task_recvfrom(int fd, void *buf, size_t n, int flags,
                      struct sockaddr *addr, socklen_t *len)
{
    return receive(fd, buf, n, flags, addr, len, __func__);
}

static ALWAYS_INLINE ssize_t transmit(int fd, const void *buf, size_t n,
                                      int flags, const struct sockaddr *addr,
                                      socklen_t len, const char *call)
{
    struct iovec part = {(void *)(uintptr_t)buf, n};
    struct msghdr header = {
        .msg_name = (void *)(uintptr_t)addr,
        .msg_namelen = addr ? len : 0,
        .msg_iov = &part,
        .msg_iovlen = 1,
    };

    return exchange(fd, OUTGOING, attempt_send,
                    &(struct message){&header, flags}, call);
}

ssize_t task_sendto(int fd, const void *buf, size_t n, int flags,
                    const struct sockaddr *addr, socklen_t len)
{
    return transmit(fd, buf, n, flags, addr, len, __func__);
}

ssize_t task_recv(int fd, void *buf, size_t n, int flags)
{
    return receive(fd, buf, n, flags, NULL, NULL, __func__);
}

ssize_t task_send(int fd, const void *buf, size_t n, int flags)
{
    return transmit(fd, buf, n, flags, NULL, 0, __func__);
}
