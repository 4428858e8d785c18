/*
 * Waking by a byte in a pipe. It holds some thousands, and has to be read: a
 * write to a full one is no event.
 */
#include "own_fd.h"
#include "wakeup.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

static int prepare(int fd)
{
    int flags = fcntl(fd, F_GETFL);

    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ||
        fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
        return -errno;
    return 0;
}

static int open_both(int *reader, int *writer)
{
    int fds[2];
    int error;

    if (pipe(fds))
        return -errno;
    fds[0] = own_fd(fds[0]);
    fds[1] = own_fd(fds[1]);
    error = prepare(fds[0]);
    if (!error)
        error = prepare(fds[1]);
    if (error) {
        close(fds[0]);
        close(fds[1]);
        return error;
    }
    *reader = fds[0];
    *writer = fds[1];
    return 0;
}

static void wake(int writer)
{
    int saved_errno = errno;

    while (write(writer, "", 1) < 0 && errno == EINTR)
        continue;
    errno = saved_errno;
}

static size_t drain(int reader, size_t n)
{
    int saved_errno = errno;
    char bytes[64];
    size_t n_read = 0;

    while (n_read < n) {
        size_t rest = n - n_read < sizeof bytes ? n - n_read : sizeof bytes;
        ssize_t got = read(reader, bytes, rest);

        if (got > 0)
            n_read += (size_t)got;
        else if (got == 0 || errno != EINTR)
            break;
    }
    errno = saved_errno;
    return n_read;
}

const struct wakeup_kind task__wakeup_pipe = {
    .open = open_both,
    .wake = wake,
    .drain = drain,
    .overflows = true,
};
