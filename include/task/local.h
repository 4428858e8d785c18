/*
 * local.h: values that belong to a task, and are handed on to its children.
 *
 * A local is a static, zero-initialised struct; each task has a value of its
 * own in it, or none:
 *
 *     static struct task_local request_id;
 *
 *     task_local_set(&request_id, id);        in a task
 *     log_line(task_local_get(&request_id));  in it, or in what it created
 *
 * To look one up takes as long as the task has locals that are set.
 */
#ifndef TASK_LOCAL_H
#define TASK_LOCAL_H

#include <task/base.h>

TASK_BEGIN_DECLS

/**
 * A local. Zero-initialised it is ready; it has to outlive every task in which
 * it is set.
 *
 * A child starts with the values that its creator has at that moment: with the
 * same pointers where there is no @p destroy, which then nobody owns. Where
 * there is one, each task owns its value: a child starts with what @p inherit
 * returns, or without one.
 *
 * The main of each run begins with none, as does what loop_create_task() makes
 * outside of tasks: nothing goes on from one run to the next. (The context of
 * asyncio's Runner does.)
 *
 * Both functions are called as callbacks are: they may not suspend.
 */
struct task_local {
    /** Makes the value of a child from its creator's: a copy, or one more
     *  reference; NULL: the child has none. Called only with @p destroy. */
    void *(*inherit)(void *value);

    /** Frees a value: when another takes its place, and when its task ends;
     *  but none that the child of a fork has inherited. */
    void (*destroy)(void *value);
};

/**
 * Give the calling task's value.
 *
 * In an error hook it is the value of the task that the report is about, while
 * that is alive: a task that was detached and fails is, until the hook returns,
 * but for one with a done callback, which comes first.
 * In a function of task_to_thread() it is that of the task that waits for it; a
 * loop that such a function runs has no part in that.
 *
 * @param local  a local; NULL has no value
 *
 * @return the value, borrowed; NULL when none is set, and outside a task.
 *
 * Source: Python's ContextVar.get; the hook's is that of asyncio's exception
 * handlers.
 */
void *task_local_get(const struct task_local *local);

/**
 * Set the calling task's value.
 *
 * The former value is destroyed, unless it is the same. Tasks that were created
 * before do not see the new one.
 *
 * @param local  a local
 * @param value  from now on the task's; NULL: none
 *
 * @return 0, or
 *         -ENOMEM  out of memory: the former value stays, @p value is still the
 *                  caller's,
 *         -EINVAL  @p local is NULL,
 *         -EPERM   called outside a task.
 *
 * Source: Python's ContextVar.set
 */
int task_local_set(struct task_local *local, void *value);

TASK_END_DECLS

#endif
