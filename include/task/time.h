/*
 * time.h: points in time and spans of it, and the calls that let one pass.
 *
 * All times are nanoseconds in 64 bits: 292 years, no rounding. A point in
 * time (`when`) is counted on the clock of the loop, as loop_time() tells it; a
 * span (`delay`, `timeout`) is relative to now.
 */
#ifndef TASK_TIME_H
#define TASK_TIME_H

#include <task/base.h>

TASK_BEGIN_DECLS

/**
 * Nanoseconds: a span, or a point on the loop's clock. The units multiply:
 * `5 * TASK_SECOND`.
 */
typedef int64_t task_time;

#define TASK_MICROSECOND INT64_C(1000)
#define TASK_MILLISECOND INT64_C(1000000)
#define TASK_SECOND INT64_C(1000000000)
#define TASK_MINUTE (60 * TASK_SECOND)
#define TASK_HOUR (60 * TASK_MINUTE)

/**
 * No deadline: sets no timer, and so does not keep a loop from being
 * deadlocked.
 */
#define TASK_FOREVER INT64_MAX

/**
 * Suspend the calling task for a time.
 *
 * Never shorter than asked. Where eight timers or more are due within a
 * millisecond, each may be later, by 10 microseconds for each of them and a
 * millisecond at the most, so that the loop need not wake for each.
 * Sleepers wake in the order of their deadlines; equal deadlines in the order
 * in which they were set.
 *
 * @param delay  nanoseconds from now. 0 or less: let the others that are ready
 *               run once, as task_yield(). TASK_FOREVER: until cancelled.
 *
 * Always suspends, unless a request is waiting. A cancel ends it early and
 * removes its timer, unless the deadline has woken the task already: then it
 * returns 0, and the request comes next.
 *
 * @return 0           the time has passed, or
 *         -ECANCELED  a request was waiting, or came before the deadline,
 *         -EPERM      called outside a task.
 *
 * Source: asyncio.sleep
 */
TASK_SUSPENDS int task_sleep(task_time delay);

/**
 * Suspend the calling task until a point in time.
 *
 * As task_sleep(), but absolute: a period kept by `when += period` does not
 * drift.
 *
 * @param when  on the clock of loop_time(). Now or past: let the others run
 *              once, as task_yield(). TASK_FOREVER: until cancelled.
 *
 * Suspends and is cancelled as task_sleep().
 *
 * @return as task_sleep().
 *
 * Source: trio.sleep_until
 */
TASK_SUSPENDS int task_sleep_until(task_time when);

/**
 * Let every other task and callback that is ready run once.
 *
 * The same as task_sleep(0): the caller goes to the end of the ready queue; no
 * timer is set.
 *
 * Always suspends, unless a request is waiting. The caller was granted nothing
 * while it stands in the queue, so a request that comes meanwhile is delivered.
 *
 * @return 0, or
 *         -ECANCELED  a request was waiting, or came before the caller's turn,
 *         -EPERM      called outside a task.
 *
 * Source: asyncio.sleep(0)
 */
TASK_SUSPENDS int task_yield(void);

/**
 * Tell the time of the loop that runs in this thread.
 *
 * The clock is read afresh by each call. It never goes backwards, and setting
 * the wall clock does not move it.
 *
 * @return nanoseconds: of CLOCK_MONOTONIC, or since the creation of a loop with
 *         LOOP_CLOCK_VIRTUAL, whose clock starts at 0. Outside a running loop:
 *         CLOCK_MONOTONIC.
 *
 * Source: asyncio's loop.time
 */
task_time loop_time(void);

/**
 * Move a loop's virtual clock forward.
 *
 * The clock moves at once, past any number of deadlines; the timers that are
 * due by then fire in the next turn, in their order, and find the new time.
 *
 * @param loop  a loop with LOOP_CLOCK_VIRTUAL, running in this thread or not
 *              running. On a real clock, and for NULL, nothing is done.
 * @param by    nanoseconds; 0 or less does nothing. The clock stops short of
 *              TASK_FOREVER, which it never reaches.
 *
 * Source: trio.testing.MockClock.jump
 */
void loop_advance(struct loop *loop, task_time by);

TASK_END_DECLS

#endif
