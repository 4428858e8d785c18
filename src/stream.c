/*
 * Streams: opened, closed, broken, freed.
 */
#include "stream.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <unistd.h>

static const struct wait_kind CLOSING = {.verb = "closing a stream"};

/* For small messages to leave at once. */
static void send_at_once(int fd)
{
    int on = 1;

    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

struct task_stream *task__stream_new(struct loop *loop, int fd,
                                     enum descriptor_kind kind)
{
    struct task_stream *s;
    struct descriptor *descriptor;

    if (task__descriptors_get(&loop->poller->descriptors, fd, &descriptor))
        return NULL;
    s = memory_get(&loop->allocator, sizeof *s);
    if (!s)
        return NULL;
    memset(s, 0, sizeof *s);
    s->loop = loop;
    s->descriptor = descriptor;
    s->fd = fd;
    s->late = -1;
    s->kind = (uint8_t)kind;
    s->is_file = kind == DESCRIPTOR_FILE;
    s->limit = TASK_STREAM_LIMIT;
    s->high = STREAM_HIGH;
    s->low = STREAM_LOW;
    list_append(&loop->streams, &s->node);
    if (kind_is_stream(kind))
        send_at_once(fd);
    return s;
}

/* Begin a new use of the number, and find out what it is. */
static struct task_stream *open_fd(struct loop *loop, int fd)
{
    struct descriptor *descriptor;

    if (task__descriptors_get(&loop->poller->descriptors, fd, &descriptor) ||
        !descriptor_is_idle(descriptor))
        return NULL;
    task__fd_opened(loop, fd, DESCRIPTOR_UNKNOWN);
    if (task__descriptor_classify(descriptor))
        return NULL;
    return task__stream_new(loop, fd, (enum descriptor_kind)descriptor->kind);
}

struct task_stream *task_stream_open(int fd)
{
    struct loop *loop = loop_current();
    int saved_errno = errno;
    struct task_stream *s;

    if (!loop || loop->freed)
        return NULL;
    s = open_fd(loop, fd);
    errno = saved_errno;
    return s;
}

int task__stream_yield(struct task_stream *s, struct task *self)
{
    int result;

    s->descriptor->streak = 0;
    result = task__yield(self);
    if (s->broken)
        return s->broken;
    return !result && s->fd < 0 ? -EBADF : result;
}

static int close_now(int fd)
{
    int result = close(fd) ? -errno : 0;

    return result == -EINTR ? 0 : result;
}

int task__stream_close_descriptor(struct task_stream *s)
{
    int fd = s->fd;

    if (fd < 0)
        return 0;
    task__stream_observe_no_more(s);
    task__fd_forget(s->loop, fd);
    s->fd = -1;
    if (s->jobs) {
        s->late = fd;
        return 0;
    }
    return close_now(fd);
}

void task__stream_end_job(struct task_stream *s)
{
    if (--s->jobs || s->late < 0)
        return;
    (void)close_now(s->late);
    s->late = -1;
}

/* Calls that read and cannot go on. */
static void wake_reader(struct task_stream *s)
{
    if (s->reader && s->reader->waiter)
        task__wake(s->reader->waiter, s->broken);
}

int task__stream_break(struct task_stream *s, int error)
{
    s->broken = error;
    wake_reader(s);
    while (wake_first(&s->writers, error))
        continue;
    task__stream_drop(s, error);
    return task__stream_close_descriptor(s);
}

void task__stream_lose(struct task_stream *s)
{
    task__stream_observe_no_more(s);
    s->fd = -1;
    task__stream_break(s, -EBADF);
}

void task__stream_free(struct task_stream *s)
{
    struct loop *loop = s->loop;

    if (s->owner)
        s->owner->stream = NULL;
    list_remove(&s->node);
    if (s->in.data)
        task__stream_buffer_release(loop, &s->in);
    if (s->out.data)
        task__stream_buffer_release(loop, &s->out);
    memory_free(&loop->allocator, s);
}

/*
 * The handle is gone: calls of others end. What writes of theirs have not sent
 * is kept, and sent with the rest; 0, or -ENOMEM: it could not be kept.
 */
static int begin_to_close(struct task_stream *s)
{
    int error = task__stream_absorb(s);

    s->is_gone = true;
    if (error)
        s->n_placed = 0;
    if (s->broken)
        return error;
    s->broken = -EBADF;
    wake_reader(s);
    while (wake_first(&s->writers, s->broken) ||
           wake_first(&s->waiting, s->broken))
        continue;
    return error;
}

/* Have all sent. A request that is there does what one does that comes later. */
static int send_all(struct task_stream *s, struct task *self)
{
    if (s->write_error)
        return s->write_error;
    if (!stream_pending(s))
        return 0;
    if (self->undelivered) {
        task_take_requests(self);
        return -ECANCELED;
    }
    return task__stream_await(s, self, NULL, 0, true, &CLOSING);
}

static int close_stream(struct task_stream *s, struct task *self)
{
    int broken = s->broken;
    int lost = begin_to_close(s);
    int sent = broken ? broken : send_all(s, self);
    int closed = task__stream_break(s, s->broken);

    if (sent)
        return sent;
    return lost ? lost : closed;
}

int task_stream_close(struct task_stream *s)
{
    struct task *self = scheduler_self();
    int saved_errno;
    int result;

    if (!self)
        return -EPERM;
    if (!s || s->loop != loop_of_task(self))
        return -EINVAL;
    if (s->is_gone)
        return -EBADF;
    saved_errno = errno;
    s->calls++;
    result = close_stream(s, self);
    stream_leave(s);
    fd_restore_errno(self, saved_errno);
    return result;
}

void task_stream_abort(struct task_stream *s)
{
    int saved_errno = errno;

    if (!s || loop_is_inherited(s->loop))
        return;
    s->calls++;
    s->is_gone = true;
    task__stream_break(s, -EBADF);
    stream_leave(s);
    errno = saved_errno;
}

/* No task is left. */
void task__streams_destroy(struct loop *loop)
{
    struct list_node *node;

    while ((node = loop->streams.first)) {
        struct task_stream *s = container_of(node, struct task_stream, node);

        s->jobs = 0;
        task__stream_close_descriptor(s);
        if (s->late >= 0)
            (void)close_now(s->late);
        task__stream_free(s);
    }
    task__stream_buffers_destroy(loop);
}

int task_stream_fd(const struct task_stream *s)
{
    if (!s)
        return -EINVAL;
    return s->fd < 0 ? -EBADF : s->fd;
}

/* The address of one end. */
static int name_of(const struct task_stream *s,
                   int (*ask)(int fd, struct sockaddr *addr, socklen_t *len),
                   struct sockaddr *addr, socklen_t *len)
{
    int fd = task_stream_fd(s);
    int saved_errno = errno;
    int result;

    if (fd < 0)
        return fd;
    result = ask(fd, addr, len) ? -errno : 0;
    errno = saved_errno;
    return result;
}

int task_stream_peername(const struct task_stream *s, struct sockaddr *addr,
                         socklen_t *len)
{
    return name_of(s, getpeername, addr, len);
}

int task_stream_sockname(const struct task_stream *s, struct sockaddr *addr,
                         socklen_t *len)
{
    return name_of(s, getsockname, addr, len);
}
