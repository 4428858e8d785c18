/*
 * The lock in it is the writer's; in its queue stand readers and writers, told
 * apart by their kinds. Whoever stands there has a reason: while no writer is
 * in, the first is a writer, and there are readers. So after each change the
 * first are let in until that holds again.
 */
#include "lock.h"
#include "text.h"

#include <errno.h>
#include <task/rwlock.h>

static void give_up(struct waiter *waiter, struct task_chain *requests);

static const struct task_rwlock *rwlock_of(const struct waiter *waiter)
{
    return container_of(waiters_of(waiter), const struct task_rwlock,
                        lock.waiters);
}

static void name_writer(const struct waiter *waiter, visit_fn *visit, void *arg)
{
    struct task *writer = rwlock_of(waiter)->lock.owner;

    if (writer)
        visit(writer, arg);
}

static void describe(const struct waiter *waiter, struct text *text)
{
    const struct task_rwlock *rwlock = rwlock_of(waiter);

    task__text_add(text, "%p held by ", (const void *)rwlock);
    if (rwlock->lock.owner)
        task__text_add_task(text, rwlock->lock.owner);
    else
        task__text_add(text, "%zu reader%s", rwlock->readers,
                       rwlock->readers == 1 ? "" : "s");
}

static const struct wait_kind READING = {
    .verb = "reading rwlock",
    .describe = describe,
    .each_awaited = name_writer,
};
static const struct wait_kind WRITING = {
    .verb = "writing rwlock",
    .describe = describe,
    .cancel = give_up,
    .each_awaited = name_writer,
};

/* Whether those that are in let one in. */
static ALWAYS_INLINE bool has_room(const struct task_rwlock *rwlock,
                                   const struct wait_kind *kind)
{
    return !rwlock->lock.owner && (kind == &READING || !rwlock->readers);
}

static void admit(struct task_lock *lock);

/* Let one in; what it is told: 0 or -EOWNERDEAD. */
static ALWAYS_INLINE int let_in(struct task_rwlock *rwlock, struct task *task,
                                const struct wait_kind *kind)
{
    if (kind == &READING) {
        rwlock->readers++;
        return lock_tell(&rwlock->lock);
    }
    rwlock->lock.admit = admit;
    return lock_take(&rwlock->lock, task);
}

static void admit(struct task_lock *lock)
{
    struct task_rwlock *rwlock = container_of(lock, struct task_rwlock, lock);
    struct waiter *first;

    while ((first = waiters_first(&lock->waiters)) &&
           has_room(rwlock, first->kind))
        task__wake(first, let_in(rwlock, first->task, first->kind));
}

/* A cancelled writer holds nobody back any more. */
static void give_up(struct waiter *waiter, struct task_chain *requests)
{
    struct task_lock *lock =
        container_of(waiters_of(waiter), struct task_lock, waiters);

    (void)requests;
    waiter_refuse(waiter);
    admit(lock);
}

static ALWAYS_INLINE bool may_enter(const struct task_rwlock *rwlock,
                                    const struct wait_kind *kind)
{
    return has_room(rwlock, kind) && waiters_empty(&rwlock->lock.waiters);
}

static ALWAYS_INLINE int acquire(struct task_rwlock *rwlock,
                                 const struct wait_kind *kind, const char *call)
{
    struct task *self;
    int error = task_enter_in(&self, call);

    if (unlikely(error))
        return error;
    if (likely(may_enter(rwlock, kind)))
        return let_in(rwlock, self, kind);
    if (rwlock->lock.owner == self)
        return misuse(call, -EDEADLK, "the caller is the writer");
    return waiters_park(&rwlock->lock.waiters, self, kind);
}

static ALWAYS_INLINE int try_acquire(struct task_rwlock *rwlock,
                                     const struct wait_kind *kind,
                                     const char *call)
{
    struct task *self = scheduler_self();

    if (unlikely(!self))
        return misuse(call, -EPERM, OUTSIDE_A_TASK);
    return may_enter(rwlock, kind) ? let_in(rwlock, self, kind) : -EAGAIN;
}

int task_rwlock_read_acquire(struct task_rwlock *rwlock)
{
    return acquire(rwlock, &READING, __func__);
}

int task_rwlock_try_read_acquire(struct task_rwlock *rwlock)
{
    return try_acquire(rwlock, &READING, __func__);
}

int task_rwlock_read_release(struct task_rwlock *rwlock)
{
    if (unlikely(!scheduler_self() || !rwlock->readers))
        return MISUSE(-EPERM, "there is no reader");
    rwlock->readers--;
    admit(&rwlock->lock);
    return 0;
}

int task_rwlock_write_acquire(struct task_rwlock *rwlock)
{
    return acquire(rwlock, &WRITING, __func__);
}

int task_rwlock_try_write_acquire(struct task_rwlock *rwlock)
{
    return try_acquire(rwlock, &WRITING, __func__);
}

int task_rwlock_write_release(struct task_rwlock *rwlock)
{
    struct task *self = scheduler_self();

    if (unlikely(!self || rwlock->lock.owner != self))
        return MISUSE(-EPERM, "the caller is not the writer");
    lock_drop(&rwlock->lock);
    admit(&rwlock->lock);
    return 0;
}

struct task *task_rwlock_writer(const struct task_rwlock *rwlock)
{
    return rwlock->lock.owner;
}

size_t task_rwlock_readers(const struct task_rwlock *rwlock)
{
    return rwlock->readers;
}

size_t task_rwlock_waiting(const struct task_rwlock *rwlock)
{
    return waiters_count(&rwlock->lock.waiters);
}

int task_rwlock_destroy(struct task_rwlock *rwlock)
{
    if (rwlock->lock.owner || rwlock->readers)
        return MISUSE(-EBUSY, "the lock is held");
    *rwlock = (struct task_rwlock){.readers = 0};
    return 0;
}
