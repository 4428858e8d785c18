/*
 * Writing by a stream.
 *
 * What is written is sent at once as far as the system takes it. Files take all,
 * by worker threads: one task writes while others wait for their turn.
 */
#include "file.h"
#include "stream.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>

static const struct wait_kind DRAINING = {.verb = "draining a stream"};
static const struct wait_kind FLUSHING = {.verb = "flushing a stream"};
static const struct wait_kind QUEUING = {.verb = "writing to a file's stream"};

static ALWAYS_INLINE int begin(struct task_stream *s, struct task **self)
{
    int error = stream_enter(s, self);

    if (likely(!error && s->write_error)) {
        error = s->write_error;
        stream_leave(s);
    }
    return error;
}

/* Send what is taken at once; how many bytes, or a negative errno. A short write
 * has filled a stream socket; of others only an error tells. */
static ssize_t send_now(struct task_stream *s, const char *data, size_t n)
{
    struct descriptor *descriptor = s->descriptor;
    size_t sent = 0;

    while (!descriptor->drained[OUTGOING] && sent < n) {
        struct iovec part = {(char *)(uintptr_t)data + sent, n - sent};
        struct transfer transfer = {&part, 1};
        ssize_t result = task__io_write(descriptor, &transfer);

        if (likely(result >= 0))
            sent += (size_t)result;
        if (likely(sent == n))
            break;
        if (result == -EAGAIN ||
            (result >= 0 && s->kind == DESCRIPTOR_STREAM)) {
            descriptor->drained[OUTGOING] = !descriptor->hung;
            break;
        }
        if (result < 0 && result != -EINTR)
            return sent || stream_is_failure(result)
                       ? task__stream_fail(s, (int)result)
                       : result;
    }
    return (ssize_t)sent;
}

/* Keep it, or wait with it: as soon as anybody waits all do. */
static int put(struct task_stream *s, struct task *self, const char *data,
               size_t n)
{
    size_t pending = stream_pending(s);

    if (!s->n_placed && pending <= s->high && n <= s->high - pending &&
        !task__stream_buffer_reserve(s->loop, &s->out, n)) {
        buffer_append(&s->out, data, n);
        return 0;
    }
    return task__stream_await(s, self, data, n, false, &task__stream_writing);
}

/* Write to a file all of it. */
static int write_all(struct task_stream *s, struct task *self, const char *data,
                     size_t n)
{
    size_t written = 0;

    while (written < n) {
        struct iovec part = {(char *)(uintptr_t)data + written, n - written};
        ssize_t result;

        s->jobs++;
        result = task__file_writev(self, s->fd, &part, 1, -1);
        task__stream_end_job(s);
        if (s->broken)
            return s->broken;
        if (result == -ECANCELED && !written)
            return -ECANCELED;
        if (result == -ECANCELED)
            task_keep_request(self);
        else if (result < 0)
            return task__stream_fail(s, (int)result);
        else
            written += (size_t)result;
    }
    return 0;
}

static COLD int write_file(struct task_stream *s, struct task *self,
                           const char *data, size_t n)
{
    int result = 0;

    if (s->is_written) {
        struct waiter waiter;

        waiter_init(&waiter, self, &QUEUING);
        list_append(&s->writers, &waiter.node);
        result = task__park(&waiter);
        if (result || s->broken)
            return s->broken ? s->broken : result;
    }
    s->is_written = true;
    result = s->write_error ? s->write_error : write_all(s, self, data, n);
    s->is_written = wake_first(&s->writers, 0);
    if (!s->broken)
        (void)task__stream_end_output(s);
    return result;
}

static int write_some(struct task_stream *s, struct task *self,
                      const char *data, size_t n)
{
    ssize_t sent = 0;
    int error;

    if (likely(!stream_pending(s))) {
        sent = send_now(s, data, n);
        if (likely(sent == (ssize_t)n))
            return 0;
        if (unlikely(sent < 0))
            return (int)sent;
    }
    error = task__stream_observe(s);
    if (error == -EPERM) {
        s->is_file = true;
        return write_file(s, self, data + sent, n - (size_t)sent);
    }
    if (unlikely(error && sent))
        s->write_error = error;
    if (unlikely(error))
        return error;
    return put(s, self, data + sent, n - (size_t)sent);
}

static int write_bytes(struct task_stream *s, struct task *self,
                       const char *data, size_t n)
{
    int saved_errno = errno;
    int result = stream_take_turns(s, self);

    if (likely(!result))
        result = s->ends_output ? -EPIPE : s->write_error;
    if (unlikely(result))
        return result;
    if (unlikely(s->is_file))
        result = write_file(s, self, data, n);
    else
        result = write_some(s, self, data, n);
    fd_restore_errno(self, saved_errno);
    return result;
}

int task_stream_write(struct task_stream *s, const void *data, size_t n)
{
    struct task *self;
    int result = begin(s, &self);

    if (unlikely(result))
        return result;
    if (likely(n))
        result = write_bytes(s, self, data, n);
    stream_leave(s);
    return result;
}

/* A text of any length: as it is known now. */
static int write_long(struct task_stream *s, size_t n, const char *format,
                      va_list arguments)
{
    struct blocks *blocks = &s->loop->blocks;
    char *text = task__blocks_get(blocks, n + 1, 1);
    int result;

    if (!text)
        return -ENOMEM;
    vsnprintf(text, n + 1, format, arguments);
    result = task_stream_write(s, text, n);
    task__blocks_free(blocks, text);
    return result;
}

/* Why vsnprintf() has failed. */
static NEVER_INLINE int format_error(void)
{
    return errno ? -errno : -EINVAL;
}

int task_stream_printf(struct task_stream *s, const char *format, ...)
{
    char text[512];
    struct task *self = scheduler_self();
    int saved_errno = errno;
    va_list arguments;
    va_list again;
    int result;

    if (!self)
        return -EPERM;
    if (!s || !format || s->loop != loop_of_task(self))
        return -EINVAL;
    va_start(arguments, format);
    va_copy(again, arguments);
    errno = 0;
    result = vsnprintf(text, sizeof text, format, arguments);
    if (result < 0)
        result = format_error();
    else if ((size_t)result < sizeof text)
        result = task_stream_write(s, text, (size_t)result);
    else
        result = write_long(s, (size_t)result, format, again);
    va_end(again);
    va_end(arguments);
    fd_restore_errno(self, saved_errno);
    return result;
}

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

static int wait_for(struct task_stream *s, bool to_empty,
                    const struct wait_kind *kind)
{
    struct task *self;
    int result = begin(s, &self);

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
    return wait_for(s, false, &DRAINING);
}

int task_stream_flush(struct task_stream *s)
{
    return wait_for(s, true, &FLUSHING);
}

/* Sockets can be shut down in one direction, and what goes in this one only
 * closed. */
static bool can_end_output(const struct task_stream *s)
{
    int flags;

    if (s->kind == DESCRIPTOR_STREAM || s->kind == DESCRIPTOR_SOCKET)
        return true;
    flags = fcntl(s->fd, F_GETFL);
    return flags >= 0 && (flags & O_ACCMODE) == O_WRONLY;
}

int task_stream_write_eof(struct task_stream *s)
{
    int saved_errno = errno;
    int result;

    if (!s)
        return -EINVAL;
    if (loop_is_inherited(s->loop))
        return -EPERM;
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
    if (high == TASK_STREAM_DERIVED && low == TASK_STREAM_DERIVED)
        high = STREAM_HIGH;
    if (high == TASK_STREAM_DERIVED)
        high = low > SIZE_MAX / 4 ? SIZE_MAX : 4 * low;
    if (low == TASK_STREAM_DERIVED)
        low = high / 4;
    if (!s || low > high)
        return -EINVAL;
    s->high = high;
    s->low = low;
    task__stream_settle(s);
    return 0;
}
