/*
 * Streams: opened; their descriptors.
 */
#include "stream.h"

#include "report.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

/* For small messages to leave at once. True: it is one of TCP. */
static bool send_at_once(int fd)
{
    int on = 1;

    return !setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
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
    task__fd_opened(loop, fd, kind);
    memset(s, 0, sizeof *s);
    s->loop = loop;
    s->descriptor = descriptor;
    s->fd = fd;
    s->uses = descriptor->uses;
    s->late = -1;
    s->kind = (uint8_t)kind;
    s->is_file = kind == DESCRIPTOR_FILE;
    s->limit = TASK_STREAM_LIMIT;
    s->high = STREAM_HIGH;
    s->low = STREAM_LOW;
    list_append(&loop->streams, &s->node);
    if (kind_is_stream(kind) && send_at_once(fd))
        s->kind = descriptor->kind = DESCRIPTOR_TCP;
    return s;
}

/* Find out what the number is. */
static struct task_stream *open_fd(struct loop *loop, int fd)
{
    struct descriptor *descriptor;

    if (fd_get(loop, fd, &descriptor) || task__fd_check_idle(loop, descriptor))
        return NULL;
    if (task__descriptor_classify_again(descriptor))
        return NULL;
    return task__stream_new(loop, fd, (enum descriptor_kind)descriptor->kind);
}

struct task_stream *task_stream_open_at(int fd, const char *file, int line)
{
    struct loop *loop = loop_current();
    int saved_errno = errno;
    struct task_stream *s;

    if (!loop || loop->freed)
        return NULL;
    s = open_fd(loop, fd);
    errno = saved_errno;
    if (s) {
        s->file = file;
        s->line = line;
    }
    return s;
}

struct task_stream *(task_stream_open)(int fd)
{
    return task_stream_open_at(fd, NULL, 0);
}

int task__stream_refuse(const struct task_stream *s, const struct loop *loop,
                        struct call_site site)
{
    if (!s || s->loop != loop)
        return misuse_at(site, -EINVAL,
                         "the stream is NULL, or of another loop");
    if (s->is_gone)
        return task__misuse_of(s->loop, site, -EBADF, "the stream was closed",
                               -1, s->file, s->line);
    return s->broken;
}

/* Who goes on in vain is told of the fifth time, as asyncio does. */
enum { IN_VAIN = 5 };

int task__stream_refuse_to_write(struct task_stream *s, struct call_site site)
{
    if (s->loop->debug && s->n_in_vain < IN_VAIN && ++s->n_in_vain == IN_VAIN)
        task__misuse_of(s->loop, site, -EPIPE,
                        "writing has failed, and this is the fifth call since",
                        s->fd, s->file, s->line);
    return s->write_error;
}

void task__stream_report_lost(const struct task_stream *s)
{
    task__report_lost_stream(s->loop, s->fd, s->file, s->line);
}

int task__stream_yield(struct task_stream *s, struct task *self)
{
    int result = 0;

    if (!stream_is_lost(s)) {
        s->descriptor->streak = 0;
        result = task__yield(self);
    }
    if (result)
        return result;
    if (s->broken)
        return s->broken;
    if (stream_is_lost(s)) {
        task__stream_report_lost(s);
        return task__stream_lose(s);
    }
    return s->fd < 0 ? -EBADF : 0;
}

int task_stream_fd(const struct task_stream *s)
{
    if (!s || s->is_gone)
        return task__stream_refuse(s, s ? s->loop : NULL, site_here(__func__));
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
