/*
 * Watches: one for each task, in memory of the waiting task's own if few.
 */
#include "several.h"

#include "loop.h"
#include "needs.h"

#include <errno.h>

static void watch_ended(struct watcher *watcher, struct task *task)
{
    struct watch *watch = container_of(watcher, struct watch, watcher);
    struct several *several = watch->several;

    (void)task;
    list_remove(&watcher->node);
    several->n_left--;
    several->ended(several, watch);
}

static const struct waiter *waiter_of_watch(const struct watcher *watcher)
{
    return &container_of(watcher, struct watch, watcher)->several->waiter;
}

/* Of another loop's task nothing is looked at, nor of those behind it. */
static int check(struct task *self, struct task *const tasks[], size_t n,
                 bool needs_all)
{
    bool is_one_parked = false;
    size_t i = 0;

    for (; i < n; i++) {
        struct task *task = tasks[i];

        if (!task)
            continue;
        if (task->scheduler != self->scheduler)
            break;
        if (task == self)
            return -EDEADLK;
        is_one_parked |= task->waiter != NULL;
    }
    if (needs_all && is_one_parked && task__any_needs(tasks, i, self))
        return -EDEADLK;
    return i < n ? -EINVAL : 0;
}

static bool make_room(struct several *several, size_t n)
{
    several->watches = several->few;
    if (n > SEVERAL_FEW)
        several->watches =
            task__blocks_get(several->blocks, n, sizeof *several->watches);
    return several->watches;
}

static void watch(struct several *several, struct watch *watch,
                  struct task *task)
{
    watch->task = task;
    if (!task)
        return;
    watch->several = several;
    watch->watcher.ended = watch_ended;
    watch->watcher.waiter = waiter_of_watch;
    watch->watcher.node.list = NULL;
    task->references += TASK_PIN;
    if (task->done)
        return;
    list_append(&task->watchers, &watch->watcher.node);
    several->n_left++;
}

int task__several_begin(struct several *several, struct task *self,
                        struct task *const tasks[], size_t n, bool needs_all)
{
    struct task_chain met = {NULL, NULL};
    int error = check(self, tasks, n, needs_all);

    if (error)
        return error;
    several->blocks = &loop_of_task(self)->blocks;
    several->n = n;
    several->n_left = 0;
    if (!make_room(several, n))
        return -ENOMEM;
    for (size_t i = 0; i < n; i++)
        watch(several, &several->watches[i],
              tasks[i] && task_chain_append(&met, tasks[i]) ? tasks[i] : NULL);
    task_chain_clear(&met);
    return 0;
}

void task__several_end(struct several *several)
{
    for (size_t i = 0; i < several->n; i++) {
        struct watch *watch = &several->watches[i];

        if (!watch->task)
            continue;
        list_remove(&watch->watcher.node);
        task__unpin(watch->task);
    }
    if (several->watches != several->few)
        task__blocks_free(several->blocks, several->watches);
}

void task__several_take_handles(struct several *several)
{
    for (size_t i = 0; i < several->n; i++) {
        struct task *task = several->watches[i].task;

        if (!task)
            continue;
        if (task_has_handle(task))
            task->references -= TASK_HANDLE;
        task->was_read = true;
    }
}

bool task__several_is_untold(const struct several *several)
{
    for (size_t i = 0; i < several->n; i++) {
        const struct watch *watch = &several->watches[i];

        if (watch->task && watch->task->done && watch->watcher.node.list)
            return true;
    }
    return false;
}

void task__several_each(const struct waiter *waiter, visit_fn *visit, void *arg)
{
    const struct several *several = several_of(waiter);

    for (size_t i = 0; i < several->n; i++) {
        struct task *task = several->watches[i].task;

        if (task && !task->done)
            visit(task, arg);
    }
}

size_t task__several_n(const struct waiter *waiter)
{
    return several_of(waiter)->n;
}

static void chain_one(struct task *task, void *requests)
{
    task__chain_request(requests, task);
}

void task__several_request(struct several *several)
{
    struct task_chain requests = {NULL, NULL};

    task__several_each(&several->waiter, chain_one, &requests);
    task__chain_run(&requests);
}
