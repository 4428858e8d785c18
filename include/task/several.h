/*
 * several.h: waiting for more than one task, and for one but not at any price.
 *
 * Calls that take an array look at each of its entries, which may be the same
 * task twice, or NULL: that counts as done, with -ENOMEM. They may need memory
 * for n things, up to 8 none (but task_as_completed_begin() always does); a
 * call that fails with -ENOMEM, -EINVAL, -EDEADLK or -EPERM itself leaves all
 * handles with the caller.
 *
 *     task_gather      all, and their statuses       ends the handles
 *     task_race        the first; the rest is cancelled, and awaited
 *     task_await_for   one, for some time; then it is cancelled, and awaited
 *     task_wait        until something has ended     only look: the handles stay,
 *     task_shield      one                           and a cancel ends the
 *     task_as_completed_*   one after the other      waiting only
 */
#ifndef TASK_SEVERAL_H
#define TASK_SEVERAL_H

#include <task/base.h>
#include <task/core.h>
#include <task/scope.h>
#include <task/time.h>

TASK_BEGIN_DECLS

/**
 * What task_wait() waits for.
 */
enum task_until {
    /** All are done. */
    TASK_ALL_DONE,

    /** One is. */
    TASK_FIRST_DONE,

    /** One has failed (not: was cancelled), or all are done. */
    TASK_FIRST_FAILED
};

/**
 * Wait until some or all of several tasks are done.
 *
 * The tasks go on, whatever comes of the waiting, and nothing of it stays with
 * them. Does not count as reading their statuses.
 *
 * @param tasks    @p n handles, which stay the caller's
 * @param n        at least 1
 * @param until    what to wait for
 * @param timeout  nanoseconds; when they are over it returns what is done by
 *                 then. 0 or less only looks; TASK_FOREVER: no limit.
 *
 * Suspends, unless there is nothing to wait for. A cancel ends the waiting
 * only.
 *
 * @return how many entries are done, or
 *         -ECANCELED  a request was waiting, or came before anything,
 *         -EDEADLK    the caller is among the tasks,
 *         -EINVAL     @p n is 0, @p until unknown, or a task is another loop's,
 *         -ENOMEM     out of memory,
 *         -EPERM      called outside a task.
 *
 * Source: asyncio.wait
 */
TASK_SUSPENDS int task_wait(struct task *const tasks[], size_t n,
                            enum task_until until, task_time timeout);

/**
 * Wait for the end of all of several tasks, and end their handles.
 *
 * A failure ends nothing early: the statuses have their places when all are
 * done. Counts as reading them.
 *
 * @param tasks     @p n handles of the caller's; one that is there twice is
 *                  ended once
 * @param n         may be 0
 * @param statuses  is given the status of each entry, unless the call itself
 *                  fails; may be NULL
 *
 * Suspends until all are done. A cancel, also one that was waiting on entry, is
 * passed on to all that are not done; when all are, it returns, and a request
 * that comes then comes next.
 *
 * @return 0           all succeeded, or
 *         -ECANCELED  the caller was cancelled; or a task ended as cancelled,
 *                     and none failed,
 *         -errno      the status of the first, in time, that failed; of those
 *                     done already, the first in the array,
 *         -EDEADLK    a task is the caller, or awaits it, at some remove,
 *         -EINVAL     a task belongs to another loop,
 *         -ENOMEM     out of memory for more than 8: nothing is ended; or an
 *                     entry is NULL,
 *         -EPERM      called outside a task.
 *
 * Source: asyncio.gather
 */
TASK_SUSPENDS int task_gather(struct task *const tasks[], size_t n,
                              int statuses[]);

/**
 * Wait for the first of several tasks to end; cancel and await the others, and
 * end all handles.
 *
 * Of those that are done already, the first in the array wins. Counts as
 * reading all statuses: what the others returned is lost.
 *
 * @param tasks   @p n handles of the caller's; one that is there twice is ended
 *                once
 * @param n       at least 1
 * @param status  is given what the winner returned; may be NULL
 *
 * Suspends until all are done. A cancel before there is a winner, also one that
 * was waiting on entry, is passed on to all; one that comes later comes next.
 *
 * @return the index of the winner, or
 *         -ECANCELED  the caller was cancelled,
 *         -EDEADLK    a task is the caller, or awaits it, at some remove,
 *         -EINVAL     @p n is 0, or a task belongs to another loop,
 *         -ENOMEM     out of memory,
 *         -EPERM      called outside a task.
 *
 * Source: asyncio.staggered, without the delay
 */
TASK_SUSPENDS int task_race(struct task *const tasks[], size_t n, int *status);

/**
 * Wait for a task for some time; then cancel it, wait until it has ended, and
 * end the handle.
 *
 * It never returns before the task has ended, however long that takes.
 *
 * @param task     a handle of the caller's; NULL gives -ENOMEM. It is ended, or
 *                 stays the caller's, as with task_await().
 * @param timeout  nanoseconds; 0 or less: cancelled at once, unless it is done;
 *                 TASK_FOREVER: as task_await()
 *
 * Suspends until the task ends. A cancel of the caller is passed on, as with
 * task_await(); the time limit holds all the same.
 *
 * @return what the task's function returned, or
 *         -ETIMEDOUT  it ended as cancelled because the time was up, and the
 *                     caller was not cancelled,
 *         and as task_await().
 *
 * Source: asyncio.wait_for
 */
TASK_SUSPENDS int task_await_for(struct task *task, task_time timeout);

/**
 * Wait for a task that goes on if the caller is cancelled.
 *
 * Counts as reading the status, if it is returned.
 *
 * @param task  a handle, which stays the caller's; NULL gives -ENOMEM
 *
 * Suspends until the task ends. A cancel of the caller ends the waiting only.
 *
 * @return what the task's function returned, or
 *         -ECANCELED  a request was waiting, or came before the end,
 *         and as task_await().
 *
 * Source: asyncio.shield
 */
TASK_SUSPENDS int task_shield(struct task *task);

/**
 * A walk over tasks in the order in which they end. A scope (scope.h): it nests
 * with others, and has to be ended. It need not be initialised.
 */
struct task_as_completed {
    /* private */
    struct task_scope scope;
    struct task_list completed; /* done, and not yet given */
    void *several;
    size_t n_left; /* not yet given */
    bool is_cancelled;
};

/**
 * Begin a walk.
 *
 * @param it     in the caller's memory, until task_as_completed_end()
 * @param tasks  @p n handles, which stay the caller's. One that is there twice
 *               is given once, NULL not at all.
 * @param n      may be 0
 *
 * @return 0, or
 *         -EALREADY  @p it is open,
 *         -EDEADLK   a task is the caller, or awaits it, at some remove,
 *         -EINVAL    a task belongs to another loop,
 *         -ENOMEM    out of memory,
 *         -EPERM     called outside a task.
 *         A walk that failed to begin gives NULL, and the error at its end.
 *
 * Source: asyncio.as_completed
 */
int task_as_completed_begin(struct task_as_completed *it,
                            struct task *const tasks[], size_t n);

/**
 * Give the next task that is done.
 *
 * Those that were done at the beginning come first, in the order of the array;
 * the others in the order of their ends.
 *
 * @param it  the caller's own
 *
 * Suspends, unless there is one. A cancel ends the waiting only; the walk may
 * go on.
 *
 * @return one of the handles, still the caller's; NULL when all were given, if
 *         the caller was cancelled, or outside the task that began the walk.
 */
TASK_SUSPENDS struct task *task_as_completed_next(struct task_as_completed *it);

/**
 * End a walk, at any point.
 *
 * @param it      the innermost open scope of the calling task
 * @param status  the status so far
 *
 * @return the error of the beginning, if there was one, -EPERM before a fork, by
 *         the parent, or -EALREADY, as task_timeout_end(); else @p status; if that
 *         is 0, -ECANCELED when a task_as_completed_next() was cancelled.
 */
int task_as_completed_end(struct task_as_completed *it, int status);

TASK_END_DECLS

#endif
