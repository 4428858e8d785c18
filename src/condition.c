/*
 * Conditions: the lock is released, and taken back whatever ended the wait.
 */
#include "lock.h"
#include "text.h"

#include <errno.h>
#include <task/sync.h>

static void describe(const struct waiter *waiter, struct text *text)
{
    const struct task_condition *condition =
        container_of(waiters_of(waiter), const struct task_condition, waiters);

    task__text_add(text, "%p", (const void *)condition);
}

static const struct wait_kind WAITING = {
    .verb = "waiting on condition",
    .describe = describe,
};

/* Why the caller cannot wait; 0 and the caller: it can. Whoever owns no lock is
 * told, and keeps a request that waits. */
static ALWAYS_INLINE int check_wait(const struct task_lock *lock,
                                    struct task **self, const char *call)
{
    *self = scheduler_self();
    if (unlikely(!*self || lock->owner != *self))
        return misuse(call, -EPERM, "the caller does not own the lock");
    return task_enter_in(self, call);
}

static ALWAYS_INLINE int wait(struct task_condition *condition,
                              struct task_lock *lock, const char *call)
{
    struct task *self;
    int status = check_wait(lock, &self, call);
    unsigned heard;
    int error;

    if (unlikely(status))
        return status;
    heard = self->cancelling;
    task_lock_release(lock);
    status = waiters_park(&condition->waiters, self, &WAITING);
    error = task__lock_take_back(lock, self);
    if (likely(!error))
        return status;
    if (status)
        task_undeliver(self, heard);
    return error;
}

int task_condition_wait(struct task_condition *condition,
                        struct task_lock *lock)
{
    return wait(condition, lock, __func__);
}

int task_condition_wait_for(struct task_condition *condition,
                            struct task_lock *lock, bool (*predicate)(void *),
                            void *arg)
{
    struct task *self;
    int status = predicate || !scheduler_self()
                     ? check_wait(lock, &self, __func__)
                     : MISUSE(-EINVAL, "the predicate is NULL");

    while (!status && !predicate(arg))
        status = wait(condition, lock, __func__);
    return status;
}

void task_condition_notify(struct task_condition *condition, size_t n)
{
    while (n && waiters_wake_first(&condition->waiters, 0))
        n--;
}

void task_condition_notify_all(struct task_condition *condition)
{
    waiters_wake_all(&condition->waiters, 0);
}

size_t task_condition_waiting(const struct task_condition *condition)
{
    return waiters_count(&condition->waiters);
}

int task_condition_destroy(struct task_condition *condition)
{
    return waiters_empty(&condition->waiters)
               ? 0
               : MISUSE(-EBUSY, "there are tasks that wait");
}
