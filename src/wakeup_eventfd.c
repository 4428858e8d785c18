/*
 * Waking by an eventfd: one descriptor, and a counter that never overflows.
 */
#include "own_fd.h"
#include "wakeup.h"

#include <errno.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

static int open_both(int *reader, int *writer)
{
    int fd = own_fd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));

    if (fd < 0)
        return -errno;
    *reader = *writer = fd;
    return 0;
}

/* By write(), which would be a cancellation point, glibc cancels a thread also
 * where that is off, if it was not when the cancel was sent. */
static void wake(int writer)
{
    int saved_errno = errno;
    uint64_t one = 1;

    while (syscall(SYS_write, writer, &one, sizeof one) < 0 && errno == EINTR)
        continue;
    errno = saved_errno;
}

static size_t drain(int reader, size_t n)
{
    int saved_errno = errno;
    uint64_t count = 0;
    ssize_t got;

    do
        got = read(reader, &count, sizeof count);
    while (got < 0 && errno == EINTR);
    errno = saved_errno;
    return got != sizeof count ? 0 : count < n ? (size_t)count : n;
}

const struct wakeup_kind task__wakeup_eventfd = {
    .open = open_both,
    .wake = wake,
    .drain = drain,
    .overflows = false,
};
