/*
 * Waiting for descriptors; closing them.
 */
#include "fd.h"

#include "endpoint.h"

#include <errno.h>
#include <unistd.h>

/* A task that never has to wait lets the others run after so many calls. */
enum { STREAK = 64 };

/* What was moved is told first: the request is kept, and the wait is over. */
static void keep_request(struct waiter *waiter, struct task_chain *requests)
{
    (void)requests;
    task_keep_request(waiter->task);
    task__wake(waiter, -ECANCELED);
}

static void describe(const struct waiter *waiter, struct text *text,
                     const char *arrow)
{
    const struct descriptor *descriptor =
        container_of(waiter->node.list, const struct descriptor, waiters);

    task__endpoint_add(text, descriptor->fd, arrow);
}

void task__fd_describe_in(const struct waiter *waiter, struct text *text)
{
    describe(waiter, text, "<-");
}

void task__fd_describe_out(const struct waiter *waiter, struct text *text)
{
    describe(waiter, text, "->");
}

static void describe_any(const struct waiter *waiter, struct text *text)
{
    describe(waiter, text, "<->");
}

const struct wait_kind task__reading = {
    .verb = "reading",
    .describe = task__fd_describe_in,
};
const struct wait_kind task__writing = {
    .verb = "writing",
    .describe = task__fd_describe_out,
};
const struct wait_kind task__reading_more = {
    .verb = "reading",
    .describe = task__fd_describe_in,
    .cancel = keep_request,
};
const struct wait_kind task__writing_more = {
    .verb = "writing",
    .describe = task__fd_describe_out,
    .cancel = keep_request,
};
static const struct wait_kind POLLING = {
    .verb = "waiting for",
    .describe = describe_any,
};

int task__fd_wait(struct task *self, struct descriptor *descriptor,
                  short events, const struct wait_kind *kind)
{
    struct loop *loop = loop_of_task(self);
    struct poller *poller = loop->poller;
    struct descriptor_waiter waiter;
    int result;

    if (descriptor_is_busy(descriptor, events))
        return -EBUSY;
    waiter_init(&waiter.waiter, self, kind);
    waiter.wanted = events;
    list_append(&descriptor->waiters, &waiter.waiter.node);
    result = poller->backend->watch(poller, descriptor);
    if (unlikely(result)) {
        list_remove(&waiter.waiter.node);
        if (result == -EPERM)
            descriptor->kind = DESCRIPTOR_FILE;
        return result;
    }
    loop->n_sources++;
    result = task__park(&waiter.waiter);
    loop->n_sources--;
    return result;
}

/* Let the others run, if this one has gone on for long. */
static ALWAYS_INLINE int take_turns(struct task *self,
                                    struct descriptor *descriptor)
{
    if (likely(++descriptor->streak < STREAK))
        return 0;
    descriptor->streak = 0;
    return task__yield(self);
}

ssize_t task__fd_perform(struct task *self, struct descriptor *descriptor,
                         enum direction direction, attempt_fn *attempt,
                         void *operation, const struct wait_kind *kind)
{
    short events = direction == INCOMING ? POLLIN : POLLOUT;
    ssize_t result = take_turns(self, descriptor);

    while (likely(!result)) {
        if (descriptor_is_busy(descriptor, events))
            return -EBUSY;
        if (!descriptor->drained[direction]) {
            do {
                result = attempt(descriptor, operation);
            } while (unlikely(result == -EINTR));
            if (result != -EAGAIN)
                return result;
            descriptor->drained[direction] = !descriptor->hung;
        }
        descriptor->streak = 0;
        result = task__fd_wait(self, descriptor, events, kind);
        if (likely(result > 0))
            result = 0;
    }
    return result;
}

static void forget(struct loop *loop, struct descriptor *descriptor)
{
    struct poller *poller = loop->poller;

    if (descriptor_is_level(descriptor))
        poller->backend->unwatch(poller, descriptor);
    task__descriptor_renew(descriptor);
}

void task__fd_opened(struct loop *loop, int fd, enum descriptor_kind kind)
{
    struct descriptor *descriptor =
        descriptors_find(&loop->poller->descriptors, fd);

    if (!descriptor &&
        task__descriptors_get(&loop->poller->descriptors, fd, &descriptor))
        return;
    forget(loop, descriptor);
    descriptor->kind = (uint8_t)kind;
}

void task__fd_forget(struct loop *loop, int fd)
{
    struct descriptor *descriptor =
        descriptors_find(&loop->poller->descriptors, fd);

    if (descriptor)
        forget(loop, descriptor);
}

int task__fd_observe(struct loop *loop, struct descriptor *descriptor,
                     enum direction direction, struct observer *observer)
{
    struct poller *poller = loop->poller;
    int error;

    descriptor->observers[direction] = observer;
    error = poller->backend->watch(poller, descriptor);
    if (error)
        descriptor->observers[direction] = NULL;
    else
        loop->n_sources++;
    return error;
}

void task__fd_observe_no_more(struct loop *loop, struct descriptor *descriptor,
                              enum direction direction)
{
    struct poller *poller = loop->poller;
    bool was_level = descriptor_is_level(descriptor);

    descriptor->observers[direction] = NULL;
    loop->n_sources--;
    if (!was_level)
        return;
    if (descriptor_is_idle(descriptor))
        poller->backend->unwatch(poller, descriptor);
    else
        poller->backend->watch(poller, descriptor);
}

/* What the descriptor is now, as the kernel says; 0: none of these. */
static NEVER_INLINE int poll_now(int fd, short events)
{
    struct pollfd now = {.fd = fd, .events = events};
    int n;

    do {
        n = poll(&now, 1, 0);
    } while (n < 0 && errno == EINTR);
    if (n < 0)
        return -errno;
    return now.revents & POLLNVAL ? -EBADF : now.revents;
}

/* poll() is asked before and after: whoever waits may leave bytes unread, which
 * no event would tell of. */
static int wait_fd(struct task *self, struct descriptor *descriptor,
                   short events)
{
    for (;;) {
        int result = descriptor_is_busy(descriptor, events)
                         ? -EBUSY
                         : poll_now(descriptor->fd, events);

        if (result)
            return result;
        result = task__fd_wait(self, descriptor, events, &POLLING);
        if (result == -EPERM)
            return events & (POLLIN | POLLOUT);
        if (result < 0)
            return result;
    }
}

int task_wait_fd(int fd, short events)
{
    struct task *self;
    struct descriptor *descriptor;
    int result = task_enter(&self);
    int saved_errno;

    if (result)
        return result;
    if (events & ~(POLLIN | POLLOUT | POLLPRI))
        return -EINVAL;
    saved_errno = errno;
    result = fd_get(self, fd, &descriptor);
    if (!result)
        result = wait_fd(self, descriptor, events);
    fd_restore_errno(self, saved_errno);
    return result;
}

int task_close(int fd)
{
    struct loop *loop = loop_current();
    int saved_errno = errno;
    int result;

    if (loop)
        task__fd_forget(loop, fd);
    result = close(fd) ? -errno : 0;
    errno = saved_errno;
    return result == -EINTR ? 0 : result;
}
