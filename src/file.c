/*
 * Reading and writing files.
 */
#include "file.h"

#include <errno.h>

static NEVER_INLINE ssize_t read_now(int fd, const struct iovec parts[], int n,
                                     off_t offset)
{
    ssize_t result =
        offset < 0 ? readv(fd, parts, n) : preadv(fd, parts, n, offset);

    return result < 0 ? -errno : result;
}

static NEVER_INLINE ssize_t write_now(int fd, const struct iovec parts[], int n,
                                      off_t offset)
{
    ssize_t result =
        offset < 0 ? writev(fd, parts, n) : pwritev(fd, parts, n, offset);

    return result < 0 ? -errno : result;
}

ssize_t task__file_readv(struct task *self, int fd, const struct iovec parts[],
                         int n, off_t offset)
{
    (void)self;
    return read_now(fd, parts, n, offset);
}

ssize_t task__file_writev(struct task *self, int fd, const struct iovec parts[],
                          int n, off_t offset)
{
    (void)self;
    return write_now(fd, parts, n, offset);
}
