/*
 * Where no call can be told not to wait: what is no file is asked first, and of
 * a file nobody knows what is in memory.
 */
#include "nowait.h"

#include <errno.h>

ssize_t task__nowait_readv(int fd, const struct iovec parts[], int n)
{
    return task__nowait_ask_readv(fd, parts, n);
}

ssize_t task__nowait_writev(int fd, const struct iovec parts[], int n)
{
    return task__nowait_ask_writev(fd, parts, n);
}

ssize_t task__nowait_preadv(int fd, const struct iovec parts[], int n,
                            off_t offset)
{
    (void)fd;
    (void)parts;
    (void)n;
    (void)offset;
    return -EAGAIN;
}

ssize_t task__nowait_pwritev(int fd, const struct iovec parts[], int n,
                             off_t offset)
{
    return task__nowait_preadv(fd, parts, n, offset);
}
