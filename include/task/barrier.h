/*
 * barrier.h: tasks that wait for each other. The rules of sync.h hold.
 */
#ifndef TASK_BARRIER_H
#define TASK_BARRIER_H

#include <task/base.h>

TASK_BEGIN_DECLS

/**
 * A number of tasks that wait for each other: the last to come lets all
 * through, and the next generation begins.
 *
 *     filling -- the last of the parties comes --> filling, with nobody there
 *        |  ^
 *  abort |  | reset
 *        v  |
 *      broken
 *
 * Made by TASK_BARRIER_INIT or task_barrier_init(); all zero: of one party, who
 * never waits.
 */
struct task_barrier {
    /* private */
    unsigned parties;
    unsigned n_waiting;
    bool broken;
    struct task_list waiters;
};

#define TASK_BARRIER_INIT(parties)                                             \
    {                                                                          \
        (parties), 0, false,                                                   \
        {                                                                      \
            NULL, NULL                                                         \
        }                                                                      \
    }

/**
 * Make a barrier.
 *
 * @param parties  how many it takes to let them through
 *
 * @return 0, or
 *         -EINVAL  @p parties is 0, or more than INT_MAX.
 *
 * Source: asyncio.Barrier
 */
int task_barrier_init(struct task_barrier *barrier, unsigned parties);

/**
 * Wait until so many have come as the barrier has parties.
 *
 * Suspends until the others are there; the last to come goes on at once. A
 * cancel ends the wait, and that place has to be filled again.
 *
 * @return the caller's place among those who came, from 0; the last has
 *         parties - 1; or
 *         -EPIPE      the barrier is broken, or was reset or broken while the
 *                     caller waited,
 *         -ECANCELED  a request was waiting, or came before the last did,
 *         -EPERM      called outside a task.
 *
 * Source: asyncio's Barrier.wait
 */
TASK_SUSPENDS int task_barrier_wait(struct task_barrier *barrier);

/**
 * Send away with -EPIPE all that wait, and begin anew, also if the barrier was
 * broken. Those that were let through, and have not run since, return their
 * place. Also for callbacks.
 *
 * Source: asyncio's Barrier.reset
 */
void task_barrier_reset(struct task_barrier *barrier);

/**
 * Break a barrier: all that wait, and all that come until it is reset, get
 * -EPIPE. Those that were let through, and have not run since, return their
 * place. Also for callbacks.
 *
 * Source: asyncio's Barrier.abort
 */
void task_barrier_abort(struct task_barrier *barrier);

/**
 * Tell how many tasks a barrier lets through together.
 *
 * Source: asyncio's Barrier.parties
 */
unsigned task_barrier_parties(const struct task_barrier *barrier);

/**
 * Count the tasks that wait: of those that were let through none does.
 *
 * Source: asyncio's Barrier.n_waiting
 */
size_t task_barrier_waiting(const struct task_barrier *barrier);

/**
 * Tell whether a barrier is broken.
 *
 * Source: asyncio's Barrier.broken
 */
bool task_barrier_broken(const struct task_barrier *barrier);

/**
 * End the use of a barrier.
 *
 * @return 0, or
 *         -EBUSY  a task waits at it.
 */
int task_barrier_destroy(struct task_barrier *barrier);

TASK_END_DECLS

#endif
