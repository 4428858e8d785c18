/*
 * Callbacks for descriptors that are ready.
 */
#include "fd.h"
#include "repeat.h"

#include <errno.h>

struct reader {
    struct repeated_call call;
    struct observer observer;
};

_Static_assert(sizeof(struct reader) <= RECORD_SIZE, "fits the pool");

static void be_ready(struct observer *observer, short events)
{
    struct reader *reader = container_of(observer, struct reader, observer);

    if (events & POLLNVAL) {
        reader->call.loop->n_sources--;
        task__repeat_release(&reader->call);
    } else {
        task__repeat_queue(&reader->call);
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
        task__repeat_release(&former->call);
    return error;
}

static int add_new(struct loop *loop, int fd, enum direction direction,
                   loop_fn *fn, void *arg)
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
    task__repeat_init(&reader->call, loop, fn, arg);
    reader->observer = (struct observer){.ready = be_ready, .is_level = true};
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
    error = add_new(loop, fd, direction, fn, arg);
    errno = saved_errno;
    return (int)fd_tell_busy(fd, error, call);
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
    task__repeat_release(&reader->call);
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
