/*
 * once.h: what the first task that wants it does. The rules of sync.h hold.
 */
#ifndef TASK_ONCE_H
#define TASK_ONCE_H

#include <task/base.h>
#include <task/lock.h>

TASK_BEGIN_DECLS

/**
 * Something that is done once, by the first task that wants it done. All zero:
 * not done yet.
 */
struct task_once {
    /* private */
    struct task_lock run; /* of who does it, or is the next to */
    int status;           /* when done */
    bool done;
};

/**
 * Run a function once, whoever calls this: one task runs it, by a plain call,
 * and those that come meanwhile wait for its status.
 *
 * A run counts if its status is not negative: all that come later get that
 * status at once. After one that failed or was cancelled the first of those who
 * wait runs it again, with the function and the argument of its own call,
 * before anyone who comes now; the others wait on.
 *
 * A run whose task is dropped with its loop has failed, too. In the child of a
 * fork the parent's runs that are under way have never begun, but for one in
 * which the process was forked.
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
 * Count the tasks that wait for a run to end. It looks at each.
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
