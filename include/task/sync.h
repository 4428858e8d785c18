/*
 * sync.h: events, conditions, semaphores; brings in locks, read-write locks,
 * barriers and once.
 *
 * They are for the tasks and callbacks of one loop: what switches tasks is only
 * what is marked TASK_SUSPENDS, so data that is used between two such calls
 * needs no lock. Their memory is the caller's, all zero is a ready one, and no
 * call allocates.
 *
 * All are strictly fair. Who waits is served first come, first served, and what
 * becomes free is handed over at once: nobody takes it before the waiter has
 * run. A cancelled waiter leaves the queue; one that was granted something
 * before the request came has it, and the request comes next.
 *
 * A struct that somebody holds or waits in must not go away, move, or be
 * initialised again: the _destroy calls, which have nothing to free, tell
 * whether that is so. What they return is -EBUSY then, and nothing is done; else
 * all is zero afterwards.
 */
#ifndef TASK_SYNC_H
#define TASK_SYNC_H

#include <limits.h>
#include <task/barrier.h>
#include <task/base.h>
#include <task/lock.h>
#include <task/once.h>
#include <task/rwlock.h>

TASK_BEGIN_DECLS

/* Event. */

/**
 * Something that has happened, or not yet: tasks wait until it is set. All
 * zero: not set.
 */
struct task_event {
    /* private */
    bool set;
    struct task_list waiters;
};

/**
 * Wait until an event is set.
 *
 * Suspends unless it is set. A cancel ends the wait. A task that was woken by
 * task_event_set() returns 0, also if the event was cleared before it ran.
 *
 * @return 0, or
 *         -ECANCELED  a request was waiting, or came before the event was set,
 *         -EPERM      called outside a task.
 *
 * Source: asyncio's Event.wait
 */
TASK_SUSPENDS int task_event_wait(struct task_event *event);

/**
 * Set an event: all that wait are woken, in their order, and nobody waits until
 * it is cleared. Also for callbacks.
 *
 * Source: asyncio's Event.set
 */
void task_event_set(struct task_event *event);

/**
 * Clear an event: whoever comes from now on waits. Also for callbacks.
 *
 * Source: asyncio's Event.clear
 */
void task_event_clear(struct task_event *event);

/**
 * Tell whether an event is set.
 *
 * Source: asyncio's Event.is_set
 */
bool task_event_is_set(const struct task_event *event);

/**
 * Count the tasks that wait for the event. It looks at each.
 */
size_t task_event_waiting(const struct task_event *event);

/**
 * End the use of an event.
 *
 * @return 0, or
 *         -EBUSY  a task waits for it.
 */
int task_event_destroy(struct task_event *event);

/* Condition. */

/**
 * Tasks that wait, having given up a lock, until something that the lock
 * protects has changed. All zero: nobody.
 *
 *     task_lock_acquire(&lock);
 *     status = task_condition_wait_for(&changed, &lock, is_there, &box);
 *     ...
 *     task_lock_release(&lock);
 */
struct task_condition {
    /* private */
    struct task_list waiters;
};

/**
 * Release a lock, wait until notified, and acquire the lock again.
 *
 * Whatever it returns but -EPERM, the caller owns the lock. As to acquire it
 * again may take a while, what was notified about may have passed: most callers
 * want task_condition_wait_for().
 *
 * @param lock  the caller's
 *
 * Suspends until task_condition_notify(), and then until the lock is the
 * caller's again. A cancel ends the first wait only; one that comes later, or
 * after the notification, comes next.
 *
 * @return 0, or
 *         -EOWNERDEAD  as task_lock_acquire(), after a notification or a
 *                      cancel; that one comes next,
 *         -ECANCELED   a request was waiting, and the lock was not released;
 *                      or it came before a notification,
 *         -EPERM       the caller does not own the lock.
 *
 * Source: asyncio's Condition.wait
 */
TASK_SUSPENDS int task_condition_wait(struct task_condition *condition,
                                      struct task_lock *lock);

/**
 * Wait until a predicate holds: it is asked at first, and after each
 * notification, while the caller owns the lock.
 *
 * @param lock       the caller's
 * @param predicate  what is waited for
 * @param arg        passed to @p predicate
 *
 * Suspends and is cancelled as task_condition_wait().
 *
 * @return 0, and the predicate holds; or what task_condition_wait() returned;
 *         or
 *         -EINVAL  @p predicate is NULL.
 *
 * Source: asyncio's Condition.wait_for
 */
TASK_SUSPENDS int task_condition_wait_for(struct task_condition *condition,
                                          struct task_lock *lock,
                                          bool (*predicate)(void *arg),
                                          void *arg);

/**
 * Wake those that wait, in their order, up to a number of them.
 *
 * The lock need not be the caller's; also for callbacks.
 *
 * Source: asyncio's Condition.notify
 */
void task_condition_notify(struct task_condition *condition, size_t n);

/**
 * Wake all that wait. Also for callbacks.
 *
 * Source: asyncio's Condition.notify_all
 */
void task_condition_notify_all(struct task_condition *condition);

/**
 * Count the tasks that wait to be notified. It looks at each.
 */
size_t task_condition_waiting(const struct task_condition *condition);

/**
 * End the use of a condition.
 *
 * @return 0, or
 *         -EBUSY  a task waits to be notified.
 */
int task_condition_destroy(struct task_condition *condition);

/* Semaphore. */

/**
 * A number of tokens: each is acquired by one task at a time, and released by
 * anyone. All zero: none, and no bound.
 *
 * The initialisers take a number of tokens that is not negative; that of a
 * bounded one is the bound as well.
 */
struct task_semaphore {
    /* private */
    int value;
    int below; /* how far the bound is below INT_MAX */
    struct task_list waiters;
};

#define TASK_SEMAPHORE_INIT(value)                                             \
    {                                                                          \
        (value), 0,                                                            \
        {                                                                      \
            NULL, NULL                                                         \
        }                                                                      \
    }
#define TASK_SEMAPHORE_INIT_BOUNDED(value)                                     \
    {                                                                          \
        (value), INT_MAX - (value),                                            \
        {                                                                      \
            NULL, NULL                                                         \
        }                                                                      \
    }

/**
 * Make a semaphore with a number of tokens, which may grow up to INT_MAX.
 *
 * @return 0, or
 *         -EINVAL  @p value is negative.
 *
 * Source: asyncio.Semaphore
 */
int task_semaphore_init(struct task_semaphore *semaphore, int value);

/**
 * Make a semaphore that never has more tokens than at first: releasing one too
 * many is an error.
 *
 * @return as task_semaphore_init().
 *
 * Source: asyncio.BoundedSemaphore
 */
int task_semaphore_init_bounded(struct task_semaphore *semaphore, int value);

/**
 * Acquire a token.
 *
 * Suspends while there is none. A cancel ends the wait.
 *
 * @return 0, or
 *         -ECANCELED  a request was waiting, or came before a token did,
 *         -EPERM      called outside a task.
 *
 * Source: asyncio's Semaphore.acquire
 */
TASK_SUSPENDS int task_semaphore_acquire(struct task_semaphore *semaphore);

/**
 * Acquire a token if there is one. Also for callbacks.
 *
 * @return 0, or
 *         -EAGAIN  there is none.
 */
int task_semaphore_try_acquire(struct task_semaphore *semaphore);

/**
 * Release a token: the first who waits has it at once, else it is there for
 * whoever comes. Also for callbacks.
 *
 * @return 0, or
 *         -EOVERFLOW  there would be more tokens than the bound, or INT_MAX.
 *
 * Source: asyncio's Semaphore.release
 */
int task_semaphore_release(struct task_semaphore *semaphore);

/**
 * Give the number of tokens that nobody has: 0 while tasks wait.
 */
int task_semaphore_value(const struct task_semaphore *semaphore);

/**
 * Count the tasks that wait for a token. It looks at each.
 */
size_t task_semaphore_waiting(const struct task_semaphore *semaphore);

/**
 * End the use of a semaphore.
 *
 * @return 0, or
 *         -EBUSY  a task waits for it.
 */
int task_semaphore_destroy(struct task_semaphore *semaphore);

TASK_END_DECLS

#endif
