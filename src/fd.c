/*
 * Waiting for descriptors.
 */
#include "fd.h"

#include "switch.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

COLD int task__fd_error(void)
{
    return -errno;
}

/* A request that came after the task was woken, which turned out to be in
 * vain. */
static COLD int take_request(struct task *self, const struct wait_kind *kind)
{
    if (!kind->cancel)
        task_take_requests(self);
    return -ECANCELED;
}

/* task__fd_enter, inline; and so its kin. */
static ALWAYS_INLINE int enter(struct task *self, struct descriptor *descriptor,
                               struct descriptor_waiter *waiter, short events,
                               const struct wait_kind *kind)
{
    struct poller *poller = loop_of_task(self)->poller;
    int error;

    waiter_init(&waiter->waiter, self, kind);
    waiter->wanted = events;
    waiter->is_sure = false;
    list_append(&descriptor->waiters, &waiter->waiter.node);
    error = likely(poller_watches(poller, descriptor))
                ? 0
                : poller->backend->watch(poller, descriptor);
    if (unlikely(error)) { /* no event tells of anything: to try is not vain */
        list_remove(&waiter->waiter.node);
        memset(descriptor->drained, 0, sizeof descriptor->drained);
        return error;
    }
    loop_of_task(self)->n_sources++;
    descriptor_enter(&poller->descriptors, descriptor);
    return 0;
}

int task__fd_enter(struct task *self, struct descriptor *descriptor,
                   struct descriptor_waiter *waiter, short events,
                   const struct wait_kind *kind)
{
    return enter(self, descriptor, waiter, events, kind);
}

static ALWAYS_INLINE void leave_wait(struct loop *loop,
                                     struct descriptor *descriptor)
{
    descriptor_leave(&loop->poller->descriptors, descriptor);
    loop->n_sources--;
}

void task__fd_leave(struct loop *loop, struct descriptor *descriptor)
{
    leave_wait(loop, descriptor);
}

static ALWAYS_INLINE int wait_for(struct task *self,
                                  struct descriptor *descriptor, short events,
                                  const struct wait_kind *kind)
{
    struct descriptor_waiter waiter;
    int result;

    if (unlikely(self->undelivered))
        return take_request(self, kind);
    result = enter(self, descriptor, &waiter, events, kind);
    if (likely(!result)) {
        prefetch_frames(self->scheduler->batch);
        result = waiter_park(&waiter.waiter);
        leave_wait(loop_of_task(self), descriptor);
    } else if (result == -EPERM) {
        descriptor->kind = DESCRIPTOR_FILE;
    }
    return result;
}

int task__fd_wait(struct task *self, struct descriptor *descriptor,
                  short events, const struct wait_kind *kind)
{
    return wait_for(self, descriptor, events, kind);
}

/* Have those go that wait for a file that was closed. 0; -EBADF. */
static int doubt(struct loop *loop, struct descriptor *descriptor)
{
    struct poller *poller = loop->poller;

    descriptor->is_doubtful = true;
    if (poller->backend->watch(poller, descriptor) != -EBADF)
        return 0;
    task__descriptor_lose(descriptor);
    return -EBADF;
}

int task__fd_check_free(struct loop *loop, struct descriptor *descriptor,
                        short events)
{
    if (!descriptor_is_busy(descriptor, events))
        return 0;
    if (doubt(loop, descriptor))
        return -EBADF;
    return descriptor_is_busy(descriptor, events) ? -EBUSY : 0;
}

int task__fd_check_idle(struct loop *loop, struct descriptor *descriptor)
{
    if (descriptor_is_idle(descriptor))
        return 0;
    if (doubt(loop, descriptor))
        return -EBADF;
    return descriptor_is_idle(descriptor) ? 0 : -EBUSY;
}

static ALWAYS_INLINE int check_free(struct loop *loop,
                                    struct descriptor *descriptor, short events)
{
    return likely(descriptor_is_idle(descriptor))
               ? 0
               : task__fd_check_free(loop, descriptor, events);
}

COLD int task__fd_step_aside(struct task *self, struct descriptor *descriptor,
                             const struct wait_kind *kind)
{
    uint32_t uses = descriptor->uses;

    descriptor->streak = 0;
    task__step_aside(self);
    if (unlikely(self->undelivered))
        return take_request(self, kind);
    return descriptor->uses == uses ? 0 : -EBADF;
}

/* After a wait: -EBADF: the number has been closed since. What is known of it
 * may be known no more: -EPERM: it is always ready. */
static ALWAYS_INLINE int look_again(struct descriptor *descriptor,
                                    uint32_t uses)
{
    int error;

    if (unlikely(descriptor->uses != uses))
        return -EBADF;
    if (likely(descriptor->kind != DESCRIPTOR_UNKNOWN))
        return 0;
    error = task__descriptor_classify_again(descriptor);
    return !error && descriptor->kind == DESCRIPTOR_FILE ? -EPERM : error;
}

static short events_of(enum direction direction)
{
    return direction == INCOMING ? POLLIN : POLLOUT;
}

int task__fd_wait_drained(struct task *self, struct descriptor *descriptor,
                          enum direction direction,
                          const struct wait_kind *kind)
{
    short events = events_of(direction);
    uint32_t uses = descriptor->uses;
    int result;

    if (unlikely(!fd_is_free(descriptor)))
        return 0;
    descriptor->streak = 0;
    result = wait_for(self, descriptor, events, kind);
    if (unlikely(result < 0))
        return result;
    return likely(descriptor->uses == uses) ? (result & events) != 0 : -EBADF;
}

ssize_t task__fd_perform(struct task *self, struct descriptor *descriptor,
                         enum direction direction, attempt_fn *attempt,
                         void *operation, const struct wait_kind *kind,
                         bool was_told)
{
    short events = events_of(direction);
    struct loop *loop = loop_of_task(self);
    uint32_t uses = descriptor->uses;
    ssize_t result = fd_take_turns(self, descriptor, 1, kind);

    while (likely(!result)) {
        result = look_again(descriptor, uses);
        if (likely(!result))
            result = check_free(loop, descriptor, events);
        if (unlikely(result))
            return result;
        if (!descriptor->drained[direction]) {
            result =
                fd_attempt(descriptor, direction, attempt, operation, was_told);
            if (result != -EAGAIN)
                return result;
        }
        descriptor->streak = 0;
        result = task__fd_wait(self, descriptor, events, kind);
        was_told = result > 0 && (result & events);
        if (likely(result > 0))
            result = 0;
    }
    return result;
}

uint64_t task__fd_inode(int fd)
{
    struct stat stat;

    return fstat(fd, &stat) ? 0 : (uint64_t)stat.st_ino;
}

void task__fd_keep_error(struct descriptor *descriptor,
                         enum direction direction, int error)
{
    descriptor->errors[direction] = (int16_t)error;
    descriptor->inode = task__fd_inode(descriptor->fd);
}

COLD int task__fd_take_error(struct descriptor *descriptor,
                             enum direction direction)
{
    int error = descriptor->errors[direction];

    descriptor->errors[direction] = 0;
    return descriptor->inode == task__fd_inode(descriptor->fd) ? error : 0;
}

int task__fd_observe(struct loop *loop, struct descriptor *descriptor,
                     enum direction direction, struct observer *observer)
{
    struct poller *poller = loop->poller;
    struct observer *former = descriptor->observers[direction];
    int error;

    task__descriptor_observe(descriptor, direction, observer);
    error = poller->backend->watch(poller, descriptor);
    if (error)
        task__descriptor_observe(descriptor, direction, former);
    else
        loop->n_sources += !former;
    return error;
}

void task__fd_observe_no_more(struct loop *loop, struct descriptor *descriptor,
                              enum direction direction)
{
    struct poller *poller = loop->poller;
    bool was_level = descriptor_is_level(descriptor);

    task__descriptor_observe(descriptor, direction, NULL);
    loop->n_sources--;
    if (!was_level)
        return;
    if (descriptor_is_idle(descriptor))
        poller->backend->unwatch(poller, descriptor);
    else
        poller->backend->watch(poller, descriptor);
}
