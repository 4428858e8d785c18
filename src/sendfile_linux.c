/*
 * Sending from a file by sendfile(2), which knows no flag against SIGPIPE: it
 * is held back.
 */
#include "sendfile.h"

#include "quiet.h"

#include <errno.h>
#include <stdbool.h>
#include <sys/sendfile.h>

struct file_part {
    int in;
    off_t offset;
    size_t n;
};

/* In the shape of a write: the one part of `parts` is a struct file_part. */
static ssize_t send_part(int out, const struct iovec parts[], int n)
{
    struct file_part *part = parts->iov_base;
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
    struct file_part part = {in, offset, n};
    struct iovec as_iovec = {&part, sizeof part};
    ssize_t result = task__quietly(out, &as_iovec, 1, send_part);

    return is_unknown(result) ? -ENOTSUP : result;
}
