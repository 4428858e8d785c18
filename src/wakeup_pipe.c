/*
 * Waking by a byte in a pipe. It holds some thousands, and has to be read: a
 * write to a full one is no event.
 */
#include "own_fd.h"
#include "wakeup.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

static int open_both(int *reader, int *writer)
{
    int ends[2];

    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK))
        return -errno;
    *reader = own_fd(ends[0]);
    *writer = own_fd(ends[1]);
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
