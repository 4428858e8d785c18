/*
 * Callbacks for descriptors that are ready.
 *
 * A callback is queued when its descriptor is found ready, and runs in the turn
 * that follows. One that is removed while it is queued has no `fn`, and is freed
 * when its turn comes.
 */
#include "fd.h"

#include <errno.h>

struct reader {
    struct observer observer;
    struct ready ready;
    loop_fn *fn;
    void *arg;
    struct loop *loop;
    bool queued;
};

_Static_assert(sizeof(struct reader) <= RECORD_SIZE, "fits the pool");

static void release(struct reader *reader)
{
    reader->fn = NULL;
    if (!reader->queued)
        pool_put(&reader->loop->record_pool, reader);
}

static void run(struct ready *ready)
{
    struct reader *reader = container_of(ready, struct reader, ready);

    reader->queued = false;
    reader->loop->n_queued--;
    if (!reader->fn) {
        release(reader);
        return;
    }
    loop_calls(reader->loop, (uintptr_t)reader->fn);
    reader->fn(reader->arg);
}

static void be_ready(struct observer *observer, short events)
{
    struct reader *reader = container_of(observer, struct reader, observer);

    if (events & POLLNVAL) {
        reader->loop->n_sources--;
        release(reader);
    } else if (!reader->queued) {
        reader->queued = true;
        reader->loop->n_queued++;
        ready_push(&reader->loop->scheduler, &reader->ready);
    }
}

/* The callback of a descriptor (NULL: none), or NULL. */
static struct reader *reader_of(const struct descriptor *descriptor,
                                enum direction direction)
{
    struct observer *observer =
        descriptor ? descriptor->observers[direction] : NULL;

    return observer && observer->ready == be_ready
               ? container_of(observer, struct reader, observer)
               : NULL;
}

static int add(struct loop *loop, struct descriptor *descriptor,
               enum direction direction, struct reader *reader)
{
    struct reader *former = reader_of(descriptor, direction);
    int error =
        former ? 0
               : task__fd_check_free(loop, descriptor,
                                     direction == INCOMING ? POLLIN : POLLOUT);

    if (!error)
        error =
            task__fd_observe(loop, descriptor, direction, &reader->observer);
    if (!error && former)
        release(former);
    return error;
}

static int add_new(struct loop *loop, int fd, enum direction direction,
                   const struct reader *model)
{
    struct descriptor *descriptor;
    struct reader *reader;
    int error = fd_get(loop, fd, &descriptor);

    if (!error)
        error = task__descriptor_classify_again(descriptor);
    if (!error && descriptor->kind == DESCRIPTOR_FILE)
        error = -EPERM;
    if (error)
        return error;
    reader = pool_get(&loop->record_pool);
    if (!reader)
        return -ENOMEM;
    *reader = *model;
    error = add(loop, descriptor, direction, reader);
    if (error)
        pool_put(&loop->record_pool, reader);
    return error;
}

static ALWAYS_INLINE int add_callback(int fd, enum direction direction,
                                      loop_fn *fn, void *arg, const char *call)
{
    struct loop *loop = loop_current();
    int saved_errno = errno;
    int error;

    if (!loop)
        return misuse(call, -EPERM, "no loop runs in this thread");
    if (!fn)
        return misuse(call, -EINVAL, "the function is NULL");
    if (loop->freed)
        return -ESHUTDOWN;
    error = add_new(loop, fd, direction,
                    &(struct reader){
                        .observer = {.ready = be_ready, .is_level = true},
                        .ready = {.run = run},
                        .fn = fn,
                        .arg = arg,
                        .loop = loop,
                    });
    errno = saved_errno;
    return (int)fd_result(fd, error, call);
}

static int remove_callback(int fd, enum direction direction)
{
    struct loop *loop = loop_current();
    int saved_errno = errno;
    struct descriptor *descriptor =
        loop ? descriptors_find(&loop->poller->descriptors, fd) : NULL;
    struct reader *reader = reader_of(descriptor, direction);

    if (!reader)
        return -ENOENT;
    task__fd_observe_no_more(loop, descriptor, direction);
    release(reader);
    errno = saved_errno;
    return 0;
}

int loop_add_reader(int fd, loop_fn *fn, void *arg)
{
    return add_callback(fd, INCOMING, fn, arg, __func__);
}

int loop_add_writer(int fd, loop_fn *fn, void *arg)
{
    return add_callback(fd, OUTGOING, fn, arg, __func__);
}

int loop_remove_reader(int fd)
{
    return remove_callback(fd, INCOMING);
}

int loop_remove_writer(int fd)
{
    return remove_callback(fd, OUTGOING);
}
