/*
 * callback.h: functions that the loop calls between tasks.
 */
#ifndef TASK_CALLBACK_H
#define TASK_CALLBACK_H

#include <stdint.h>
#include <task/base.h>
#include <task/time.h>

TASK_BEGIN_DECLS

/**
 * Call a function in the next turn.
 *
 * Callbacks and ready tasks stand in one queue, and run first in, first out.
 * What was not run when the loop is freed is dropped.
 *
 * @param fn   called on the loop's stack: it may not suspend
 * @param arg  passed to @p fn
 *
 * @return an id > 0 for loop_call_cancel(), which the next 10^11 calls in the
 *         process do not get, or
 *         -EINVAL  @p fn is NULL,
 *         -ENOMEM  out of memory, or 2^25 calls are pending,
 *         -EPERM   no loop runs in this thread.
 *
 * Source: asyncio's loop.call_soon
 */
int64_t loop_call_soon(loop_fn *fn, void *arg);

/**
 * Call a function after a time.
 *
 * Never earlier, and among timers in the order of deadlines, equal ones in the
 * order in which they were set. Firing queues the call, as by loop_call_soon(),
 * for the next turn, while a time-out acts as it fires: so one that is due
 * later, but is found due in the same look, has expired before @p fn is called.
 *
 * @param delay  nanoseconds from now. 0 is due at once, a negative one is a
 *               deadline in the past, and comes before it; both run in a later
 *               turn than the caller's. TASK_FOREVER: never, and no timer is
 *               set.
 * @param fn     called on the loop's stack: it may not suspend
 * @param arg    passed to @p fn
 *
 * @return as loop_call_soon().
 *
 * Source: asyncio's loop.call_later
 */
int64_t loop_call_later(task_time delay, loop_fn *fn, void *arg);

/**
 * Call a function at a point in time.
 *
 * As loop_call_later(), but absolute.
 *
 * @param when  on the clock of loop_time(); TASK_FOREVER: never
 *
 * @return as loop_call_soon().
 *
 * Source: asyncio's loop.call_at
 */
int64_t loop_call_at(task_time when, loop_fn *fn, void *arg);

/**
 * Cancel a call that was set in the loop that runs in this thread.
 *
 * Its timer is freed at once, and its function never called. Any number is
 * harmless, also an id whose call ran long ago.
 *
 * @param id  what loop_call_soon(), loop_call_later() or loop_call_at()
 *            returned
 *
 * @return 0, or
 *         -ENOENT  it ran, is running, or was cancelled; or there is no such
 *                  call, or no loop runs in this thread.
 *
 * Source: asyncio's Handle.cancel
 */
int loop_call_cancel(int64_t id);

/**
 * Call a function whenever a descriptor can be read from.
 *
 * It is called once a turn as long as that is so (level-triggered), also when
 * the other end is closed or there is an error, so that a read tells; in the
 * turn after it was found out. A former callback of the descriptor's for
 * reading is replaced. task_close() removes it; a number that is closed in
 * another way should be removed before.
 *
 * @param fd   an open descriptor; the caller's
 * @param fn   called with @p arg until it is removed
 *
 * @return 0, or
 *         -EBADF   @p fd is not open,
 *         -EBUSY   a task waits to read from it,
 *         -EINVAL  @p fn is NULL,
 *         -ELOOP   it is an epoll descriptor that would watch itself,
 *         -EMFILE, -ENFILE
 *                  no descriptor is left for the loop's own,
 *         -ENOMEM  out of memory,
 *         -ENOSPC  the user has too many descriptors watched by epoll,
 *         -ESHUTDOWN
 *                  the loop is being freed,
 *         -EPERM   no loop runs here; or it is always ready, as files are.
 *
 * Source: asyncio's loop.add_reader
 */
int loop_add_reader(int fd, loop_fn *fn, void *arg);

/**
 * The same when it can be written to.
 *
 * Source: asyncio's loop.add_writer
 */
int loop_add_writer(int fd, loop_fn *fn, void *arg);

/**
 * Call it no more, also if it was found ready this turn.
 *
 * @return 0, or -ENOENT: there was none.
 *
 * Source: asyncio's loop.remove_reader
 */
int loop_remove_reader(int fd);

/**
 * The same for writing.
 *
 * Source: asyncio's loop.remove_writer
 */
int loop_remove_writer(int fd);

TASK_END_DECLS

#endif
