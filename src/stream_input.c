/*
 * How a stream reads: one system call, once there is something to be read.
 */
#include "file.h"
#include "socket.h"
#include "stream.h"

#include <errno.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

static const struct wait_kind READING = {
    .verb = "reading",
    .describe = task__fd_describe_in,
};

/* Whether writing has met what ended the connection. The system tells one call
 * of that; reading then finds an end that the peer has not sent. (After an end
 * that it has sent a reset is -EPIPE; only a time-out may be told for that.) */
static bool was_cut(const struct task_stream *s)
{
    int error = s->write_error;

    return kind_is_stream(s->kind) && !s->ends_input &&
           (error == -ECONNRESET || error == -ETIMEDOUT ||
            socket_error_is_of_connection(error));
}

/* What a system call has read: none is the end, and so is an error of a
 * terminal whose other side is closed. */
static ssize_t note(struct task_stream *s, ssize_t result)
{
    if (likely(result > 0))
        return result;
    if (!result && was_cut(s))
        result = s->write_error;
    if (!result || (result == -EIO && s->kind == DESCRIPTOR_OTHER)) {
        s->at_end = true;
        return 0;
    }
    if (stream_is_failure(result))
        s->read_error = (int)result;
    return result;
}

/* Where to read to: the buffer, if no memory is given. */
static int find_room(struct task_stream *s, struct iovec *part)
{
    if (part->iov_base)
        return 0;
    if (task__stream_buffer_reserve(s->loop, &s->in, STREAM_FILL))
        return -ENOMEM;
    part->iov_base = buffer_end(&s->in);
    part->iov_len = buffer_room(&s->in);
    return 0;
}

/* Read of what had come when the input was ended; there is no more. */
static COLD ssize_t attempt_rest(struct task_stream *s, struct iovec part)
{
    ssize_t result;

    if (part.iov_len > s->left)
        part.iov_len = s->left;
    result = part.iov_len ? stream_attempt(s, io_read, &part, 1) : 0;
    if (result > 0)
        s->left -= (size_t)result;
    return result == -EAGAIN ? 0 : result;
}

/* Read now, if it is no file. -EAGAIN: there is nothing. */
static ALWAYS_INLINE ssize_t attempt(struct task_stream *s, struct iovec part)
{
    bool is_buffered = !part.iov_base;
    ssize_t result = find_room(s, &part);

    if (unlikely(result))
        return result;
    result = likely(!s->ends_input) ? stream_attempt(s, io_read, &part, 1)
                                    : attempt_rest(s, part);
    if (unlikely(result == -EAGAIN)) {
        s->descriptor->drained[INCOMING] = !s->descriptor->hung;
        return result;
    }
    if (is_buffered && result > 0)
        s->in.end += (size_t)result;
    return note(s, result);
}

/* The same for a file; suspends. */
static COLD ssize_t read_file(struct task_stream *s, struct task *self,
                              struct iovec part)
{
    bool is_buffered = !part.iov_base;
    ssize_t result = find_room(s, &part);

    if (result)
        return result;
    s->jobs++;
    result = task__file_readv(self, s->fd, &part, 1, -1);
    task__stream_end_job(s);
    if (result == -ECANCELED)
        return result;
    if (s->broken)
        return s->broken;
    if (is_buffered && result > 0)
        s->in.end += (size_t)result;
    return note(s, result);
}

/* Wait until there is something: the events, 0 if it always is, or a negative
 * errno. */
static int wait(struct task_stream *s, struct task *self)
{
    int result = 0;

    if (unlikely(descriptor_is_busy(s->descriptor, POLLIN)))
        result = task__fd_check_free(s->loop, s->descriptor, POLLIN);
    if (likely(!result)) {
        s->descriptor->streak = 0;
        s->reader = self;
        result = task__fd_wait(self, s->descriptor, POLLIN, &READING);
        s->reader = NULL;
    }
    if (unlikely(result == -ECANCELED))
        return result;
    if (unlikely(s->broken))
        return s->broken;
    if (unlikely(result == -EBADF || stream_is_lost(s)))
        return task__stream_lose(s);
    if (unlikely(result == -EPERM)) {
        s->is_file = true;
        return 0;
    }
    return result;
}

static ssize_t receive_now(struct task_stream *s, struct task *self,
                           struct iovec part)
{
    ssize_t result = stream_take_turns(s, self);
    ssize_t events = 0;

    while (likely(result >= 0)) {
        if (unlikely(s->is_file))
            return read_file(s, self, part);
        if (!s->descriptor->drained[INCOMING]) {
            result = attempt(s, part);
            if (result != -EAGAIN)
                return result;
            if (!part.iov_base)
                buffer_tidy(s->loop, &s->in);
            s->descriptor->is_doubtful |= events & POLLIN;
        }
        result = wait(s, self);
        events = result;
    }
    return result;
}

ssize_t task__stream_receive(struct task_stream *s, struct task *self,
                             void *buf, size_t n)
{
    struct iovec part = {buf, n};
    int saved_errno = errno;
    ssize_t result;

    if (unlikely(s->at_end || s->read_error))
        return s->read_error;
    if (unlikely(s->fd < 0))
        return -EBADF;
    result = receive_now(s, self, part);
    fd_restore_errno(self, saved_errno);
    return result;
}

ssize_t task__stream_fill_now(struct task_stream *s, struct task *self)
{
    int saved_errno = errno;
    ssize_t result;

    if (s->is_file || s->at_end || s->read_error)
        return task__stream_receive(s, self, NULL, 0);
    if (s->descriptor->drained[INCOMING])
        return -EAGAIN;
    result = attempt(s, (struct iovec){NULL, 0});
    fd_restore_errno(self, saved_errno);
    return result;
}

/* By TCP the peer is not told that nobody reads: it may go on sending. A socket
 * that was shut down in both directions would answer with a reset, and what was
 * written would be lost; so the stream counts what has come, and leaves the
 * rest to the system, which holds the peer back. */
void task__stream_end_input(struct task_stream *s)
{
    int n;

    if (s->kind != DESCRIPTOR_TCP) {
        (void)shutdown(s->fd, SHUT_RD);
        return;
    }
    if (s->ends_input)
        return;
    s->left = ioctl(s->fd, FIONREAD, &n) ? SIZE_MAX : (size_t)n;
    s->ends_input = true;
    s->descriptor->drained[INCOMING] = false;
    stream_wake_reader(s, 0);
}
