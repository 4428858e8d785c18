/*
 * Reading by a stream.
 *
 * What is asked for is read straight into the caller's memory where that is
 * large, and else into the buffer, whose memory is taken when there is
 * something to be read.
 */
#include "stream.h"

#include <errno.h>

static ALWAYS_INLINE int begin(struct task_stream *s, struct task **self,
                               const char *call)
{
    int error = stream_enter(s, self, call);

    if (unlikely(error))
        return error;
    if (unlikely(s->is_read)) {
        error = task__misuse_of(s->loop, site_here(call), -EBUSY,
                                "another task reads", s->fd, s->file, s->line);
        stream_leave(s);
        return error;
    }
    s->is_read = true;
    buffer_tidy(s->loop, &s->in); /* what was looked at in place is over */
    return 0;
}

static ALWAYS_INLINE ssize_t end(struct task_stream *s, ssize_t result)
{
    s->is_read = false;
    stream_leave(s);
    return result;
}

static ssize_t fill(struct task_stream *s, struct task *self)
{
    return task__stream_receive(s, self, NULL, 0);
}

/* Take what is in the buffer; how many bytes. */
static size_t take(struct task_stream *s, void *buf, size_t n)
{
    if (n > buffer_size(&s->in))
        n = buffer_size(&s->in);
    if (n) {
        memcpy(buf, buffer_begin(&s->in), n);
        buffer_consume(s->loop, &s->in, n);
    }
    return n;
}

/* Small pieces go by the buffer: a read that fills all that it was given would
 * not tell whether there is more. */
static ssize_t read_some(struct task_stream *s, struct task *self, void *buf,
                         size_t n)
{
    ssize_t result;

    if (n >= STREAM_FILL)
        return task__stream_receive(s, self, buf, n);
    result = fill(s, self);
    if (unlikely(result == -ENOMEM))
        return task__stream_receive(s, self, buf, n);
    return result > 0 ? (ssize_t)take(s, buf, n) : result;
}

ssize_t task_stream_read(struct task_stream *s, void *buf, size_t n)
{
    struct task *self = NULL;
    ssize_t result = begin(s, &self, __func__);

    if (unlikely(result))
        return result;
    if (buffer_size(&s->in) || !n)
        result = (ssize_t)take(s, buf, n);
    else
        result = read_some(s, self, buf, n);
    return end(s, result);
}

/* By the buffer. */
static int read_small(struct task_stream *s, struct task *self, void *buf,
                      size_t n)
{
    while (buffer_size(&s->in) < n) {
        ssize_t result = fill(s, self);

        if (result <= 0)
            return result ? (int)result : -ENODATA;
    }
    take(s, buf, n);
    return 0;
}

/*
 * Straight into the caller's memory; what has come is put back should there not
 * be enough, for which room is reserved. What is in the buffer already stays
 * there until all has come.
 */
static int read_large(struct task_stream *s, struct task *self, char *buf,
                      size_t n)
{
    size_t had = buffer_size(&s->in);
    size_t got = had;
    ssize_t result = 1;

    if (task__stream_buffer_reserve(s->loop, &s->in, n - had))
        return -ENOMEM;
    memcpy(buf, buffer_begin(&s->in), had);
    while (got < n && result > 0) {
        result = task__stream_receive(s, self, buf + got, n - got);
        got += result > 0 ? (size_t)result : 0;
    }
    if (got < n)
        buffer_append(&s->in, buf + had, got - had);
    else
        task__stream_buffer_release(s->loop, &s->in);
    if (got < n)
        return result ? (int)result : -ENODATA;
    return 0;
}

int task_stream_read_exactly(struct task_stream *s, void *buf, size_t n)
{
    struct task *self = NULL;
    int result = begin(s, &self, __func__);

    if (unlikely(result))
        return result;
    if (n > STREAM_BLOCK && n > buffer_size(&s->in))
        result = read_large(s, self, buf, n);
    else
        result = read_small(s, self, buf, n);
    return (int)end(s, result);
}

/* Hand out the first n, in place. */
static ssize_t give(struct task_stream *s, size_t n, const char **data)
{
    *data = buffer_begin(&s->in);
    s->in.begin += n;
    return (ssize_t)n;
}

/* Find a separator; how many bytes there are before it. */
static ssize_t find(struct task_stream *s, struct task *self,
                    const void *separator, size_t n)
{
    size_t seen = 0; /* there is none that begins before */

    for (;;) {
        size_t size = buffer_size(&s->in);
        const char *begin = buffer_begin(&s->in);
        const char *found =
            size ? memmem(begin + seen, size - seen, separator, n) : NULL;
        ssize_t result;

        if (found)
            size = (size_t)(found - begin);
        else if (size >= n)
            seen = size - n + 1;
        if ((found ? size : seen) > s->limit)
            return -EMSGSIZE;
        if (found)
            return (ssize_t)size;
        result = fill(s, self);
        if (result <= 0)
            return result ? result : -ENODATA;
    }
}

ssize_t task_stream_read_until(struct task_stream *s, const void *separator,
                               size_t n, const char **data)
{
    struct task *self = NULL;
    ssize_t result = begin(s, &self, __func__);

    if (unlikely(result))
        return result;
    if (!separator || !n)
        return end(s, MISUSE(-EINVAL, "there is no separator"));
    result = find(s, self, separator, n);
    if (result >= 0)
        result = give(s, (size_t)result + n, data);
    return end(s, result);
}

/* Drop what is in the buffer up to a newline; false: there is none. */
static bool drop_to_newline(struct task_stream *s)
{
    size_t size = buffer_size(&s->in);
    const char *begin = buffer_begin(&s->in);
    const char *newline = size ? memchr(begin, '\n', size) : NULL;

    buffer_consume(s->loop, &s->in,
                   newline ? (size_t)(newline - begin) + 1 : size);
    return newline;
}

/* Fill the buffer anew, also if a request has come: that comes next, as a part
 * of the line is gone. */
static ssize_t fill_on(struct task_stream *s, struct task *self)
{
    unsigned heard = task_put_requests_aside(self);
    ssize_t result = task__stream_fill_now(s, self);

    if (result != -ECANCELED) {
        task_put_requests_back(self, heard);
        return result;
    }
    task_undeliver(self, heard);
    return 1;
}

/* Drop a line that is too long, or what has arrived of it; as no more arrives
 * meanwhile than a system may keep, that comes to an end. That of a file may be
 * of any length, but while it is read others run, and a request may come.
 * (What is no file, but always ready, as /dev/zero, may have no end.) */
static ssize_t drop_line(struct task_stream *s, struct task *self)
{
    enum { ROUNDS = 1024 };
    ssize_t result = 1;

    for (size_t i = 0; !drop_to_newline(s) && result > 0; i++) {
        if (i >= ROUNDS && (s->kind != DESCRIPTOR_FILE || self->undelivered))
            break;
        result = fill_on(s, self);
    }
    buffer_tidy(s->loop, &s->in);
    return s->broken ? result : -EMSGSIZE;
}

ssize_t task_stream_read_line(struct task_stream *s, const char **line)
{
    struct task *self = NULL;
    ssize_t result = begin(s, &self, __func__);

    if (unlikely(result))
        return result;
    result = find(s, self, "\n", 1);
    if (result >= 0)
        result = give(s, (size_t)result + 1, line);
    else if (result == -ENODATA)
        result = give(s, buffer_size(&s->in), line);
    else if (result == -EMSGSIZE)
        result = drop_line(s, self);
    return end(s, result);
}

bool task_stream_at_eof(const struct task_stream *s)
{
    return s && s->at_end && !buffer_size(&s->in);
}

int task_stream_set_limit(struct task_stream *s, size_t limit)
{
    int error = stream_check(s, __func__);

    if (error)
        return error;
    if (!limit)
        return MISUSE_ABOUT(s->loop, -EINVAL, "the limit is 0");
    s->limit = limit;
    return 0;
}
