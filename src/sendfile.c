/*
 * Sending from a file: what is in memory by the system's own call, which would
 * wait for the disk; the rest after a worker has brought it there. Where the call
 * does not know a kind of file, it is copied.
 */
#include "sendfile.h"

#include "fd.h"
#include "file.h"
#include "nowait.h"

#include <errno.h>

/* How much is sent by one call, and copied by one. */
enum { PART = 512 * 1024, COPY = 16 * 1024 };

struct sending {
    int in;
    off_t offset;
    size_t n;
};

static ssize_t attempt_sendfile(struct descriptor *descriptor, void *operation)
{
    const struct sending *sending = operation;

    return task__sendfile_now(descriptor->fd, sending->in, sending->offset,
                              sending->n);
}

/* A byte of the file: 1, 0 at its end, or a negative errno; suspends if it is not
 * in memory. */
static ssize_t touch(struct task *self, int in, off_t offset)
{
    char byte;
    struct iovec part = {&byte, 1};

    return task__file_readv(self, in, &part, 1, offset);
}

/* Have the first and the last byte in memory, and hope for what the kernel has
 * read ahead between them. 1, 0 at the end of the file, or a negative errno. */
static ssize_t bring(struct task *self, const struct sending *sending)
{
    ssize_t first = touch(self, sending->in, sending->offset);
    ssize_t last;

    if (first <= 0 || sending->n == 1)
        return first;
    last = touch(self, sending->in, sending->offset + (off_t)sending->n - 1);
    return last < 0 ? last : 1;
}

static ssize_t copy(struct task *self, int out, const struct sending *sending)
{
    char bytes[COPY];
    struct iovec part = {bytes, sending->n < COPY ? sending->n : COPY};
    ssize_t n = task__file_readv(self, sending->in, &part, 1, sending->offset);

    return n > 0 ? task_write(out, bytes, (size_t)n) : n;
}

static ssize_t send_part(struct task *self, int out, struct sending *sending)
{
    struct descriptor *descriptor;
    ssize_t result = fd_get(self, out, &descriptor);

    if (!result)
        result = bring(self, sending);
    if (result <= 0)
        return result;
    result = task__fd_perform(self, descriptor, OUTGOING, attempt_sendfile,
                              sending, &task__writing);
    if (result == -ENOTSUP || result == -EPERM)
        result = copy(self, out, sending);
    return result;
}

ssize_t task_sendfile(int out, int in, off_t *offset, size_t n)
{
    struct sending sending = {in, offset ? *offset : -1, n < PART ? n : PART};
    struct task *self;
    ssize_t result = task_enter(&self);
    int saved_errno;

    if (result)
        return result;
    if (sending.offset < 0)
        return -EINVAL;
    if (!n)
        return 0;
    saved_errno = errno;
    result = send_part(self, out, &sending);
    if (result > 0)
        *offset += result;
    fd_restore_errno(self, saved_errno);
    return result;
}
