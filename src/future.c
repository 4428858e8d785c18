/*
 * Futures, and the callbacks of whatever can end.
 */
#include "loop.h"

#include <errno.h>
#include <string.h>

/*
 * A done callback is on its task's watchers until it has run or was removed;
 * once the task has ended it is in the ready queue besides, and holds on to the
 * task. One that was removed while it stood there has no `fn`.
 */
struct done_callback {
    struct watcher watcher;
    struct ready ready;
    struct task *task;
    task_done_fn *fn;
    void *arg;
};

_Static_assert(sizeof(struct done_callback) <= RECORD_SIZE, "fits the pool");

static void run_callback(struct ready *ready)
{
    struct done_callback *callback =
        container_of(ready, struct done_callback, ready);
    struct task *task = callback->task;
    task_done_fn *fn = callback->fn;
    void *arg = callback->arg;

    list_remove(&callback->watcher.node);
    loop_of_task(task)->n_done_callbacks--;
    pool_put(&loop_of_task(task)->record_pool, callback);
    if (fn) {
        loop_calls(loop_of_task(task), (uintptr_t)fn);
        fn(task, arg);
    }
    task__unpin(task);
}

static void queue_callback(struct watcher *watcher, struct task *task)
{
    struct done_callback *callback =
        container_of(watcher, struct done_callback, watcher);

    task->references += TASK_PIN;
    callback->ready.run = run_callback;
    loop_of_task(task)->n_done_callbacks++;
    ready_push(task->scheduler, &callback->ready);
}

int task_add_done_callback(struct task *task, task_done_fn *fn, void *arg)
{
    struct done_callback *callback;

    if (!task)
        return -ENOMEM;
    if (!fn)
        return MISUSE_ABOUT(loop_of_task(task), -EINVAL,
                            "the function is NULL");
    if (LOOP_REFUSES(loop_of_task(task)))
        return -EPERM;
    if (loop_of_task(task)->freed)
        return -ESHUTDOWN;
    callback = pool_get(&loop_of_task(task)->record_pool);
    if (!callback)
        return -ENOMEM;
    memset(callback, 0, sizeof *callback);
    callback->watcher.ended = queue_callback;
    callback->task = task;
    callback->fn = fn;
    callback->arg = arg;
    list_append(&task->watchers, &callback->watcher.node);
    if (task->done)
        queue_callback(&callback->watcher, task);
    return 0;
}

static void forget(struct done_callback *callback, bool is_queued)
{
    list_remove(&callback->watcher.node);
    if (is_queued)
        callback->fn = NULL;
    else
        pool_put(&loop_of_task(callback->task)->record_pool, callback);
}

int task_remove_done_callback(struct task *task, task_done_fn *fn, void *arg)
{
    int n = 0;

    if (!task)
        return 0;
    if (LOOP_REFUSES(loop_of_task(task)))
        return -EPERM;
    for (struct list_node *node = task->watchers.first; node;) {
        struct watcher *watcher = container_of(node, struct watcher, node);
        struct done_callback *callback =
            container_of(watcher, struct done_callback, watcher);

        node = node->next;
        if (watcher->ended != queue_callback || callback->fn != fn ||
            callback->arg != arg)
            continue;
        forget(callback, task->done);
        n++;
    }
    return n;
}

/* Those of one that is done stand in the ready queue; the loop ends, and calls
 * none. */
void task__forget_callbacks(struct task *task)
{
    for (struct list_node *node; (node = list_pop(&task->watchers));) {
        struct watcher *watcher = container_of(node, struct watcher, node);

        if (watcher->ended == queue_callback && !task->done)
            pool_put(&loop_of_task(task)->record_pool,
                     container_of(watcher, struct done_callback, watcher));
    }
}

struct task *task_future_create_at(const char *file, int line)
{
    struct loop *loop = loop_current();

    if (!loop)
        misuse("task_future_create", -EPERM, "no loop runs in this thread");
    return loop ? task__make_future(loop, file, line) : NULL;
}

struct task *(task_future_create)(void)
{
    return task_future_create_at(NULL, 0);
}

int task_future_complete(struct task *future, int status)
{
    if (!future)
        return -ENOMEM;
    if (!future->future)
        return MISUSE_ABOUT(loop_of_task(future), -EPERM,
                            "the task is no future");
    if (LOOP_REFUSES(loop_of_task(future)))
        return -EPERM;
    if (future->done)
        return MISUSE_ABOUT(loop_of_task(future), -EALREADY,
                            "the future is done");
    task__end(future, status);
    return 0;
}
