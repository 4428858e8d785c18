/*
 * core.h: tasks and futures: create, await, cancel, look at.
 *
 *                 its turn                    the function returns
 *   created ---> ready ---> running ----------------------------> done
 *                  ^           |
 *                  |           | a suspending call
 *          woken   +-- parked <+
 *
 * A handle is a counted reference. The creator owns one; task_await() or
 * task_detach() ends it, task_retain() makes another. A task lives on while it
 * runs, whoever has handles; a done one lives while there is a handle. "A
 * handle" below is any pointer to a task that is alive; where a call ends it,
 * the caller must own it. At the latest the end of its loop ends them all.
 *
 * NULL stands for a task that could not be made: it counts as done, with the
 * status -ENOMEM, and may be passed to every function here.
 *
 * All of it is for the thread of the task's loop, in tasks and in callbacks,
 * and while the loop does not run.
 */
#ifndef TASK_CORE_H
#define TASK_CORE_H

#include <task/base.h>
#include <task/time.h>

TASK_BEGIN_DECLS

/**
 * The smallest stack that may be asked for, in bytes.
 */
#define TASK_STACK_MIN 16384

/**
 * The usable stack of a task for which nothing else was asked, in bytes.
 */
#define TASK_STACK_DEFAULT 65536

/**
 * What task_create_with() may be told about a task. All zero: a task as
 * task_create() makes it.
 */
struct task_options {
    /** The name, copied; NULL: "task-" and the id. */
    const char *name;

    /**
     * Usable bytes of stack, rounded up to pages, and to one of eight sizes
     * from a power of two to the next: tasks of about one size share stacks,
     * and what is not used of one takes no memory. 0: as the loop's option
     * says. Less than TASK_STACK_MIN is an error.
     */
    size_t stack_size;

    /** Run at once, inside the creation, until it first suspends. */
    bool eager;

    /**
     * Serve the others: at the loop's end cancelled only after all that are no
     * daemons have ended, and never named as the reason of a deadlock.
     */
    bool daemon;
};

/**
 * A done callback: runs as any callback of the loop, so it may not suspend.
 *
 * @param task  the task that is done; borrowed for the call
 * @param arg   what was given to task_add_done_callback()
 */
typedef void task_done_fn(struct task *task, void *arg);

/* Creation. */

/**
 * Create a task that will run a function.
 *
 * The function does not run yet: the task goes to the end of the ready queue,
 * and runs in the next turn. It always runs, also when it is cancelled before
 * its first step, so that it can free what @p arg gives it: then its first
 * suspending call returns -ECANCELED.
 *
 * The name is a function, and a macro over it that records the place of the
 * call for reports. `(task_create)(fn, arg)` is the function, which records
 * none.
 *
 * @param fn   the coroutine's body
 * @param arg  passed to @p fn; stays the caller's business
 *
 * @return a handle that the caller owns and ends by task_await() or
 *         task_detach(); or NULL: out of memory or address space, @p fn is
 *         NULL, or no loop runs in this thread (see loop_create_task()), or it
 *         is being freed.
 *
 * Source: asyncio.create_task
 */
struct task *task_create(task_fn *fn, void *arg);

/**
 * Create a task with a name, a stack size, an eager start, or as a daemon.
 *
 * As task_create(), but for an eager task: it runs inside this call, on its own
 * stack and as task_current(), until it ends or first suspends; then the
 * creator goes on, before anything else does. One that ended is done when its
 * handle is returned. In the error hook and in the functions of a task_local it
 * waits for its turn as any other.
 *
 * @param fn       the coroutine's body
 * @param arg      passed to @p fn
 * @param options  copied; NULL or all zero: as task_create()
 *
 * @return as task_create(); NULL also when the stack size is not 0 and less
 *         than TASK_STACK_MIN.
 *
 * Source: asyncio.create_task(name=), asyncio.eager_task_factory
 */
struct task *task_create_with(task_fn *fn, void *arg,
                              const struct task_options *options);

/**
 * Create a task: asyncio's spelling of task_create().
 */
struct task *create_task(task_fn *fn, void *arg);

/**
 * Create a task, with the place that reports will name.
 *
 * What the macros of this header call.
 *
 * @param options  as in task_create_with()
 * @param file     a string that outlives the task; NULL: no place is known
 * @param line     the line in @p file
 *
 * @return as task_create_with().
 */
struct task *task_create_at(task_fn *fn, void *arg,
                            const struct task_options *options,
                            const char *file, int line);

/*
 * The arguments are taken as a whole, so that a compound literal with commas
 * may stand among them.
 */
#define task_create(...) task_create_at(__VA_ARGS__, NULL, __FILE__, __LINE__)
#define task_create_with(...) task_create_at(__VA_ARGS__, __FILE__, __LINE__)
#define create_task(...) task_create_at(__VA_ARGS__, NULL, __FILE__, __LINE__)

/* Handles. */

/**
 * Wait for a task to end, take its status, and end the handle.
 *
 * Several may await one task, each with a handle of its own. They resume in the
 * turn after it ended, in one order with its done callbacks: that of
 * registration. Awaiting counts as reading the status.
 *
 * @param task  a handle of the caller's; NULL gives -ENOMEM. It is ended unless
 *              the call itself fails, with -EDEADLK, -EINVAL or -EPERM. A
 *              task_done() that is still false tells these from a status (ask
 *              by another handle, as this one may be ended). With a task that
 *              was done before, two calls fail: outside of tasks, where
 *              task_current() is NULL, and in another loop than the task's.
 *
 * Suspends until the task ends; a done one is taken at once, also while a
 * request waits, which then comes next. A cancel of the caller is passed on to
 * @p task (and counts there), also one that was waiting on entry; the caller
 * resumes when @p task has ended, with its status, and the request is used up
 * whatever @p task made of it.
 *
 * @return what the task's function returned, or
 *         -ENOMEM   @p task is NULL,
 *         -EDEADLK  the task is the caller, or awaits it, at some remove
 *                   (task_wait() and its kin do not count),
 *         -EINVAL   the task belongs to another loop,
 *         -EPERM    called outside a task.
 *
 * Source: asyncio's `await task`
 */
TASK_SUSPENDS int task_await(struct task *task);

/**
 * End a handle without waiting; the task runs on in the background.
 *
 * If it was the last one, the task is freed when it ends. Should it have failed
 * (a negative status but -ECANCELED), and nobody have read that, then it is
 * reported as LOOP_ERROR_UNAWAITED. Those that are awaiting it still get its
 * status. A future that is not done, and whose last handle this was, is freed.
 *
 * @param task  a handle of the caller's; NULL does nothing
 */
void task_detach(struct task *task);

/**
 * Make another handle of a task.
 *
 * @param task  a handle; or a borrowed pointer, such as task_current() gives
 *
 * @return @p task, which then has one more owner, who ends the handle by
 *         task_await() or task_detach(). NULL if @p task is, or its loop was
 *         inherited over fork.
 */
struct task *task_retain(struct task *task);

/* Outcomes. */

/**
 * Tell whether a task has ended.
 *
 * @return true once its function has returned, or the future was completed or
 *         cancelled; for NULL.
 *
 * Source: asyncio's Task.done
 */
bool task_done(const struct task *task);

/**
 * Look at the status of a task.
 *
 * That of a done task then counts as read: a failure is not reported any more.
 *
 * @return what the task's function returned or the future was completed with,
 *         or
 *         -EINPROGRESS  it is not done (task_done() tells it from a task that
 *                       returned the same),
 *         -ENOMEM       @p task is NULL.
 *
 * Source: asyncio's Task.result
 */
int task_status(const struct task *task);

/**
 * Tell whether a task ended as cancelled.
 *
 * Does not count as reading the status.
 *
 * @return true if it is done and its status is -ECANCELED, whether or not it
 *         was asked to cancel.
 *
 * Source: asyncio's Task.cancelled
 */
bool task_cancelled(const struct task *task);

/* Cancellation. */

/**
 * Ask a task to cancel.
 *
 * Only asks, and never runs the task. The request is delivered once: as
 * -ECANCELED from the suspending call the task is parked in, or from its next
 * one. The calls after that work as ever, so that it may clean up, or ignore
 * the request altogether. Requests made before one is delivered are delivered
 * as one.
 *
 * A task that was woken already, with a result or because its time is up, gets
 * that, and the request with its next suspending call. One that waits for
 * others passes the request on to them, and resumes when they have ended. A
 * future is completed with -ECANCELED at once.
 *
 * @param task  a handle; may be the caller itself; NULL does nothing
 *
 * @return true if the request was made and counted, false if the task was done
 *         (or NULL).
 *
 * Source: asyncio's Task.cancel
 */
bool task_cancel(struct task *task);

/**
 * Count the requests made to a task and not taken back.
 *
 * Their delivery does not change the count.
 *
 * @return the number; 0 for NULL.
 *
 * Source: asyncio's Task.cancelling
 */
unsigned task_cancelling(const struct task *task);

/**
 * Take one request back.
 *
 * When none is left, one that was not acted upon is retracted: it will not be
 * delivered. One that has woken the task will.
 *
 * @return how many are left; 0, and nothing done, if there was none, or for
 *         NULL.
 *
 * Source: asyncio's Task.uncancel (of 3.13)
 */
unsigned task_uncancel(struct task *task);

/**
 * Cancel a task, wait until it has ended, and end the handle.
 *
 * A task that is done already is awaited only.
 *
 * @param task  a handle of the caller's; NULL gives -ENOMEM. It is ended, or
 *              stays the caller's, as with task_await(). A call that fails
 *              itself has not cancelled the task.
 *
 * Suspends until the task ends. A cancel of the caller is passed on, as with
 * task_await().
 *
 * @return what the task's function returned: -ECANCELED if it heeded the
 *         request; or
 *         -ENOMEM   @p task is NULL,
 *         -EDEADLK  the task is the caller, or awaits it, at some remove,
 *         -EINVAL   the task belongs to another loop,
 *         -EPERM    called outside a task.
 */
TASK_SUSPENDS int task_cancel_await(struct task *task);

/* Identity. */

/**
 * Give the task that is running.
 *
 * @return a borrowed pointer, for task_retain() to make a handle of; NULL
 *         outside a task: in a callback, or where no loop runs.
 *
 * Source: asyncio.current_task
 */
struct task *task_current(void);

/**
 * Give the number of a task.
 *
 * @return its number in its loop, in the order of creation, futures included,
 *         from 1; never used twice. 0 for NULL.
 */
uint64_t task_id(const struct task *task);

/**
 * Give the name of a task.
 *
 * @return the name that was given, or "task-" and the id; owned by the task,
 *         and valid as long as the handle, until the next task_set_name().
 *         "task" when there is no memory for it; an empty string for NULL.
 *
 * Source: asyncio's Task.get_name
 */
const char *task_name(const struct task *task);

/**
 * Give a task another name.
 *
 * @param task  a handle; NULL does nothing
 * @param name  any length and bytes; copied; NULL: "task-" and the id. When
 *              there is no memory for the copy, the old name stays.
 *
 * Source: asyncio's Task.set_name
 */
void task_set_name(struct task *task, const char *name);

/* Done callbacks. */

/**
 * Have a function called when a task has ended.
 *
 * It is called once, in the turn after the task ended, in one order with those
 * that await the task: that of registration. On a task that is done already it
 * is called in the next turn. The same pair added twice is called twice. The
 * call does not count as reading the status; a task_status() in it does.
 *
 * At the end of the loop those run that are due, unless tasks are dropped then
 * (LOOP_ERROR_SHUTDOWN). What the last ones create is ended like other tasks;
 * and the callbacks of that find a loop in which nothing can be made any more
 * (loop_free()).
 *
 * @param task  a handle; it may be ended before the callback runs
 * @param fn    called as a callback of the loop: it may not suspend
 * @param arg   passed to @p fn
 *
 * @return 0, or
 *         -EINVAL  @p fn is NULL,
 *         -ENOMEM  out of memory, or @p task is NULL,
 *         -ESHUTDOWN
 *                  the loop is being freed,
 *         -EPERM   the loop was inherited over fork.
 *
 * Source: asyncio's Task.add_done_callback
 */
int task_add_done_callback(struct task *task, task_done_fn *fn, void *arg);

/**
 * Remove every done callback with this function and argument.
 *
 * Those that are queued and have not run are removed as well.
 *
 * @return how many were removed, or
 *         -EPERM  the loop was inherited over fork.
 *
 * Source: asyncio's Task.remove_done_callback
 */
int task_remove_done_callback(struct task *task, task_done_fn *fn, void *arg);

/* Futures. */

/**
 * Create a future: a handle that nobody runs, to be completed by hand.
 *
 * It is awaited, cancelled, retained and named like a task, costs no stack, and
 * does not keep a loop running. Whoever completes it needs a handle too.
 *
 * A function and a macro over it, as task_create().
 *
 * @return a handle that the caller owns and ends by task_await() or
 *         task_detach(); or NULL: out of memory, or no loop runs in this
 *         thread, or it is being freed.
 *
 * Source: asyncio's loop.create_future
 */
struct task *task_future_create(void);

/**
 * Create a future, with the place that reports will name.
 *
 * @param file  a string that outlives the future; NULL: no place is known
 * @param line  the line in @p file
 *
 * @return as task_future_create().
 */
struct task *task_future_create_at(const char *file, int line);

#define task_future_create() task_future_create_at(__FILE__, __LINE__)

/**
 * Complete a future.
 *
 * Those that await it are woken, and its done callbacks called, in the next
 * turn. A negative status that nobody reads is reported like a failed task's.
 *
 * @param future  a handle, which stays with the caller
 * @param status  any; -ECANCELED makes it *cancelled*
 *
 * @return 0, or
 *         -EALREADY  it was completed or cancelled before,
 *         -EPERM     it is the task of a coroutine, or its loop was inherited
 *                    over fork,
 *         -ENOMEM    @p future is NULL.
 *
 * Source: asyncio's Future.set_result, Future.set_exception
 */
int task_future_complete(struct task *future, int status);

TASK_END_DECLS

#endif
