/*
 * Who owns a lock, for what is made of locks: conditions, rwlocks and
 * once.
 */
#ifndef TASK_SRC_LOCK_H
#define TASK_SRC_LOCK_H

#include "waiters.h"

#include <task/lock.h>

/* What the next to have a lock is told: 0 or -EOWNERDEAD, which is told
 * once. */
static ALWAYS_INLINE int lock_tell(struct task_lock *lock)
{
    if (likely(!lock->abandoned))
        return 0;
    lock->abandoned = false;
    return -EOWNERDEAD;
}

/*
 * A free lock gets an owner; what that one is told. `owner` and `next` are no
 * neighbours, else they are stored as one, and a load that follows has to wait.
 * What is last has no `later`: a task that holds one lock spares the stores.
 */
static ALWAYS_INLINE int lock_take(struct task_lock *lock, struct task *task)
{
    struct task_lock *next = task->locks;

    lock->owner = task;
    lock->next = next;
    if (unlikely(next))
        next->later = lock;
    task->locks = lock;
    return lock_tell(lock);
}

/* A lock loses its owner. */
static ALWAYS_INLINE void lock_drop(struct task_lock *lock)
{
    struct task *owner = lock->owner;

    if (likely(owner->locks == lock)) {
        owner->locks = lock->next;
    } else {
        lock->later->next = lock->next;
        if (lock->next)
            lock->next->later = lock->later;
    }
    lock->owner = NULL;
}

/* Acquire a lock whatever happens: requests come next. 0 or -EOWNERDEAD. */
int task__lock_take_back(struct task_lock *lock, struct task *self);

#endif
