/*
 * Watching several tasks at once: what task_wait, task_gather, task_race and
 * task_as_completed have in common.
 *
 * Each task has a watch in its list of watchers until it ends, and is pinned
 * until task__several_end. An entry that is NULL, or the task of an earlier
 * entry, is not watched.
 */
#ifndef TASK_SRC_SEVERAL_H
#define TASK_SRC_SEVERAL_H

#include "memory.h"
#include "scheduler.h"

enum { SEVERAL_FEW = 8 };

struct watch {
    struct watcher watcher;
    struct several *several;
    struct task *task; /* NULL: not watched */
};

struct several {
    struct waiter waiter; /* of the task that waits, if it does */
    struct blocks *blocks;
    struct watch *watches;
    size_t n;
    size_t n_left; /* watched, and not done */
    void (*ended)(struct several *several, struct watch *watch);
    struct watch few[SEVERAL_FEW]; /* or memory of its own */
};

/*
 * Begin to watch; `ended` is called at the end of each that is not done.
 *
 * Returns 0, -EDEADLK (one is `self` or, with `needs_all`, needs it), -EINVAL
 * (another loop's) or -ENOMEM.
 */
int task__several_begin(struct several *several, struct task *self,
                        struct task *const tasks[], size_t n, bool needs_all);

/* Watch no more. */
void task__several_end(struct several *several);

/* End the handles of all tasks: the pins hold them. Their statuses are read. */
void task__several_take_handles(struct several *several);

/* Whether one has ended, and that is being told, but not to us yet. */
bool task__several_is_untold(const struct several *several);

/* For kinds of waiting. */
void task__several_each(const struct waiter *waiter, visit_fn *visit,
                        void *arg);
size_t task__several_n(const struct waiter *waiter);

/* Ask all that are not done to end. */
void task__several_request(struct several *several);

static inline struct several *several_of(const struct waiter *waiter)
{
    return container_of(waiter, struct several, waiter);
}

/* Why it did not begin. */
static inline const char *several_complaint(int error)
{
    return error == -EDEADLK ? "a task is the caller, or waits for it"
                             : "a task is another loop's";
}

static inline int status_of(const struct task *task)
{
    return task ? task->status : -ENOMEM;
}

#endif
