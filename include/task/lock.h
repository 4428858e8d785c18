/*
 * lock.h: mutual exclusion. The rules of sync.h hold.
 */
#ifndef TASK_LOCK_H
#define TASK_LOCK_H

#include <task/base.h>

TASK_BEGIN_DECLS

/**
 * Mutual exclusion across suspending calls: a lock is free, or one task owns
 * it. All zero: free.
 *
 *     free -- acquire --> owned -- release --> owned by the first waiter,
 *                                              or free
 *
 * A task that ends, or is dropped with its loop, while it owns locks leaves
 * each to the next one to get it, who is told so by -EOWNERDEAD: what the lock
 * protects may be half done. Debug mode reports the task.
 */
struct task_lock {
    /* private */
    struct task *owner; /* NULL: free */
    struct task_list waiters;
    struct task_lock *next;  /* that the owner took before this one */
    struct task_lock *later; /* likewise: after it; of all but the last */
    /* NULL: it goes to the first waiter; else (part of a task_rwlock or a
     * task_once) what lets the next ones in. */
    void (*admit)(struct task_lock *lock);
    bool abandoned; /* its owner ended, and nobody has had it since */
    bool is_run;    /* part of a task_once: nobody releases it by a call */
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
 * Count the tasks that wait for the lock. It looks at each.
 */
size_t task_lock_waiting(const struct task_lock *lock);

/**
 * End the use of a lock.
 *
 * @return 0, or
 *         -EBUSY  a task owns it.
 */
int task_lock_destroy(struct task_lock *lock);

TASK_END_DECLS

#endif
