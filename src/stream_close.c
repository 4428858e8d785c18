/*
 * Streams: closed, aborted, broken, freed; and those that nobody has closed.
 */
#include "endpoint.h"
#include "loop_above.h"
#include "report.h"
#include "stream.h"

#include <errno.h>
#include <unistd.h>

static const struct wait_kind CLOSING = {
    .verb = "closing",
    .describe = task__stream_describe,
};

int task__stream_close_descriptor(struct task_stream *s)
{
    bool is_lost = stream_is_lost(s);
    int fd = s->fd;

    if (fd < 0)
        return 0;
    task__stream_observe_no_more(s);
    s->fd = -1;
    if (is_lost)
        return 0;
    if (!s->jobs)
        return task__fd_close(s->loop, fd);
    task__fd_forget(s->loop, fd);
    s->late = fd;
    return 0;
}

void task__stream_end_job(struct task_stream *s)
{
    if (--s->jobs || s->late < 0)
        return;
    (void)task__fd_close(s->loop, s->late);
    s->late = -1;
}

int task__stream_break(struct task_stream *s, int error)
{
    s->broken = error;
    stream_wake_reader(s, error);
    wake_all(&s->writers, error);
    task__stream_drop(s, error);
    return task__stream_close_descriptor(s);
}

int task__stream_lose(struct task_stream *s)
{
    task__stream_observe_no_more(s);
    s->fd = -1;
    task__stream_break(s, -EBADF);
    return -EBADF;
}

/* The earliest of those that are kept is freed. */
static void drop_kept(struct loop *loop)
{
    struct list_node *node = list_pop(&loop->closed_streams);

    loop->n_closed_streams--;
    memory_free(&loop->allocator, container_of(node, struct task_stream, node));
}

static void keep(struct task_stream *s)
{
    enum { KEPT = 64 };

    s->broken = -EBADF;
    list_append(&s->loop->closed_streams, &s->node);
    if (++s->loop->n_closed_streams > KEPT)
        drop_kept(s->loop);
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
    if (unlikely(loop->debug && s->is_gone))
        keep(s);
    else
        memory_free(&loop->allocator, s);
}

/*
 * The handle is gone: calls of others end. What writes of theirs have not sent
 * is kept, and sent with the rest; 0, or -ENOMEM: it could not be kept. Those
 * that write to a file go on.
 */
static int begin_to_close(struct task_stream *s)
{
    int error = task__stream_absorb(s);

    s->is_gone = true;
    if (error)
        stream_forget_unsent(s);
    if (s->broken)
        return error;
    s->broken = -EBADF;
    stream_wake_reader(s, s->broken);
    wake_all(&s->waiting, s->broken);
    return error;
}

/* Have all sent. A request that is there does what one does that comes
 * later. */
static int send_all(struct task_stream *s, struct task *self)
{
    if (s->write_error)
        return s->write_error;
    if (!stream_pending(s) && !s->is_written)
        return 0;
    if (task_check_requests(self))
        return -ECANCELED;
    if (s->is_written)
        return task__stream_await_writers(s, self);
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
        return misplaced(s ? s->loop : NULL, __func__);
    if (!s || s->loop != loop_of_task(self) || s->is_gone)
        return task__stream_refuse(s, loop_of_task(self), site_here(__func__));
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

    if (!s || LOOP_REFUSES(s->loop))
        return;
    if (s->is_gone && !s->calls) {
        (void)task__stream_refuse(s, s->loop, site_here(__func__));
        return;
    }
    s->calls++;
    s->is_gone = true;
    task__stream_break(s, -EBADF);
    stream_leave(s);
    errno = saved_errno;
}

/* In debug mode one that nobody has closed is told of. */
static void report_open(const struct task_stream *s)
{
    char chars[400];
    struct text text = TEXT_IN(chars);
    struct loop_error error = {.kind = LOOP_ERROR_LEAK,
                               .message = chars,
                               .file = s->file,
                               .line = s->line};

    if (!s->loop->debug || s->is_gone)
        return;
    task__text_add(&text, "a stream");
    if (s->fd >= 0) {
        task__text_add(&text, " ");
        task__endpoint_add(&text, s->fd, "<->");
    }
    if (s->file)
        task__text_add(&text, ", opened at %s:%d,", s->file, s->line);
    task__text_add(&text, " was not closed");
    task__report_fd(s->loop, &error, s->fd);
}

static struct task_stream *stream_at(struct list_node *node)
{
    return container_of(node, struct task_stream, node);
}

void task__streams_abandon(struct loop *loop)
{
    for (struct list_node *node = loop->streams.first; node;
         node = node->next) {
        stream_at(node)->reader = NULL;
        stream_at(node)->unsent = (struct list){NULL, NULL};
    }
}

/* No task is left, and no job; whoever was in one may have been dropped. The
 * hook may abort those that it is told of, and others: until all was told of
 * they stay, as while a call is under way. */
void task__streams_tell(struct loop *loop)
{
    struct list_node *node;

    for (node = loop->streams.first; node; node = node->next)
        stream_at(node)->calls = 1;
    for (node = loop->streams.first; node; node = node->next)
        report_open(stream_at(node));
}

void task__streams_destroy(struct loop *loop)
{
    struct list_node *node;

    while ((node = loop->streams.first)) {
        struct task_stream *s = stream_at(node);

        task__stream_close_descriptor(s);
        if (s->late >= 0)
            close(s->late);
        task__stream_free(s);
    }
    while (loop->n_closed_streams)
        drop_kept(loop);
    task__stream_buffers_destroy(loop);
}
