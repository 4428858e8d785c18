/*
 * Waiting for events that really come, as poll() tells of them.
 */
#include "fd.h"

#include <errno.h>

NEVER_INLINE int task__fd_poll(int fd, short events)
{
    struct pollfd now = {.fd = fd, .events = events};
    int n;

    do {
        n = poll(&now, 1, 0);
    } while (n < 0 && errno == EINTR);
    if (n < 0)
        return -errno;
    return now.revents & POLLNVAL ? -EBADF : now.revents;
}

COLD bool task__fd_is_shut(int fd)
{
    int events = task__fd_poll(fd, POLLRDHUP);

    return events > 0 && (events & (POLLRDHUP | POLLHUP));
}

int task__fd_wait_surely(struct task *self, struct descriptor *descriptor,
                         short events, const struct wait_kind *kind)
{
    uint32_t uses = descriptor->uses;

    for (;;) {
        int result =
            task__fd_check_free(loop_of_task(self), descriptor, events);

        if (!result)
            result = task__fd_poll(descriptor->fd, events);
        if (result)
            return result;
        descriptor->streak = 0;
        result = task__fd_wait(self, descriptor, events, kind);
        if (result == -EPERM)
            return -EOPNOTSUPP;
        if (result < 0)
            return result;
        if (descriptor->uses != uses)
            return -EBADF;
        descriptor->is_doubtful = true;
    }
}

int task_wait_fd(int fd, short events)
{
    struct task *self;
    struct descriptor *descriptor;
    int result = task_enter(&self);
    int saved_errno;

    if (result)
        return result;
    if (events & ~FD_EVENTS_ASKED)
        return MISUSE(-EINVAL, "there are no such events");
    saved_errno = fd_errno(self);
    result = fd_get(loop_of_task(self), fd, &descriptor);
    if (!result)
        result = fd_take_turns(self, descriptor, 1, &task__polling);
    if (!result)
        result = task__fd_wait_surely(self, descriptor, events & FD_EVENTS,
                                      &task__polling);
    fd_restore_errno(self, saved_errno);
    return (int)fd_tell_busy(fd, result, __func__);
}
