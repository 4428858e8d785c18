/*
 * Sending from a file.
 *
 * The system's own call waits for the disk, and copies nothing. What is worth a
 * worker thread is sent by one, where `out` need not be waited for; all else is
 * copied, which is no dearer than to find out what is in memory, and leaves it
 * to reading and writing to wait.
 */
#include "sendfile.h"

#include "fd.h"
#include "file.h"
#include "worker.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

/* How much is copied at once; what is worth a thread; what that sends at
 * once. */
enum { COPY = 64 << 10, MUCH = 256 << 10, MOST = 1 << 20 };

/* Both numbers, each in one use. */
struct sending {
    struct descriptor *out;
    struct descriptor *in;
    uint32_t out_uses;
    uint32_t in_uses;
    off_t offset;
    size_t n;
    ssize_t result; /* of a worker */
};

/* Whether one was closed since the call began. */
static bool is_closed(const struct sending *sending)
{
    return sending->out->uses != sending->out_uses ||
           sending->in->uses != sending->in_uses;
}

static ssize_t copy_by(struct task *self, const struct sending *sending,
                       char *bytes)
{
    struct iovec part = {bytes, sending->n < COPY ? sending->n : COPY};
    ssize_t n =
        task__file_readv(self, sending->in->fd, &part, 1, sending->offset);

    if (n > 0 && is_closed(sending))
        return -EBADF;
    return n > 0 ? task_write(sending->out->fd, bytes, (size_t)n) : n;
}

static ssize_t copy(struct task *self, const struct sending *sending)
{
    struct blocks *blocks = &loop_of_task(self)->blocks;
    char *bytes =
        task__blocks_get(blocks, sending->n < COPY ? sending->n : COPY, 1);
    ssize_t result;

    if (!bytes)
        return -ENOMEM;
    result = copy_by(self, sending, bytes);
    task__blocks_free(blocks, bytes);
    return result;
}

static int work(void *arg)
{
    struct sending *sending = arg;

    do {
        sending->result = task__sendfile_now(sending->out->fd, sending->in->fd,
                                             sending->offset, sending->n);
    } while (sending->result == -EINTR);
    return 0;
}

/* Have a worker send: 0, or why none has. */
static int delegate(struct task *self, struct sending *sending)
{
    struct fd_job out;
    struct fd_job in;
    int status;

    task__fd_begin_job(self, sending->out, &out);
    task__fd_begin_job(self, sending->in, &in);
    status = task__worker_run(LANE_FILES, work, sending);
    task__fd_end_job(&in);
    task__fd_end_job(&out);
    return status;
}

/* Until it has sent something. An event may come while a worker is at it: so
 * whether to wait is asked afterwards, and whether there is anything to wait
 * for. */
static ssize_t send_much(struct task *self, struct sending *sending)
{
    ssize_t result;

    do {
        result = delegate(self, sending);
        if (result || sending->result != -EAGAIN)
            return result ? result : sending->result;
        if (is_closed(sending))
            break;
        result =
            task__fd_wait_surely(self, sending->out, POLLOUT, &task__writing);
    } while (result > 0 && !is_closed(sending));
    return result < 0 ? result : -EBADF;
}

/* Whether a worker need not wait for `out`: a socket of which nobody else makes
 * that wait. */
static bool is_worth_a_thread(const struct sending *sending)
{
    return sending->n >= MUCH && kind_is_stream(sending->out->kind) &&
           fcntl(sending->out->fd, F_GETFL) & O_NONBLOCK;
}

static ssize_t send_part(struct task *self, struct sending *sending)
{
    struct loop *loop = loop_of_task(self);
    ssize_t result = task__descriptor_classify(sending->out);

    if (!result)
        result = fd_take_error(sending->out, OUTGOING);
    if (!result)
        result = task__fd_check_free(loop, sending->out, POLLOUT);
    if (!result)
        result =
            is_worth_a_thread(sending) ? send_much(self, sending) : -ENOTSUP;
    return result == -ENOTSUP ? copy(self, sending) : result;
}

/* Of the caller's offset, or of the file itself, if nobody has closed that. */
static void move_on(const struct sending *sending, off_t *offset, ssize_t by)
{
    if (offset)
        *offset += by;
    else if (sending->in->uses == sending->in_uses)
        lseek(sending->in->fd, sending->offset + by, SEEK_SET);
}

static ssize_t send_from(struct task *self, int out, int in, off_t *offset,
                         size_t n)
{
    struct sending sending = {.n = n < MOST ? n : MOST};
    ssize_t result = fd_get(loop_of_task(self), out, &sending.out);

    if (!result)
        result = fd_get(loop_of_task(self), in, &sending.in);
    if (result)
        return result;
    sending.out_uses = sending.out->uses;
    sending.in_uses = sending.in->uses;
    sending.offset = offset ? *offset : lseek(in, 0, SEEK_CUR);
    if (sending.offset < 0)
        return errno == ESPIPE ? -EINVAL : -errno;
    result = send_part(self, &sending);
    if (result > 0)
        move_on(&sending, offset, result);
    return result;
}

ssize_t task_sendfile(int out, int in, off_t *offset, size_t n)
{
    struct task *self;
    ssize_t result = task_enter(&self);
    int saved_errno;

    if (result)
        return result;
    if (offset && *offset < 0)
        return MISUSE(-EINVAL, "the offset is negative");
    if (!n)
        return 0;
    saved_errno = errno;
    result = send_from(self, out, in, offset, n);
    fd_restore_errno(self, saved_errno);
    return fd_tell_busy(out, result, __func__);
}
