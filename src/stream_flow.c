/*
 * Waiting until what was written is sent; the end of writing; the marks.
 */
#include "stream.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>

static const struct wait_kind DRAINING = {
    .verb = "draining",
    .describe = task__stream_describe,
};
static const struct wait_kind FLUSHING = {
    .verb = "flushing",
    .describe = task__stream_describe,
};

/* A pipe tells that its reader is gone, without being written to. */
static int find_out(struct task_stream *s)
{
    struct pollfd now = {.fd = s->fd};
    int saved_errno = errno;
    int n;

    if (s->kind != DESCRIPTOR_PIPE)
        return 0;
    n = poll(&now, 1, 0);
    errno = saved_errno;
    return n == 1 && (now.revents & POLLERR) ? task__stream_fail(s, -EPIPE) : 0;
}

static ALWAYS_INLINE int wait_for(struct task_stream *s, bool to_empty,
                                  const struct wait_kind *kind,
                                  const char *call)
{
    struct task *self;
    int result = stream_enter_to_write(s, &self, call);

    if (unlikely(result))
        return result;
    if (stream_pending(s) > (to_empty ? 0 : s->low))
        result = task__stream_await(s, self, NULL, 0, to_empty, kind);
    else
        result = find_out(s);
    stream_leave(s);
    return result;
}

int task_stream_drain(struct task_stream *s)
{
    return wait_for(s, false, &DRAINING, __func__);
}

int task_stream_flush(struct task_stream *s)
{
    return wait_for(s, true, &FLUSHING, __func__);
}

/* Sockets can be shut down in one direction, and what goes in this one only
 * closed. */
static bool can_end_output(const struct task_stream *s)
{
    int flags;

    if (kind_is_socket(s->kind))
        return true;
    flags = fcntl(s->fd, F_GETFL);
    return flags >= 0 && (flags & O_ACCMODE) == O_WRONLY;
}

int task_stream_write_eof(struct task_stream *s)
{
    int saved_errno = errno;
    int result = stream_check(s, __func__);

    if (result)
        return result;
    if (stream_is_lost(s)) {
        task__stream_report_lost(s);
        task__stream_lose(s);
    }
    if (s->broken)
        return s->broken;
    if (s->ends_output)
        return s->write_error;
    if (!can_end_output(s))
        return -ENOTSUP;
    s->ends_output = true;
    result = task__stream_end_output(s);
    errno = saved_errno;
    return result;
}

int task_stream_set_write_limits(struct task_stream *s, size_t high, size_t low)
{
    int error = stream_check(s, __func__);

    if (error)
        return error;
    if (high == TASK_STREAM_DERIVED && low == TASK_STREAM_DERIVED)
        high = STREAM_HIGH;
    if (high == TASK_STREAM_DERIVED)
        high = low > SIZE_MAX / 4 ? SIZE_MAX : 4 * low;
    if (low == TASK_STREAM_DERIVED)
        low = high / 4;
    if (low > high)
        return MISUSE_ABOUT(s->loop, -EINVAL,
                            "the low mark is above the high one");
    s->high = high;
    s->low = low;
    task__stream_settle(s);
    return 0;
}
