/*
 * scope.h: parts of a task's run that end together: time-outs and groups.
 *
 * A scope is a struct in the caller's memory, begun and ended in one function:
 *
 *     task_timeout_begin(&timeout, 2 * TASK_SECOND);
 *     status = talk(peer);
 *     status = task_timeout_end(&timeout, status);
 *
 * Its end receives the status so far and returns the one to go on with. Scopes
 * nest strictly, and belong to the task that began them: one that is ended out
 * of order, twice or by another task, or left open by a task that ends, cannot
 * go on: a sentence on stderr, then abort(). What is wrong with a begin (it was
 * called outside a task, or on a scope that is open) is remembered, and
 * returned by its end.
 *
 * A scope cancels its own task by a request of its own, and takes that back at
 * its end: task_cancelling() is then what it was, plus the requests that came
 * from outside. When a scope turns an outside request's -ECANCELED into another
 * status, that request is delivered once more by the next suspending call.
 */
#ifndef TASK_SCOPE_H
#define TASK_SCOPE_H

#include <task/base.h>
#include <task/core.h>
#include <task/time.h>

TASK_BEGIN_DECLS

/* What every scope begins with. */
struct task_scope {
    /* private */
    struct task_scope *outer;
    struct task *task;   /* who began it */
    task_time deadline;  /* TASK_FOREVER: none */
    unsigned cancelling; /* of the task, at the beginning */
    unsigned heard;      /* of these, what had been delivered then */
    uint32_t deliveries; /* likewise */
    uint32_t before; /* while there are so many its request is undelivered */
    uint64_t began;  /* how many scopes of the loop's had asked then */
    uint64_t asked;  /* likewise: when it did */
    int error;       /* of its beginning */
    unsigned char state;
    bool asks;          /* it has asked its task to end */
    unsigned again;     /* how often it was begun while it was open */
    unsigned elsewhere; /* likewise: by others than its task */
};

/* Time-outs. */

/**
 * A time limit for a part of a task's run. It need not be initialised.
 */
struct task_timeout {
    /* private */
    struct task_scope scope;
    struct task_timer timer;
    bool is_expired;
};

/**
 * Begin a part that has a time limit.
 *
 * When the time is up and the part has not ended, its task is asked to cancel,
 * once: the suspending call that it is parked in, or the next one, returns
 * -ECANCELED. A part that does not suspend is not stopped.
 *
 * @param timeout  in the caller's memory, until its end
 * @param delay    nanoseconds from now; 0 or less: the time is up when the loop
 *                 looks at its timers next; TASK_FOREVER: no limit
 *
 * Source: asyncio.timeout
 */
void task_timeout_begin(struct task_timeout *timeout, task_time delay);

/**
 * Begin a part that has to be over at a point in time.
 *
 * As task_timeout_begin(), but absolute.
 *
 * @param when  on the clock of loop_time(); TASK_FOREVER: no limit
 *
 * Source: asyncio.timeout_at
 */
void task_timeout_begin_at(struct task_timeout *timeout, task_time when);

/**
 * End a part that has a time limit.
 *
 * Its timer is gone, and its own request taken back, delivered or not.
 *
 * @param timeout  the innermost open scope of the calling task
 * @param status   what the part came to
 *
 * Where outer scopes have asked as well, together with this one, the next
 * suspending call returns -ECANCELED once more, unless their ends come first:
 * whoever goes on after the inner end does not miss the outer deadline.
 *
 * @return @p status, or
 *         -ETIMEDOUT  it is -ECANCELED, and the expiry of this scope alone is
 *                     the cause: no outer scope's, and no request from outside,
 *         -EPERM      it was begun outside a task, or before a fork, by the
 *                     parent,
 *         -EALREADY   it was begun while it was open; this ends that beginning.
 *
 * Source: asyncio's Timeout.__aexit__
 */
int task_timeout_end(struct task_timeout *timeout, int status);

/**
 * Set another deadline.
 *
 * It takes effect at once, whoever calls it: earlier, later, or none.
 *
 * @param timeout  an open scope, of any task of the running loop
 * @param when     on the clock of loop_time(); TASK_FOREVER: no limit
 *
 * @return 0, or
 *         -EINVAL  it has expired, or is not open: nothing changed.
 *
 * Source: asyncio's Timeout.reschedule
 */
int task_timeout_reschedule(struct task_timeout *timeout, task_time when);

/**
 * Tell whether a time limit was hit.
 *
 * @param timeout  open or ended
 *
 * @return true if its task was asked to cancel, as its time was up. A part that
 *         has ended before the loop saw that has not hit its limit.
 *
 * Source: asyncio's Timeout.expired
 */
bool task_timeout_expired(const struct task_timeout *timeout);

/**
 * Tell when the calling task has to be done at the latest.
 *
 * @return the nearest deadline of all time-outs that are open in it, which may
 *         have passed; TASK_FOREVER if there is none, and outside a task.
 *
 * Source: trio.current_effective_deadline
 */
task_time task_deadline(void);

/* Groups. */

enum {
    /** How many failures a group keeps. */
    TASK_GROUP_FAILURES = 8
};

/**
 * A failure in a group.
 */
struct task_failure {
    /** The number of the task that failed, and what it returned. */
    uint64_t id;
    int status;

    /** Its name, shortened to fit. */
    char name[32];
};

/**
 * Children that do not outlive the scope that they are created in. All zero is
 * ready; it need not be initialised, unless it is cancelled before it begins.
 */
struct task_group {
    /* private */
    struct task_scope scope;
    struct task_list children;
    size_t n_children;
    void *waiter;     /* of the owner, while it waits in _end */
    void *early;      /* the group itself: cancelled before it began */
    int failure;      /* the first child's */
    bool is_ending;   /* its owner is in _end */
    bool is_aborting; /* no more children */
    bool is_asked;    /* its owner was asked to end while in _end */
    size_t n_failures;
    struct task_failure failures[TASK_GROUP_FAILURES];
};

/**
 * Begin a group.
 *
 * When a child fails, or task_group_cancel() is called, the other children and
 * the part of the owner between begin and end are cancelled, once, and no more
 * children can be made. A child that ends as cancelled is no failure.
 * Whoever awaits a child that fails is given its status; the group's request
 * comes next.
 *
 * @param group  in the caller's memory, until its end
 *
 * Source: asyncio.TaskGroup
 */
void task_group_begin(struct task_group *group);

/**
 * Start a child, without a handle.
 *
 * It is forgotten when it ends. A function and a macro over it, as
 * task_create().
 *
 * @param group  an open group, of any task of the running loop; also while its
 *               owner waits in task_group_end()
 * @param fn     the child's body
 * @param arg    passed to @p fn
 *
 * @return 0, or
 *         -ESHUTDOWN  the group is ending after a failure or a cancel: @p fn
 *                     never runs,
 *         -EINVAL     @p fn is NULL, or the group is not open, or of another
 *                     loop,
 *         -ENOMEM     out of memory or address space,
 *         -EPERM      no loop runs in this thread.
 *
 * Source: asyncio's TaskGroup.create_task
 */
int task_group_start(struct task_group *group, task_fn *fn, void *arg);

/**
 * Create a child, with a handle.
 *
 * As task_group_start().
 *
 * @return a handle that the caller owns and ends by task_await() or
 *         task_detach(), and which may outlive the group; NULL for each of the
 *         errors of task_group_start().
 */
struct task *task_group_create(struct task_group *group, task_fn *fn,
                               void *arg);

/**
 * Create a child, with the place that reports will name.
 *
 * What the macros of this header call.
 *
 * @param file  a string that outlives the task; NULL: no place is known
 * @param line  the line in @p file
 *
 * @return as task_group_create().
 */
struct task *task_group_create_at(struct task_group *group, task_fn *fn,
                                  void *arg, const char *file, int line);

/**
 * Start a child, with the place that reports will name: as
 * task_group_create_at(), and returns as task_group_start().
 */
int task_group_start_at(struct task_group *group, task_fn *fn, void *arg,
                        const char *file, int line);

#define task_group_start(...)                                                  \
    task_group_start_at(__VA_ARGS__, __FILE__, __LINE__)
#define task_group_create(...)                                                 \
    task_group_create_at(__VA_ARGS__, __FILE__, __LINE__)

/**
 * Cancel what is in a group, and the part of its owner that it spans.
 *
 * The group then ends with 0, unless something failed or the owner was
 * cancelled from outside. Called again it does nothing; before the begin of a
 * zeroed group it takes effect at the begin; after its end it does nothing. (A
 * group that was cancelled early and will not begin is to be zeroed before its
 * memory goes: else another one that begins there may be taken for it.)
 *
 * @param group  a group
 *
 * Source: asyncio's TaskGroup.cancel (of 3.15)
 */
void task_group_cancel(struct task_group *group);

/**
 * End a group: wait until every child has ended.
 *
 * Children may still be made meanwhile, unless something failed. A negative
 * @p status cancels the children that are left.
 *
 * @param group   the innermost open scope of the calling task
 * @param status  what the part of the owner came to
 *
 * Suspends while there are children. A cancel, also one that was waiting on
 * entry while there are children, is passed on to them; one that comes when all
 * have ended comes next.
 *
 * @return the owner's own failure, if @p status is one (negative, and not
 *         -ECANCELED); else the status of the first child that failed; else
 *         -ECANCELED  the owner was cancelled from outside,
 *         0           @p status is -ECANCELED because of task_group_cancel();
 *         else @p status; or
 *         -EPERM      it was begun outside a task, or before a fork, by the
 *                     parent,
 *         -EALREADY   it was begun while it was open; this ends that beginning.
 *
 * Source: asyncio's TaskGroup.__aexit__
 */
TASK_SUSPENDS int task_group_end(struct task_group *group, int status);

/**
 * List what failed in a group.
 *
 * The children that failed, and the owner's part if it did, in the order of
 * time. Valid until the group is begun again.
 *
 * @param group  a group that was begun
 * @param out    is filled with up to @p n of the first TASK_GROUP_FAILURES; may
 *               be NULL if @p n is 0
 * @param n      the room in @p out
 *
 * @return how many there were in all.
 *
 * Source: asyncio's ExceptionGroup.exceptions
 */
size_t task_group_failures(const struct task_group *group,
                           struct task_failure out[], size_t n);

TASK_END_DECLS

#endif
