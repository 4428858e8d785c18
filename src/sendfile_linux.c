/*
 * Sending from a file by sendfile(2).
 *
 * The call knows no flag not to wait and none against SIGPIPE: the open file is
 * made non-blocking for the time of a call, and the signal is held back.
 */
#include "sendfile.h"

#include "nowait.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/sendfile.h>

struct part {
    int in;
    off_t offset;
    size_t n;
};

/* In the shape of a write: the one part of `parts` is a struct part. */
static ssize_t send_part(int out, const struct iovec parts[], int n)
{
    struct part *part = parts->iov_base;
    ssize_t result = sendfile(out, part->in, &part->offset, part->n);

    (void)n;
    return result < 0 ? -errno : result;
}

static bool is_unknown(ssize_t result)
{
    return result == -EINVAL || result == -ENOSYS || result == -EOPNOTSUPP;
}

ssize_t task__sendfile_now(int out, int in, off_t offset, size_t n)
{
    struct part part = {in, offset, n};
    struct iovec as_iovec = {&part, sizeof part};
    int flags = fcntl(out, F_GETFL);
    bool blocks = flags >= 0 && !(flags & O_NONBLOCK);
    ssize_t result;

    if (flags < 0 || (blocks && fcntl(out, F_SETFL, flags | O_NONBLOCK) < 0))
        return -errno;
    result = task__nowait_quietly(out, &as_iovec, 1, send_part);
    if (blocks)
        fcntl(out, F_SETFL, flags);
    return is_unknown(result) ? -ENOTSUP : result;
}
