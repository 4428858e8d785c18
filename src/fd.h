/*
 * How a task waits for a descriptor, and makes a system call again and again
 * until it need not wait.
 */
#ifndef TASK_SRC_FD_H
#define TASK_SRC_FD_H

#include "loop.h"

#include <sys/types.h>
#include <task/io.h>

/*
 * A system call that does not block: what it returned, or a negative errno;
 * -EAGAIN: it has to wait; -EINTR: again at once.
 */
typedef ssize_t attempt_fn(struct descriptor *descriptor, void *operation);

/*
 * errno is kept over every call. Its place is the thread's, which may be
 * another one when the task goes on: so what touches it after a wait is not
 * inlined into what did before.
 */
static inline void fd_restore_errno(const struct task *self, int saved)
{
    *self->scheduler->errno_location = saved;
}

/* What a system call has just failed with, as a negative errno: of the thread
 * that runs now. */
int task__fd_error(void);

static ALWAYS_INLINE int fd_errno(const struct task *self)
{
    return *self->scheduler->errno_location;
}

/* The result of a public call, told of if it is that two wait for the same. */
static ALWAYS_INLINE ssize_t fd_tell_busy(int fd, ssize_t result,
                                          const char *call)
{
    return unlikely(result == -EBUSY)
               ? task__misuse_of(NULL, site_here(call), -EBUSY,
                                 "others wait for the same descriptor", fd,
                                 NULL, 0)
               : result;
}

/* What can be waited for; POLLERR and POLLHUP are told of anyway, and may be
 * asked for, as in poll(). */
enum {
    FD_EVENTS = POLLIN | POLLOUT | POLLPRI | POLLRDHUP,
    FD_EVENTS_ASKED = FD_EVENTS | POLLERR | POLLHUP
};

/* Whether it was closed, and is open for the sake of jobs only. */
bool task__fd_is_closing(const struct descriptor *descriptor);

/* The entry of a number; -EBADF, -ENOMEM. */
static ALWAYS_INLINE int fd_get(struct loop *loop, int fd,
                                struct descriptor **descriptor)
{
    struct descriptors *table = &loop->poller->descriptors;

    *descriptor = descriptors_find(table, fd);
    if (unlikely(!*descriptor))
        return task__descriptors_get(table, fd, descriptor);
    return unlikely((*descriptor)->is_closing) &&
                   task__fd_is_closing(*descriptor)
               ? -EBADF
               : 0;
}

/*
 * Suspend until any of these events, or POLLERR or POLLHUP, is told of. Nobody
 * may wait for them yet. Returns those that were told of, which may turn out to
 * be in vain; or -EBADF; -ECANCELED; -EPERM: it cannot be waited for, and is
 * always ready; -ENOMEM, -ENOSPC.
 */
int task__fd_wait(struct task *self, struct descriptor *descriptor,
                  short events, const struct wait_kind *kind);

/* The same, unless they have come already, and until one really has: -EBUSY:
 * somebody waits for them; -EOPNOTSUPP: they never come. */
int task__fd_wait_surely(struct task *self, struct descriptor *descriptor,
                         short events, const struct wait_kind *kind);

/*
 * The parts of a wait: stand in the list with a waiter, of which nobody else
 * waits for the events; and, when it is off the list, be done. In between the
 * task parks. The result as of task__fd_wait; with an error there was no wait.
 */
int task__fd_enter(struct task *self, struct descriptor *descriptor,
                   struct descriptor_waiter *waiter, short events,
                   const struct wait_kind *kind);
void task__fd_leave(struct loop *loop, struct descriptor *descriptor);

/* What a descriptor is ready for, of these; 0: for none; a negative errno. */
int task__fd_poll(int fd, short events);

/*
 * Whether a socket that there is nothing to be taken from was shut down for
 * reading; an event has told of it before. Calls that do not wait answer
 * -EAGAIN for ever then, where it is no stream, or listens locally; those that
 * wait end.
 */
bool task__fd_is_shut(int fd);
static ALWAYS_INLINE bool fd_is_shut(const struct descriptor *descriptor)
{
    return unlikely(descriptor->hung) && task__fd_is_shut(descriptor->fd);
}

/* Whether nobody waits for any of these: 0; -EBUSY; -EBADF. Whoever waits for a
 * file that was closed, while the number is another one now, has to go. */
int task__fd_check_free(struct loop *loop, struct descriptor *descriptor,
                        short events);

/* The same for anything. */
int task__fd_check_idle(struct loop *loop, struct descriptor *descriptor);

/* A task that never has to wait lets the others run after so many calls. */
enum { FD_STREAK = 64 };

/* Let them. 0; -ECANCELED; -EBADF: the number was closed meanwhile. `kind`: of
 * the wait that this stands for. */
int task__fd_step_aside(struct task *self, struct descriptor *descriptor,
                        const struct wait_kind *kind);

/* The same, if this one has gone on for long, by as much as so many calls more:
 * at most 3 * FD_STREAK. */
static ALWAYS_INLINE int fd_take_turns(struct task *self,
                                       struct descriptor *descriptor,
                                       size_t n_calls,
                                       const struct wait_kind *kind)
{
    descriptor->streak = (uint8_t)(descriptor->streak + n_calls);
    return likely(descriptor->streak < FD_STREAK)
               ? 0
               : task__fd_step_aside(self, descriptor, kind);
}

/*
 * Attempt it, whatever signals come. `was_told`: an event has told that it is
 * ready. That it was told so in vain may mean that the event was another
 * file's: then it is doubtful. (An error alone may stay: what is in a socket's
 * error queue.)
 */
static ALWAYS_INLINE ssize_t fd_attempt(struct descriptor *descriptor,
                                        enum direction direction,
                                        attempt_fn *attempt, void *operation,
                                        bool was_told)
{
    ssize_t result;

    do {
        result = attempt(descriptor, operation);
    } while (unlikely(result == -EINTR));
    if (unlikely(result == -EAGAIN)) {
        descriptor->drained[direction] = !descriptor->hung;
        descriptor->is_doubtful |= was_told;
    }
    return result;
}

/* Attempt it until it need not wait. `was_told`: of the first attempt. */
ssize_t task__fd_perform(struct task *self, struct descriptor *descriptor,
                         enum direction direction, attempt_fn *attempt,
                         void *operation, const struct wait_kind *kind,
                         bool was_told);

/* One that is drained: wait, unless something stands in the way. 1: an event
 * has told that it is ready; 0: it has not, or there was no wait; or a negative
 * errno. */
int task__fd_wait_drained(struct task *self, struct descriptor *descriptor,
                          enum direction direction,
                          const struct wait_kind *kind);

/* Whether nothing stands in the way: its kind is known, and nobody else
 * waits. */
static ALWAYS_INLINE bool fd_is_free(const struct descriptor *descriptor)
{
    return descriptor_is_idle(descriptor) &&
           descriptor->kind != DESCRIPTOR_UNKNOWN;
}

/* The same, quickly where nothing stands in the way: to wait is out of line,
 * the attempt is not. */
static ALWAYS_INLINE ssize_t fd_perform(struct task *self,
                                        struct descriptor *descriptor,
                                        enum direction direction,
                                        attempt_fn *attempt, void *operation,
                                        const struct wait_kind *kind)
{
    int was_told = 0;

    if (descriptor->drained[direction]) {
        was_told = task__fd_wait_drained(self, descriptor, direction, kind);
        if (unlikely(was_told < 0))
            return was_told;
    }
    if (likely(!descriptor->drained[direction] && fd_is_free(descriptor) &&
               descriptor->streak < FD_STREAK - 1)) {
        ssize_t result =
            fd_attempt(descriptor, direction, attempt, operation, was_told);

        descriptor->streak++;
        if (likely(result != -EAGAIN))
            return result;
    }
    return task__fd_perform(self, descriptor, direction, attempt, operation,
                            kind, was_told);
}

/* What a number stands for is known again by this; 0: it is closed. errno is
 * not kept. */
uint64_t task__fd_inode(int fd);

/* An error that came after some bytes is told by the next call, unless the
 * number has become another open file. */
void task__fd_keep_error(struct descriptor *descriptor,
                         enum direction direction, int error);
int task__fd_take_error(struct descriptor *descriptor,
                        enum direction direction);

static ALWAYS_INLINE int fd_take_error(struct descriptor *descriptor,
                                       enum direction direction)
{
    return unlikely(descriptor->errors[direction])
               ? task__fd_take_error(descriptor, direction)
               : 0;
}

/* A number that has just been opened by us, and what it is. */
void task__fd_opened(struct loop *loop, int fd, enum descriptor_kind kind);

/* A number that is going to be closed, or given away. */
void task__fd_forget(struct loop *loop, int fd);

/*
 * What a worker thread does with a number, or is going to: begun before it is
 * handed over, and ended by its task. If task_close() comes meanwhile, what no
 * worker has taken ends with -EBADF; whoever has may be about to use the
 * number, which stays open until then.
 */
struct fd_job {
    struct task *task;
    struct descriptor *descriptor;
    struct list_node node;
};
void task__fd_begin_job(struct task *self, struct descriptor *descriptor,
                        struct fd_job *job);
void task__fd_end_job(struct fd_job *job);

/* What task_close() does in a loop: 0, or a negative errno. */
int task__fd_close(struct loop *loop, int fd);

/* Watch it, or no more; 0, or a negative errno as task__fd_wait, and what was
 * there before stays. One that takes the place of another is counted once. */
int task__fd_observe(struct loop *loop, struct descriptor *descriptor,
                     enum direction direction, struct observer *observer);
void task__fd_observe_no_more(struct loop *loop, struct descriptor *descriptor,
                              enum direction direction);

/* How tasks that read and write wait. Those that want more have moved some
 * bytes: a request ends the wait, and comes next. */
extern const struct wait_kind task__reading;
extern const struct wait_kind task__writing;
extern const struct wait_kind task__reading_more;
extern const struct wait_kind task__writing_more;

/* And those that wait for any events. */
extern const struct wait_kind task__polling;

/* What any kind of wait for one may say of it. */
void task__fd_describe_in(const struct waiter *waiter, struct text *text);
void task__fd_describe_out(const struct waiter *waiter, struct text *text);

#endif
