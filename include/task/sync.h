/*
 * sync.h: locks, events, conditions, semaphores, barriers, once.
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
 * whether that is so. What they return is -EBUSY then, and nothing is done.
 */
#ifndef TASK_SYNC_H
#define TASK_SYNC_H

#include <limits.h>
#include <task/base.h>

TASK_BEGIN_DECLS

/* Lock. */

/**
 * Mutual exclusion across suspending calls: a lock is free, or one task owns
 * it. All zero: free.
 *
 *     free -- acquire --> owned -- release --> owned by the first waiter,
 *                                              or free
 *
 * A task that ends, or is dropped with its loop, while it owns locks leaves each
 * to the next one to get it, who is told so by -EOWNERDEAD: what the lock
 * protects may be half done. Debug mode reports the task.
 */
struct task_lock {
    /* private */
    struct task *owner; /* NULL: free */
    struct task_list waiters;
    struct task_lock *next; /* that the owner took before this one */
    /* NULL: it goes to the first waiter; else (part of a task_rwlock) what lets
     * the next ones in. */
    void (*admit)(struct task_lock *lock);
    bool abandoned; /* its owner ended, and nobody has had it since */
};

/**
 * Acquire a lock.
 *
 * Suspends while another task owns it. A cancel ends the wait.
 *
 * @return 0, and the caller owns the lock;
 *         -EOWNERDEAD  the caller owns it too, and is the first since a task
 *                      ended owning it,
 *         -ECANCELED   a request was waiting, or came before the lock did,
 *         -EDEADLK     the caller owns it already,
 *         -EPERM       called outside a task.
 *
 * Source: asyncio's Lock.acquire; pthread_mutexattr_setrobust for -EOWNERDEAD
 */
TASK_SUSPENDS int task_lock_acquire(struct task_lock *lock);

/**
 * Acquire a lock if it is free.
 *
 * No suspending call: it delivers no request.
 *
 * @return 0, and the caller owns the lock;
 *         -EOWNERDEAD  likewise, as task_lock_acquire(),
 *         -EAGAIN      it is not free; it may be the caller's,
 *         -EPERM       called outside a task.
 */
int task_lock_try_acquire(struct task_lock *lock);

/**
 * Release a lock; the first who waits owns it at once.
 *
 * @return 0, or
 *         -EPERM  the caller does not own it.
 *
 * Source: asyncio's Lock.release
 */
int task_lock_release(struct task_lock *lock);

/**
 * Tell whether a task owns the lock: also one that was handed it, and has not
 * run since.
 *
 * Source: asyncio's Lock.locked
 */
bool task_lock_locked(const struct task_lock *lock);

/**
 * Give the task that owns the lock.
 *
 * @return a borrowed pointer; NULL: the lock is free.
 */
struct task *task_lock_owner(const struct task_lock *lock);

/**
 * Count the tasks that wait for the lock.
 */
size_t task_lock_waiting(const struct task_lock *lock);

/**
 * End the use of a lock.
 *
 * @return 0, or
 *         -EBUSY  a task owns it.
 */
int task_lock_destroy(struct task_lock *lock);

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
 * Count the tasks that wait for the event.
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
 * Count the tasks that wait to be notified.
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
 * Count the tasks that wait for a token.
 */
size_t task_semaphore_waiting(const struct task_semaphore *semaphore);

/**
 * End the use of a semaphore.
 *
 * @return 0, or
 *         -EBUSY  a task waits for it.
 */
int task_semaphore_destroy(struct task_semaphore *semaphore);

/* Barrier. */

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

/* Reader-writer lock. */

/**
 * A lock for one writer or any number of readers. All zero: free.
 *
 * Readers and writers are served in one order: a writer that waits holds back
 * the readers that come after it, and when it releases, the readers up to the
 * next writer are let in together.
 *
 * The writer is known, the readers are only counted. A writer that ends without
 * releasing leaves the lock as the owner of a task_lock does; a reader that
 * does so has the lock for ever. A reader that wants to write has to release
 * first: it would wait for itself.
 */
struct task_rwlock {
    /* private */
    struct task_lock lock; /* the writer's; in its queue are readers too */
    size_t readers;        /* that have it */
};

/**
 * Acquire the lock for reading.
 *
 * Suspends while a writer has the lock, or waits for it before the caller. A
 * cancel ends the wait.
 *
 * @return 0;
 *         -EOWNERDEAD  the caller reads too, and is the first to have the lock
 *                      since a writer ended having it,
 *         -ECANCELED   a request was waiting, or came before the lock did,
 *         -EDEADLK     the caller is the writer,
 *         -EPERM       called outside a task.
 */
TASK_SUSPENDS int task_rwlock_read_acquire(struct task_rwlock *rwlock);

/**
 * Acquire the lock for reading, if that does not have to be waited for.
 *
 * No suspending call: it delivers no request.
 *
 * @return 0;
 *         -EOWNERDEAD  likewise, as task_rwlock_read_acquire(),
 *         -EAGAIN      a writer has the lock or waits for it,
 *         -EPERM       called outside a task.
 */
int task_rwlock_try_read_acquire(struct task_rwlock *rwlock);

/**
 * Have one reader less: the last lets in the writer who waits.
 *
 * @return 0, or
 *         -EPERM  there are no readers, or called outside a task.
 */
int task_rwlock_read_release(struct task_rwlock *rwlock);

/**
 * Acquire the lock for writing.
 *
 * Suspends while anyone has the lock. A cancel ends the wait, and lets in the
 * readers that only this writer held back.
 *
 * @return 0, and the caller is the writer;
 *         -EOWNERDEAD  likewise, and it is the first to have the lock since a
 *                      writer ended having it,
 *         -ECANCELED   a request was waiting, or came before the lock did,
 *         -EDEADLK     the caller is the writer already,
 *         -EPERM       called outside a task.
 */
TASK_SUSPENDS int task_rwlock_write_acquire(struct task_rwlock *rwlock);

/**
 * Acquire the lock for writing, if nobody has it.
 *
 * No suspending call: it delivers no request.
 *
 * @return 0, and the caller is the writer;
 *         -EOWNERDEAD  likewise, as task_rwlock_write_acquire(),
 *         -EAGAIN      somebody has the lock,
 *         -EPERM       called outside a task.
 */
int task_rwlock_try_write_acquire(struct task_rwlock *rwlock);

/**
 * Release the lock as its writer.
 *
 * @return 0, or
 *         -EPERM  the caller is not the writer.
 */
int task_rwlock_write_release(struct task_rwlock *rwlock);

/**
 * Give the writer.
 *
 * @return a borrowed pointer; NULL: there is none.
 */
struct task *task_rwlock_writer(const struct task_rwlock *rwlock);

/**
 * Count the readers that have the lock.
 */
size_t task_rwlock_readers(const struct task_rwlock *rwlock);

/**
 * Count the tasks that wait for the lock, to read or to write.
 */
size_t task_rwlock_waiting(const struct task_rwlock *rwlock);

/**
 * End the use of a lock.
 *
 * @return 0, or
 *         -EBUSY  somebody has it.
 */
int task_rwlock_destroy(struct task_rwlock *rwlock);

/* Once. */

/**
 * Something that is done once, by the first task that wants it done. All zero:
 * not done yet.
 */
struct task_once {
    /* private */
    struct task *runner; /* who does it, or is the next to */
    struct task_list waiters;
    int status; /* when done */
    bool done;
};

/**
 * Run a function once, whoever calls this: one task runs it, by a plain call,
 * and those that come meanwhile wait for its status.
 *
 * A run counts if its status is not negative: all that come later get that
 * status at once. After one that failed or was cancelled the first of those who
 * wait runs it again, with the function and the argument of its own call, before
 * anyone who comes now; the others wait on.
 *
 * @param fn   what to do; may suspend
 * @param arg  passed to @p fn
 *
 * Suspends while another task runs it, and where @p fn does. A cancel ends the
 * wait; in @p fn it is what @p fn makes of it.
 *
 * @return the status of the run that counts, or of the caller's own; or
 *         -ECANCELED  a request was waiting, or came before another's run had
 *                     ended,
 *         -EDEADLK    the caller is running it,
 *         -EINVAL     @p fn is NULL,
 *         -EPERM      called outside a task.
 *
 * Source: pthread_once; Go's sync.Once
 */
TASK_SUSPENDS int task_once_run(struct task_once *once, task_fn *fn, void *arg);

/**
 * Tell whether a run has counted.
 */
bool task_once_done(const struct task_once *once);

/**
 * Count the tasks that wait for a run to end.
 */
size_t task_once_waiting(const struct task_once *once);

/**
 * End the use, or begin anew: the next call runs its function.
 *
 * @return 0, or
 *         -EBUSY  a task is running it.
 */
int task_once_destroy(struct task_once *once);

TASK_END_DECLS

#endif
