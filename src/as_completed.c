/*
 * Tasks in the order in which they end: each watch goes, when its task ends,
 * from the task's list of watchers to the list of what is completed.
 */
#include "several.h"

#include "loop.h"
#include "scope.h"

#include <errno.h>

static const struct wait_kind WAITING = {
    .verb = "waiting for the next of",
    .each_awaited = task__several_each,
};

/* The watches, and whose they are. */
struct walk {
    struct several several;
    struct task_as_completed *it;
};

static void complete(struct several *several, struct watch *watch)
{
    struct walk *walk = container_of(several, struct walk, several);

    list_append(list_of(&walk->it->completed), &watch->watcher.node);
    if (waiter_is_parked(&several->waiter))
        task__wake(&several->waiter, 0);
}

static int begin_walk(struct task_as_completed *it, struct task *self,
                      struct task *const tasks[], size_t n)
{
    struct loop *loop = loop_of_task(self);
    struct walk *walk = task__blocks_get(&loop->blocks, 1, sizeof *walk);
    int error = -ENOMEM;

    if (!walk)
        return error;
    walk->it = it;
    walk->several.ended = complete;
    walk->several.waiter.task = self;
    error = task__several_begin(&walk->several, self, tasks, n, true);
    if (error) {
        task__blocks_free(&loop->blocks, walk);
        return error;
    }
    it->several = &walk->several;
    for (size_t i = 0; i < n; i++) {
        struct watch *watch = &walk->several.watches[i];

        it->n_left += watch->task != NULL;
        if (watch->task && watch->task->done)
            list_append(list_of(&it->completed), &watch->watcher.node);
    }
    return 0;
}

int task_as_completed_begin(struct task_as_completed *it,
                            struct task *const tasks[], size_t n)
{
    int error;

    if (!scope_begin(&it->scope, TASK_FOREVER, __func__))
        return !scope_is_open(&it->scope) ? it->scope.error
               : scheduler_self()         ? -EALREADY
                                          : -EPERM;
    it->completed = (struct task_list){NULL, NULL};
    it->n_left = 0;
    it->is_cancelled = false;
    error = begin_walk(it, it->scope.task, tasks, n);
    if (!error)
        return 0;
    task__scope_refuse(&it->scope, error);
    return MISUSE(error, several_complaint(error));
}

/* Wait until something is completed. */
static int wait(struct task_as_completed *it, struct task *self)
{
    struct several *several = it->several;

    if (!list_empty(list_of(&it->completed)))
        return 0;
    waiter_init(&several->waiter, self, &WAITING);
    return task__park(&several->waiter);
}

struct task *task_as_completed_next(struct task_as_completed *it)
{
    struct task *self = scheduler_self();
    int error;

    if (!scope_is_open(&it->scope))
        return NULL;
    if (it->scope.task != self) {
        MISUSE(-EPERM, self ? "the walk is another task's" : OUTSIDE_A_TASK);
        return NULL;
    }
    error = task_enter(&self);
    if (!error && !it->n_left)
        return NULL;
    if (!error)
        error = wait(it, self);
    if (error) {
        it->is_cancelled = true;
        return NULL;
    }
    it->n_left--;
    return container_of(list_pop(list_of(&it->completed)), struct watch,
                        watcher.node)
        ->task;
}

int task_as_completed_end(struct task_as_completed *it, int status)
{
    struct task_scope *scope = &it->scope;
    struct blocks *blocks;
    struct walk *walk;
    int error = scope_check(scope);

    if (error)
        return error;
    walk = container_of(it->several, struct walk, several);
    blocks = walk->several.blocks;
    task__several_end(&walk->several);
    task__blocks_free(blocks, walk);
    scope_end(scope);
    return !status && it->is_cancelled ? -ECANCELED : status;
}
