/*
 * What a stream has not sent: who waits for that, and how it is sent.
 */
#include "endpoint.h"
#include "stream.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

/* What is sent in one turn: ROUNDS times as much as one call takes. */
enum { PARTS = 16, CALL_SIZE = 1 << 18, ROUNDS = 4 };

static struct stream_waiter *waiter_at(struct list_node *node)
{
    return container_of(node, struct stream_waiter, waiter.node);
}

static struct stream_waiter *unsent_at(struct list_node *node)
{
    return container_of(node, struct stream_waiter, unsent);
}

/* So many bytes of the first who has any are sent or copied. */
static void take_from(struct task_stream *s, struct stream_waiter *first,
                      size_t n)
{
    first->data += n;
    first->n -= n;
    s->n_placed -= n;
    if (!first->n)
        list_remove(&first->unsent);
}

/* What writers have, up to this one (NULL: all). */
static size_t unsent_until(const struct task_stream *s,
                           const struct stream_waiter *last)
{
    struct list_node *node = s->unsent.first;
    size_t n = 0;

    for (; node; node = node->next) {
        n += unsent_at(node)->n;
        if (unsent_at(node) == last)
            break;
    }
    return n;
}

/* Copy that, so that the next one finds less. -ENOMEM: nothing was. */
static int absorb(struct task_stream *s, const struct stream_waiter *last)
{
    size_t n = last && !last->n ? 0 : unsent_until(s, last);

    if (!n)
        return 0;
    if (task__stream_buffer_reserve(s->loop, &s->out, n))
        return -ENOMEM;
    while (n) {
        struct stream_waiter *first = unsent_at(s->unsent.first);
        size_t part = first->n;

        buffer_append(&s->out, first->data, part);
        take_from(s, first, part);
        n -= part;
    }
    return 0;
}

int task__stream_absorb(struct task_stream *s)
{
    return absorb(s, NULL);
}

/* A request: what is not sent of its bytes is kept. If there is no memory for
 * that, the wait goes on. */
static void cancel_writer(struct waiter *waiter, struct task_chain *requests)
{
    struct stream_waiter *writer =
        container_of(waiter, struct stream_waiter, waiter);

    waiter_defer(waiter, requests);
    if (!absorb(writer->stream, writer))
        task__wake(waiter, 0);
}

void task__stream_describe(const struct waiter *waiter, struct text *text)
{
    const struct stream_waiter *self =
        container_of(waiter, const struct stream_waiter, waiter);

    task__endpoint_add(text, self->stream->fd, "->");
}

const struct wait_kind task__stream_writing = {
    .verb = "writing",
    .describe = task__stream_describe,
    .cancel = cancel_writer,
};

int task__stream_await(struct task_stream *s, struct task *self,
                       const char *data, size_t n, bool to_empty,
                       const struct wait_kind *kind)
{
    struct stream_waiter waiter = {
        .stream = s, .data = data, .n = n, .to_empty = to_empty};
    int result;

    waiter_init(&waiter.waiter, self, kind);
    list_append(&s->waiting, &waiter.waiter.node);
    if (n)
        list_append(&s->unsent, &waiter.unsent);
    s->n_placed += n;
    s->n_low += !to_empty;
    result = task__park(&waiter.waiter);
    s->n_low -= !to_empty;
    return result;
}

void task__stream_observe_no_more(struct task_stream *s)
{
    if (s->is_observed)
        task__fd_observe_no_more(s->loop, s->descriptor, OUTGOING);
    s->is_observed = false;
}

void task__stream_drop(struct task_stream *s, int error)
{
    stream_forget_unsent(s);
    if (s->out.data)
        task__stream_buffer_release(s->loop, &s->out);
    task__stream_observe_no_more(s);
    wake_all(&s->waiting, error);
}

int task__stream_fail(struct task_stream *s, int error)
{
    s->write_error = error;
    task__stream_drop(s, error);
    return error;
}

/* Whether a waiter has what it waits for. */
static bool is_served(const struct task_stream *s,
                      const struct stream_waiter *waiter)
{
    return !waiter->n && stream_pending(s) <= (waiter->to_empty ? 0 : s->low);
}

/* Whether anybody may have, which is not known of each. */
static bool serves_any(const struct task_stream *s)
{
    size_t pending = stream_pending(s);

    return !pending || (s->n_low && pending <= s->low);
}

static void wake_served(struct task_stream *s)
{
    struct list_node *node = serves_any(s) ? s->waiting.first : NULL;

    while (node) {
        struct stream_waiter *waiter = waiter_at(node);

        node = node->next;
        if (is_served(s, waiter))
            task__wake(&waiter->waiter, 0);
    }
}

int task__stream_end_output(struct task_stream *s)
{
    bool is_due = s->ends_output && !s->has_ended && !s->write_error;

    if (!is_due || stream_pending(s) || s->is_written)
        return s->write_error;
    s->has_ended = true;
    if (kind_is_socket(s->kind))
        s->write_error = shutdown(s->fd, SHUT_WR) ? -errno : 0;
    else
        s->write_error = task__stream_close_descriptor(s);
    return s->write_error;
}

void task__stream_settle(struct task_stream *s)
{
    if (stream_pending(s) <= s->low)
        (void)absorb(s, NULL);
    if (!stream_pending(s)) {
        buffer_tidy(s->loop, &s->out);
        task__stream_observe_no_more(s);
    }
    (void)task__stream_end_output(s);
    wake_served(s);
}

/* List what is not sent, as much as is sent by one call; its size. */
static size_t list_parts(const struct task_stream *s, struct iovec parts[],
                         int *n)
{
    struct list_node *node = s->unsent.first;
    size_t size = buffer_size(&s->out);

    *n = 0;
    if (size)
        parts[(*n)++] = (struct iovec){buffer_begin(&s->out), size};
    for (; node && *n < PARTS && size < CALL_SIZE; node = node->next) {
        const struct stream_waiter *waiter = unsent_at(node);

        parts[(*n)++] =
            (struct iovec){(char *)(uintptr_t)waiter->data, waiter->n};
        size += waiter->n;
    }
    if (size > CALL_SIZE) {
        parts[*n - 1].iov_len -= size - CALL_SIZE;
        size = CALL_SIZE;
    }
    return size;
}

/* So many bytes are sent. */
static void take_sent(struct task_stream *s, size_t n)
{
    size_t copied = buffer_size(&s->out);

    copied = n < copied ? n : copied;
    buffer_consume(s->loop, &s->out, copied);
    for (n -= copied; n;) {
        struct stream_waiter *first = unsent_at(s->unsent.first);
        size_t part = n < first->n ? n : first->n;

        take_from(s, first, part);
        n -= part;
    }
}

/* Send by one call; 1: there may be room for more; -EAGAIN: there is none. */
static int send_some(struct task_stream *s)
{
    struct iovec parts[PARTS];
    int n;
    size_t size = list_parts(s, parts, &n);
    ssize_t sent = stream_attempt(s, io_write, parts, n);

    if (sent < 0)
        return (int)sent;
    take_sent(s, (size_t)sent);
    return (size_t)sent < size && kind_is_stream(s->kind) ? -EAGAIN : 1;
}

/* There is no room: be told when there is. Events that the poller believes in
 * may have been missed, so it is to look after it again. */
static void wait_for_room(struct task_stream *s)
{
    struct poller *poller = s->loop->poller;
    int error;

    s->descriptor->drained[OUTGOING] = !s->descriptor->hung;
    error = poller->backend->watch(poller, s->descriptor);
    if (error)
        task__stream_fail(s, error);
}

static void go_on_later(struct task_stream *s);

static void send_rest(struct task_stream *s)
{
    int result = 1;

    for (int i = 0; i < ROUNDS && stream_pending(s) && result > 0; i++)
        result = send_some(s);
    if (result > 0 && stream_pending(s))
        go_on_later(s);
    else if (result == -EAGAIN && stream_pending(s))
        wait_for_room(s);
    else if (result < 0 && result != -EAGAIN)
        task__stream_fail(s, result);
    task__stream_settle(s);
}

static void go_on(struct ready *ready)
{
    struct task_stream *s = container_of(ready, struct task_stream, more);

    s->more.run = NULL;
    s->loop->n_queued--;
    if (s->is_observed)
        send_rest(s);
    stream_leave(s);
}

/* In the next turn; the stream stays until then. */
static void go_on_later(struct task_stream *s)
{
    if (s->more.run)
        return;
    s->calls++;
    s->more.run = go_on;
    loop_queue(s->loop, &s->more);
}

/* There is room, or an error. */
static void be_ready(struct observer *observer, short events)
{
    struct task_stream *s =
        container_of(observer, struct task_stream, observer);

    if (events & POLLNVAL) {
        s->loop->n_sources--;
        s->is_observed = false;
        task__stream_lose(s);
    } else {
        send_rest(s);
    }
}

int task__stream_observe(struct task_stream *s)
{
    int error;

    if (s->is_observed)
        return 0;
    if (s->descriptor->observers[OUTGOING])
        return -EBUSY;
    s->observer.ready = be_ready;
    error = task__fd_observe(s->loop, s->descriptor, OUTGOING, &s->observer);
    s->is_observed = !error;
    return error;
}
