/*
 * Reading and writing with RWF_NOWAIT, where the kernel knows it for this kind
 * of file; and with RWF_NOSIGNAL, which Linux 6.18 brought.
 */
#include "nowait.h"

#include "quiet.h"

#include <errno.h>
#include <stdbool.h>

#ifndef RWF_NOWAIT
#define RWF_NOWAIT 0x00000008
#endif
#ifndef RWF_NOSIGNAL
#define RWF_NOSIGNAL 0x00000100
#endif

/* Whether that errno says that the flags are not known. */
static bool is_unknown(ssize_t result)
{
    return result == -EOPNOTSUPP || result == -ENOSYS;
}

ssize_t task__nowait_readv(int fd, const struct iovec parts[], int n)
{
    ssize_t result = preadv2(fd, parts, n, -1, RWF_NOWAIT);

    if (result < 0)
        result = -errno;
    return is_unknown(result) ? task__nowait_ask_readv(fd, parts, n) : result;
}

static ssize_t write_nowait(int fd, const struct iovec parts[], int n)
{
    ssize_t result = pwritev2(fd, parts, n, -1, RWF_NOWAIT);

    return result < 0 ? -errno : result;
}

ssize_t task__nowait_writev(int fd, const struct iovec parts[], int n)
{
    ssize_t result = pwritev2(fd, parts, n, -1, RWF_NOWAIT | RWF_NOSIGNAL);

    if (result < 0)
        result = -errno;
    if (is_unknown(result))
        result = task__quietly(fd, parts, n, write_nowait);
    return is_unknown(result) ? task__nowait_ask_writev(fd, parts, n) : result;
}

ssize_t task__nowait_preadv(int fd, const struct iovec parts[], int n,
                            off_t offset)
{
    ssize_t result = preadv2(fd, parts, n, offset, RWF_NOWAIT);

    if (result < 0)
        result = -errno;
    return is_unknown(result) ? -EAGAIN : result;
}

ssize_t task__nowait_pwritev(int fd, const struct iovec parts[], int n,
                             off_t offset)
{
    ssize_t result = pwritev2(fd, parts, n, offset, RWF_NOWAIT);

    if (result < 0)
        result = -errno;
    return is_unknown(result) ? -EAGAIN : result;
}
