/*
 * Tasks: referred to, ended, freed.
 */
#include "local.h"
#include "loop.h"
#include "loop_above.h"
#include "report.h"

/* Give the structure back once nobody can know of it any more. */
static ALWAYS_INLINE void free_task(struct task *task)
{
    struct loop *loop = loop_of_task(task);

    if (unlikely(!list_empty(&task->watchers)))
        task__forget_callbacks(task);
    if (unlikely(task->owns))
        task__locals_destroy(task);
    if (unlikely(task->name))
        memory_free(&loop->allocator, task->name);
    pool_put(&loop->task_pool, task);
}

/* Nobody refers to a task that failed, and nobody has read that: unless the
 * hook retains it, it goes. The hook may be called on its stack. */
static COLD void let_go(struct task *task, size_t n_stacks)
{
    loop_of_task(task)->n_ended_stacks += n_stacks;
    task__report_unread(task);
    task__locals_destroy(task);
    loop_of_task(task)->n_ended_stacks -= n_stacks;
    if (!task->references)
        free_task(task);
}

static ALWAYS_INLINE void drop(struct task *task, uint64_t reference,
                               size_t n_stacks)
{
    task->references -= reference;
    if (task->references)
        return;
    if (unlikely(task->done && task->status < 0 && !task->was_read))
        let_go(task, n_stacks);
    else
        free_task(task);
}

void task__unpin(struct task *task)
{
    drop(task, TASK_PIN, 0);
}

COLD void task__discard(struct task *task)
{
    loop_of_task(task)->n_tasks--;
    stacks_unreserve(task->stacks);
    free_task(task);
}

/* Whether nobody but the error hook will hear that it ends so: the hook may ask
 * for its locals. */
static bool is_for_hook(const struct task *task, int status)
{
    return is_failure(status) && !task_has_handle(task) &&
           list_empty(&task->watchers);
}

/* What a coroutine has of its own ends with it. */
static COLD void leave_all(struct task *task, int status)
{
    if (task->scope)
        task__abort(task, "ended in the midst of a scope");
    if (task->locks)
        task__locks_abandon(task);
    if (!is_for_hook(task, status))
        task__locals_destroy(task);
}

void task__end(struct task *task, int status)
{
    struct loop *loop = loop_of_task(task);

    if (unlikely(task->owns || task->locks))
        leave_all(task, status);
    task->status = status;
    task->done = true;
    for (struct list_node *node = task->watchers.first; node;) {
        struct watcher *watcher = container_of(node, struct watcher, node);

        node = node->next;
        watcher->ended(watcher, task);
    }
    if (unlikely(task->future))
        return;
    PROBE2(task_ended, task, status);
    loop->n_tasks--;
    if (unlikely(task->daemon))
        loop->n_daemons--;
    if (unlikely(task->ending))
        loop->n_ending--;
    loop->scheduler.current = NULL; /* signal handlers look at that one */
    drop(task, TASK_PIN, 1);
}

void task_detach(struct task *task)
{
    if (task && task_has_handle(task) && !LOOP_REFUSES(loop_of_task(task)))
        drop(task, TASK_HANDLE, 0);
}

struct task *task_retain(struct task *task)
{
    if (!task || LOOP_REFUSES(loop_of_task(task)))
        return NULL;
    task->references += TASK_HANDLE;
    return task;
}

/* One that is dropped while it waits may wait for what outlives the loop. */
static void drop_waiter(struct task *task)
{
    struct waiter *waiter = task->waiter;

    if (waiter->kind->leave)
        waiter = waiter->kind->leave(waiter);
    list_remove(&waiter->node);
    task->waiter = NULL;
    task->scheduler->n_parked--;
}

/* The last that is heard of a task. */
static void report_end(struct task *task)
{
    if (!task->done && !task->future)
        task__report_dropped(task);
    else if (task->done && !task->was_read && is_failure(task->status))
        task__report_unread(task);
    else if (task_has_handle(task))
        task__report_handle(task);
}

/*
 * Nobody waits any more before locks are left to whoever comes next; and that
 * before any task takes along what its locals hold. No task is freed before the
 * last call of the user's: that may have handles of others. Scopes are closed
 * before the first, as some are on no stack of the loop's, and known to others.
 */
void task__tell_all(struct loop *loop)
{
    struct pool *pool = &loop->task_pool;
    struct task *task = NULL;

    pool->sweep_at = SIZE_MAX; /* what was freed still tells what is next */
    while ((task = task__pool_next(pool, task))) {
        if (task->waiter)
            drop_waiter(task);
        task__scopes_abandon(task);
    }
    while ((task = task__pool_next(pool, task)))
        if (task->locks)
            task__locks_abandon(task);
    while ((task = task__pool_next(pool, task)))
        report_end(task);
    while ((task = task__pool_next(pool, task)))
        task__locals_destroy(task);
}

void task__free_all(struct loop *loop)
{
    struct task *task = NULL;

    while ((task = task__pool_next(&loop->task_pool, task)))
        free_task(task);
}
