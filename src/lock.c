/*
 * Locks. A free one has no waiters: whoever releases it hands it over.
 */
#include "lock.h"

#include "loop.h"
#include "loop_above.h"
#include "report.h"
#include "text.h"

#include <errno.h>

static void name_owner(const struct waiter *waiter, visit_fn *visit, void *arg)
{
    const struct task_lock *lock =
        container_of(waiters_of(waiter), const struct task_lock, waiters);

    visit(lock->owner, arg);
}

static void describe(const struct waiter *waiter, struct text *text)
{
    const struct task_lock *lock =
        container_of(waiters_of(waiter), const struct task_lock, waiters);

    task__text_add(text, "%p held by ", (const void *)lock);
    task__text_add_task(text, lock->owner);
}

static const struct wait_kind ACQUIRING = {
    .verb = "acquiring lock",
    .describe = describe,
    .each_awaited = name_owner,
};
static const struct wait_kind TAKING_BACK = {
    .verb = "reacquiring lock",
    .describe = describe,
    .cancel = waiter_defer,
    .each_awaited = name_owner,
};

/* A lock that was dropped goes to the first who waits for it. */
static ALWAYS_INLINE void hand_over(struct task_lock *lock)
{
    if (unlikely(!waiters_empty(&lock->waiters))) {
        struct waiter *first = waiters_first(&lock->waiters);

        task__wake(first, lock_take(lock, first->task));
    }
}

int task_lock_acquire(struct task_lock *lock)
{
    struct task *self;
    int error = task_enter(&self);

    if (unlikely(error))
        return error;
    if (likely(!lock->owner))
        return lock_take(lock, self);
    if (lock->owner == self)
        return MISUSE(-EDEADLK, "the caller owns the lock");
    return waiters_park(&lock->waiters, self, &ACQUIRING);
}

int task_lock_try_acquire(struct task_lock *lock)
{
    struct task *self = scheduler_self();

    if (unlikely(!self))
        return MISUSE(-EPERM, OUTSIDE_A_TASK);
    if (likely(!lock->owner))
        return lock_take(lock, self);
    return -EAGAIN;
}

int task_lock_release(struct task_lock *lock)
{
    struct task *self = scheduler_self();

    if (unlikely(!self || lock->owner != self))
        return MISUSE(-EPERM, "the caller does not own the lock");
    lock_drop(lock);
    hand_over(lock);
    return 0;
}

int task__lock_take_back(struct task_lock *lock, struct task *self)
{
    if (likely(!lock->owner))
        return lock_take(lock, self);
    return waiters_park(&lock->waiters, self, &TAKING_BACK);
}

/* Whether it has one that it should have released. */
static bool owns_any(const struct task *task)
{
    const struct task_lock *lock = task->locks;

    while (lock && lock->is_run)
        lock = lock->next;
    return lock;
}

void task__locks_abandon(struct task *task)
{
    struct task_lock *lock;

    if (owns_any(task))
        task__report_held(task);
    while ((lock = task->locks)) {
        lock_drop(lock);
        lock->abandoned = true;
        (lock->admit ? lock->admit : hand_over)(lock);
    }
}

bool task_lock_locked(const struct task_lock *lock)
{
    return lock->owner;
}

struct task *task_lock_owner(const struct task_lock *lock)
{
    return lock->owner;
}

size_t task_lock_waiting(const struct task_lock *lock)
{
    return waiters_count(&lock->waiters);
}

int task_lock_destroy(struct task_lock *lock)
{
    if (lock->owner)
        return MISUSE(-EBUSY, "the lock is held");
    *lock = (struct task_lock){0};
    return 0;
}
