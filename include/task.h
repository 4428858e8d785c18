/*
 * task.h: tasks and an event loop for C, in the manner of asyncio.
 *
 * This brings in every part; each is a header of its own. The rules below hold
 * in all of them, and are not repeated at every declaration.
 *
 * Errors. An `int` or `ssize_t` is >= 0 for success and a negative errno for
 * failure. `errno` is never part of a result (it is kept for each task all the
 * same). A function that gives a handle gives NULL when it cannot: out of
 * memory or address space, or for a reason that its comment names. Outputs stay
 * untouched on failure. Misuse returns -EPERM (not in a task, not the owner, a
 * loop inherited over fork), -EINVAL (a NULL function, another loop's task, a
 * bad number), -EDEADLK (would wait for itself), -EBUSY or -EALREADY. Only
 * where scopes are closed out of order (scope.h) can nothing go on: a sentence
 * on stderr, then abort(). Else the library neither exits nor prints, but by
 * the default error hook.
 *
 * Suspension. What is marked TASK_SUSPENDS may switch to other tasks; nothing
 * else does. Outside a task (in a callback, in a thread without a loop) it
 * returns -EPERM. Waiting for one thing allocates nothing and so cannot run out
 * of memory.
 *
 * Cancellation. task_cancel() asks; the request is delivered once, as
 * -ECANCELED from the suspending call the task is parked in, or from its next
 * one: every suspending call but the await of a done task delivers a waiting
 * request before it takes anything, also if it would not have to wait. Calls
 * after the delivery work as ever. What has been granted is delivered: a task
 * that was woken with a result, an item, a time-out gets that, and the request
 * "comes next", from its next suspending call. A task that waits for others
 * passes the request on to them, each task counting it, and resumes when they
 * have ended; a request that they swallow does not come again. A task that was
 * created always runs, also if it is cancelled before. Its status is exactly
 * what its function returned: *cancelled* means -ECANCELED, *failed* any other
 * negative one.
 *
 * Ownership. task_create() gives a handle that its caller owns, and ends by
 * task_await() or task_detach(); a call that fails itself leaves it with the
 * caller. NULL counts as a done task with -ENOMEM, so that
 * `task_await(task_create(fn, arg))` needs no check. A failure that nobody read
 * is reported once, when the last handle ends. What is left when a loop is
 * freed is cancelled, run to its end, and freed with all its handles. Names are
 * copied; `arg` pointers are never looked at.
 *
 * Order. Ready tasks and callbacks run first in, first out, in turns (loop.h).
 * Timers fire in the order of their deadlines, equal ones in the order in which
 * they were set, never early. Creating a task does not run it, unless it was
 * asked to start eagerly. Those that await a task and its done callbacks are
 * served in the order of registration, in the turn after it ended.
 *
 * Zero is ready. Locks, events, queues and their kin lie in the caller's
 * memory; all zero is a ready one where no number is needed, else there is an
 * initialiser and an _init call. The _destroy of one that is waited on gives
 * -EBUSY.
 *
 * Time. Nanoseconds. A time-out is relative; 0 or less only looks; TASK_FOREVER
 * sets no timer.
 *
 * Threads. A loop belongs to the thread that runs it; several threads may run
 * one each. Only loop_remote_*() and loop_get_stats() may be called from
 * elsewhere; what blocks runs in worker threads (thread.h). After fork no loop
 * is current in the child, which may run new ones, with workers of its own; an
 * inherited one may only be freed.
 *
 * Inside a task. errno and the floating-point control words are the task's own;
 * the signal mask is the thread's. longjmp() and C++ exceptions may not leave
 * the task's function. A catch block, or a destructor that an exception runs,
 * may not suspend: what is being handled is kept for the thread. (A copy of it
 * may be kept meanwhile, as by std::current_exception().)
 */
#ifndef TASK_H
#define TASK_H

#include <task/barrier.h>
#include <task/base.h>
#include <task/callback.h>
#include <task/core.h>
#include <task/debug.h>
#include <task/io.h>
#include <task/local.h>
#include <task/lock.h>
#include <task/loop.h>
#include <task/net.h>
#include <task/once.h>
#include <task/process.h>
#include <task/queue.h>
#include <task/rwlock.h>
#include <task/scope.h>
#include <task/select.h>
#include <task/server.h>
#include <task/several.h>
#include <task/signal.h>
#include <task/stream.h>
#include <task/sync.h>
#include <task/thread.h>
#include <task/time.h>
#include <task/trace.h>

#endif
