/*
 * rwlock.h: many that read, or one that writes. The rules of sync.h hold.
 */
#ifndef TASK_RWLOCK_H
#define TASK_RWLOCK_H

#include <task/base.h>
#include <task/lock.h>

TASK_BEGIN_DECLS

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
 * Count the tasks that wait for the lock, to read or to write. It looks at each.
 */
size_t task_rwlock_waiting(const struct task_rwlock *rwlock);

/**
 * End the use of a lock.
 *
 * @return 0, or
 *         -EBUSY  somebody has it.
 */
int task_rwlock_destroy(struct task_rwlock *rwlock);

TASK_END_DECLS

#endif
