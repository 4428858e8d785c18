/*
 * Writing by a stream.
 *
 * What is written is sent at once as far as the system takes it. Files take
 * all, by worker threads: one task writes while others wait for their turn.
 */
#include "endpoint.h"
#include "file.h"
#include "stream.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

static void describe(const struct waiter *waiter, struct text *text)
{
    const struct task_stream *s =
        container_of(waiter->node.list, const struct task_stream, writers);

    task__endpoint_add(text, s->fd, "->");
}

static const struct wait_kind QUEUING = {
    .verb = "writing",
    .describe = describe,
};
static const struct wait_kind AWAITING_WRITERS = {
    .verb = "closing",
    .describe = describe,
};

/* Send what is taken at once; how many bytes, or a negative errno. A short
 * write has filled a stream socket; of others only an error tells. */
static ssize_t send_now(struct task_stream *s, const char *data, size_t n)
{
    struct descriptor *descriptor = s->descriptor;
    size_t sent = 0;

    while (!descriptor->drained[OUTGOING] && sent < n) {
        struct iovec part = {(char *)(uintptr_t)data + sent, n - sent};
        ssize_t result = stream_attempt(s, io_write, &part, 1);

        if (likely(result >= 0))
            sent += (size_t)result;
        if (likely(sent == n))
            break;
        if (result == -EAGAIN || (result >= 0 && kind_is_stream(s->kind))) {
            descriptor->drained[OUTGOING] = !descriptor->hung;
            break;
        }
        if (result < 0)
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

/* By a worker, as far as it gets. What has begun is complete: a request that
 * has come meanwhile is put aside, unless somebody takes it back. */
static ssize_t write_part(struct task_stream *s, struct task *self,
                          const char *data, size_t n, bool has_begun)
{
    struct iovec part = {(char *)(uintptr_t)data, n};
    unsigned heard = has_begun ? task_put_requests_aside(self) : 0;
    ssize_t result;

    s->jobs++;
    result = task__file_writev(self, s->fd, &part, 1, -1);
    task__stream_end_job(s);
    if (!has_begun)
        return result;
    if (result != -ECANCELED) {
        task_put_requests_back(self, heard);
        return result;
    }
    task_undeliver(self, heard);
    return 0;
}

/* Write to a file all of it, also when the handle has ended meanwhile: then the
 * one who closes waits for that, unless the descriptor is closed at once. */
static int write_all(struct task_stream *s, struct task *self, const char *data,
                     size_t n)
{
    size_t written = 0;

    while (written < n) {
        ssize_t result;

        if (stream_is_lost(s))
            return task__stream_lose(s);
        result = write_part(s, self, data + written, n - written, written);
        if (result == -ECANCELED)
            return -ECANCELED;
        if (s->fd < 0)
            return s->broken;
        if (result < 0)
            return written || stream_is_failure(result)
                       ? task__stream_fail(s, (int)result)
                       : (int)result;
        written += (size_t)result;
    }
    return s->broken;
}

/* Wait for one's turn at a file that is written to. */
static int await_turn(struct task_stream *s, struct task *self,
                      const struct wait_kind *kind)
{
    return task__park_in(&s->writers, self, kind, TASK_FOREVER);
}

int task__stream_await_writers(struct task_stream *s, struct task *self)
{
    int result = await_turn(s, self, &AWAITING_WRITERS);

    return result ? result : s->write_error;
}

static COLD int write_file(struct task_stream *s, struct task *self,
                           const char *data, size_t n)
{
    int result = 0;

    if (s->is_written) {
        result = await_turn(s, self, &QUEUING);
        if (result || s->fd < 0)
            return result ? result : s->broken;
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

/* Why nothing more is taken; 0: it is. */
static ALWAYS_INLINE int refusal(const struct task_stream *s)
{
    return unlikely(s->ends_output) ? -EPIPE : s->write_error;
}

static int write_bytes(struct task_stream *s, struct task *self,
                       const char *data, size_t n)
{
    int saved_errno = errno;
    int result = refusal(s);

    if (likely(!result))
        result = stream_take_turns(s, self);
    if (likely(!result))
        result = refusal(s);
    if (unlikely(result))
        return result;
    if (unlikely(s->is_file))
        result = write_file(s, self, data, n);
    else
        result = write_some(s, self, data, n);
    fd_restore_errno(self, saved_errno);
    return result;
}

/* `call` is the name of the public function. */
static ALWAYS_INLINE int write_in(struct task_stream *s, const char *data,
                                  size_t n, const char *call)
{
    struct task *self;
    int result = stream_enter_to_write(s, &self, call);

    if (unlikely(result))
        return result;
    if (likely(n))
        result = write_bytes(s, self, data, n);
    stream_leave(s);
    return result;
}

int task_stream_write(struct task_stream *s, const void *data, size_t n)
{
    return write_in(s, data, n, __func__);
}

/* A text of any length: as it is known now. */
PRINTF_LIKE(4, 0)
static ALWAYS_INLINE int write_long(struct task_stream *s, size_t n,
                                    const char *call, const char *format,
                                    va_list arguments)
{
    struct blocks *blocks = &s->loop->blocks;
    char *text = task__blocks_get(blocks, n + 1, 1);
    int result;

    if (!text)
        return -ENOMEM;
    vsnprintf(text, n + 1, format, arguments);
    result = write_in(s, text, n, call);
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
        return misplaced(s ? s->loop : NULL, __func__);
    if (!s || s->loop != loop_of_task(self) || s->is_gone)
        return task__stream_refuse(s, loop_of_task(self), site_here(__func__));
    if (!format)
        return MISUSE(-EINVAL, "there is no format");
    va_start(arguments, format);
    va_copy(again, arguments);
    errno = 0;
    result = vsnprintf(text, sizeof text, format, arguments);
    if (result < 0)
        result = format_error();
    else if ((size_t)result < sizeof text)
        result = write_in(s, text, (size_t)result, __func__);
    else
        result = write_long(s, (size_t)result, __func__, format, again);
    va_end(again);
    va_end(arguments);
    fd_restore_errno(self, saved_errno);
    return result;
}
