/*
 * Reading and writing after asking whether it would wait.
 *
 * Between the question and the call another process may read what was there, or
 * fill what was free: that POSIX offers nothing better for an open file whose
 * flags have to stay as they are.
 */
#include "nowait.h"

#include "quiet.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <unistd.h>

/* What a terminal takes without waiting when it says that it takes
 * something. */
enum { TERMINAL_ROOM = 256 };

/* Whether it was opened for that. */
static bool is_opened_for(int fd, short events)
{
    int flags = fcntl(fd, F_GETFL);
    int other = events == POLLIN ? O_WRONLY : O_RDONLY;

    return flags < 0 || (flags & O_ACCMODE) != other;
}

/* 0: something would come at once; -EAGAIN; -EBADF: nothing ever comes, as may
 * be where a pipe is asked at its wrong end. */
static int ask(int fd, short events)
{
    struct pollfd now = {.fd = fd, .events = events};

    if (poll(&now, 1, 0) < 0)
        return -errno;
    if (now.revents)
        return 0;
    return is_opened_for(fd, events) ? -EAGAIN : -EBADF;
}

ssize_t task__nowait_ask_readv(int fd, const struct iovec parts[], int n)
{
    int error = ask(fd, POLLIN);
    ssize_t result;

    if (error)
        return error;
    result = readv(fd, parts, n);
    return result < 0 ? -errno : result;
}

/* How much may be written at once where POLLOUT was told; 0: any amount. */
static size_t room_of(int fd)
{
    struct stat stat;
    int flags = fcntl(fd, F_GETFL);

    if (flags >= 0 && (flags & O_NONBLOCK))
        return 0;
    return !fstat(fd, &stat) && S_ISFIFO(stat.st_mode) ? PIPE_BUF
                                                       : TERMINAL_ROOM;
}

static ssize_t write_parts(int fd, const struct iovec parts[], int n)
{
    size_t room = room_of(fd);
    ssize_t result;

    while (n && !parts->iov_len) {
        parts++;
        n--;
    }
    if (room && n)
        result = write(fd, parts->iov_base,
                       parts->iov_len < room ? parts->iov_len : room);
    else
        result = writev(fd, parts, n);
    return result < 0 ? -errno : result;
}

ssize_t task__nowait_ask_writev(int fd, const struct iovec parts[], int n)
{
    int error = ask(fd, POLLOUT);

    return error ? error : task__quietly(fd, parts, n, write_parts);
}
