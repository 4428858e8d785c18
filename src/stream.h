/*
 * A stream: a descriptor with two buffers.
 *
 *     open      `broken` is 0
 *     closing   the handle is gone, one task waits until all is sent or written,
 *               and every other call gets `broken`
 *     broken    the descriptor is closed, and so does every call
 *
 * The handle ends by close or abort, and with it the stream, unless calls are
 * under way: the last one frees it. A server may break a stream whose handle
 * lives on. In debug mode the last few that were freed are kept for a while, to
 * tell of whoever uses them still.
 *
 * What was written and not sent lies in `out`, and after that, in their order,
 * with those that wait:
 *
 *     [ out ][ writer's rest ][ writer's rest ] ...  <- n_placed: without out
 *
 * While there is any, the descriptor is observed, and it is sent in the loop's
 * own context.
 */
#ifndef TASK_SRC_STREAM_H
#define TASK_SRC_STREAM_H

#include "io.h"
#include "stream_buffer.h"
#include "text.h"

#include <task/stream.h>

/* The marks of a new stream. */
enum { STREAM_HIGH = 65536, STREAM_LOW = STREAM_HIGH / 4 };

/* Whoever has to know whether a stream is there still, such as a server. */
struct stream_owner {
    struct task_stream *stream; /* NULL: it has been freed */
};

struct task_stream {
    /* What each call looks at. */
    struct loop *loop;
    struct descriptor *descriptor; /* that of fd */
    int fd;                        /* -1: closed */
    uint32_t uses;                 /* the descriptor's, while it is ours */
    int broken;      /* 0, or what every call gets: -EBADF, -ECONNABORTED */
    int read_error;  /* 0, or what reading has failed with */
    int write_error; /* 0, or what writing has failed with */
    unsigned calls;  /* under way */
    uint8_t kind;    /* the descriptor's */
    bool is_file;    /* always ready, and left to worker threads */
    bool is_gone;    /* the handle has ended */
    bool is_read;    /* a call that reads is under way */
    bool at_end;
    bool ends_input;     /* once what had come, `left` bytes, is read */
    bool ends_output;    /* once all is sent */
    bool has_ended;      /* that is done */
    bool is_observed;    /* for what is not sent */
    uint8_t n_in_vain;   /* calls since writing has failed, up to a few */
    struct task *reader; /* that waits for bytes, or has not run since */
    size_t left;         /* if `ends_input` */
    size_t n_placed;     /* bytes of those in `waiting` */
    struct stream_buffer in;
    struct stream_buffer out;

    struct list_node node; /* in the loop's list */
    struct stream_owner *owner;
    const char *file; /* where it was opened; NULL: not known */
    int line;
    unsigned jobs; /* calls that are at work on the file */
    int late;      /* -1, or the descriptor, to be closed after the last job */
    bool is_written; /* a task writes to the file */
    size_t limit;    /* of reading up to something */

    /* Writing. */
    struct list waiting; /* of struct stream_waiter */
    struct list unsent;  /* of these, those with bytes of their own */
    size_t n_low;        /* likewise, for the low mark; or woken by now */
    size_t high;
    size_t low;
    struct observer observer;
    struct ready more;   /* goes on sending in the next turn */
    struct list writers; /* that wait for the end of `is_written` */
};

/* Whether the number was closed by somebody else: what it is now is not
 * ours. */
static ALWAYS_INLINE bool stream_is_lost(const struct task_stream *s)
{
    return s->fd >= 0 && s->descriptor->uses != s->uses;
}

/* stream.c */

/* A stream of a descriptor of this kind, which begins a new use of its number;
 * NULL: out of memory, and the descriptor stays the caller's. */
struct task_stream *task__stream_new(struct loop *loop, int fd,
                                     enum descriptor_kind kind);

static inline void stream_set_owner(struct task_stream *s,
                                    struct stream_owner *owner)
{
    owner->stream = s;
    s->owner = owner;
}

/* stream_close.c */

/*
 * Close the descriptor now, and have calls, those under way and all later ones,
 * return `error`. The handle stays. The result of close(), or 0.
 */
int task__stream_break(struct task_stream *s, int error);

/* Close the descriptor, unless a job is at work; the result of close(), or
 * 0. */
int task__stream_close_descriptor(struct task_stream *s);

/* The number was closed behind our back: it is not ours any more. -EBADF. */
int task__stream_lose(struct task_stream *s);

void task__stream_free(struct task_stream *s);

/* A job on the file has ended. */
void task__stream_end_job(struct task_stream *s);

/* stream.c: why a call on a stream (NULL or not) does nothing; a misused one is
 * told of. */
COLD int task__stream_refuse(const struct task_stream *s,
                             const struct loop *loop, struct call_site site);

/* The same of one that has failed to write. */
COLD int task__stream_refuse_to_write(struct task_stream *s,
                                      struct call_site site);

/* That the number was closed behind our back is told of. */
COLD void task__stream_report_lost(const struct task_stream *s);

/* What a suspending call does first, 0 or what it returns: then the stream
 * stays as long as the call is under way. `call` is the name of the public
 * one. */
static ALWAYS_INLINE int stream_enter(struct task_stream *s, struct task **self,
                                      const char *call)
{
    int error = task_enter_for(self, s ? s->loop : NULL, call);

    if (unlikely(error))
        return error;
    if (unlikely(!s || s->loop != loop_of_task(*self) || s->broken))
        return task__stream_refuse(s, loop_of_task(*self), site_here(call));
    s->calls++;
    return 0;
}

/* The same of a call that does not suspend, and may be made outside a task. */
static ALWAYS_INLINE int stream_check(struct task_stream *s, const char *call)
{
    if (!s || s->is_gone)
        return task__stream_refuse(s, s ? s->loop : NULL, site_here(call));
    return loop_refuses(s->loop, call) ? -EPERM : 0;
}

/* The end of the call. */
static ALWAYS_INLINE void stream_leave(struct task_stream *s)
{
    if (unlikely(!--s->calls && s->is_gone))
        task__stream_free(s);
}

/* The same for a call that has to do with writing. */
static ALWAYS_INLINE int stream_enter_to_write(struct task_stream *s,
                                               struct task **self,
                                               const char *call)
{
    int error = stream_enter(s, self, call);

    if (unlikely(!error && s->write_error)) {
        error = task__stream_refuse_to_write(s, site_here(call));
        stream_leave(s);
    }
    return error;
}

/* Let the others run; or find out that the descriptor is not ours any more. */
int task__stream_yield(struct task_stream *s, struct task *self);

/* Before system calls: the others run, if this has gone on for long. */
static ALWAYS_INLINE int stream_take_turns(struct task_stream *s,
                                           struct task *self)
{
    struct descriptor *descriptor = s->descriptor;

    if (likely(descriptor->uses == s->uses && ++descriptor->streak < FD_STREAK))
        return 0;
    return task__stream_yield(s, self);
}

/* A system call that does not block, on a descriptor whose kind the stream
 * knows. */
static ALWAYS_INLINE ssize_t stream_attempt(struct task_stream *s,
                                            attempt_fn *attempt,
                                            struct iovec *parts, int n)
{
    struct transfer transfer = {parts, n};
    ssize_t result;

    if (unlikely(s->descriptor->kind == DESCRIPTOR_UNKNOWN))
        s->descriptor->kind = s->kind;
    do {
        result = attempt(s->descriptor, &transfer);
    } while (unlikely(result == -EINTR));
    return result;
}

/* Whether an error lasts: not so a want of memory, threads or descriptors. */
static inline bool stream_is_failure(ssize_t result)
{
    return result < 0 && result != -ENOMEM && result != -ENOBUFS &&
           result != -EAGAIN && result != -EMFILE && result != -ENFILE;
}

/* A call that waits for bytes goes on, or ends with an error. */
static inline void stream_wake_reader(struct task_stream *s, int result)
{
    if (s->reader && s->reader->waiter)
        task__wake(s->reader->waiter, result);
}

/* stream_input.c */

/* What is read into the buffer at once, at least. */
enum { STREAM_FILL = STREAM_BLOCK / 4 };

/*
 * Read what there is, after a wait if need be: to `buf`, or (NULL) to the end
 * of the buffer. How many bytes; 0: the end.
 */
ssize_t task__stream_receive(struct task_stream *s, struct task *self,
                             void *buf, size_t n);

/* Fill the buffer without a wait for anything but a file; also -EAGAIN. */
ssize_t task__stream_fill_now(struct task_stream *s, struct task *self);

/* Have what has come read, and the end after that, on an open socket. */
void task__stream_end_input(struct task_stream *s);

/* stream_write.c: wait for those that write to the file to have done so; 0, or
 * a negative errno. */
int task__stream_await_writers(struct task_stream *s, struct task *self);

/* stream_output.c */

/* A task that waits until what is not sent is no more than the low mark, or
 * nothing. */
struct stream_waiter {
    struct waiter waiter;
    struct list_node unsent; /* in that list, while n > 0 */
    struct task_stream *stream;
    const char *data; /* what it writes, and has not been sent or copied */
    size_t n;
    bool to_empty;
};

/* Bytes that are not sent. */
static ALWAYS_INLINE size_t stream_pending(const struct task_stream *s)
{
    return buffer_size(&s->out) + s->n_placed;
}

/* Have what is not sent sent when there is room; 0, or a negative errno. */
int task__stream_observe(struct task_stream *s);
void task__stream_observe_no_more(struct task_stream *s);

/* Suspend, at least once. `data`: bytes to be sent after all others; n may be
 * 0. A cancel ends it; one that writes then returns 0, and the request comes
 * next. */
int task__stream_await(struct task_stream *s, struct task *self,
                       const char *data, size_t n, bool to_empty,
                       const struct wait_kind *kind);
extern const struct wait_kind task__stream_writing; /* for n > 0 */

/* What any kind of such a wait may say of it. */
void task__stream_describe(const struct waiter *waiter, struct text *text);

/* What writers have is not sent any more. */
static inline void stream_forget_unsent(struct task_stream *s)
{
    s->n_placed = 0;
    s->unsent = (struct list){NULL, NULL};
}

/* Copy what all writers have. -ENOMEM: nothing was. */
int task__stream_absorb(struct task_stream *s);

/* Wake those that wait for nothing any more; at the end end the output. */
void task__stream_settle(struct task_stream *s);

/* Drop what is not sent, and wake those that wait with an error. */
void task__stream_drop(struct task_stream *s, int error);

/* The same, and writing has failed for good; returns the error. */
int task__stream_fail(struct task_stream *s, int error);

/* Have the peer read the end, if that is wanted and everything is sent; 0, or
 * what writing has failed with. */
int task__stream_end_output(struct task_stream *s);

#endif
