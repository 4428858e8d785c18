/*
 * Waiting until some of several tasks are done, and looking only.
 */
#include "several.h"

#include "loop.h"

#include <errno.h>

static const struct wait_kind WAITING = {
    .verb = "waiting for",
    .each_awaited = task__several_each,
};

struct waiting {
    struct several several;
    bool ends_at_first;
    bool ends_at_failure;
};

/* Whether a task that is done is what the caller waits for. */
static bool is_enough(const struct waiting *waiting, int status)
{
    return !waiting->several.n_left || waiting->ends_at_first ||
           (waiting->ends_at_failure && is_failure(status));
}

static void one_ended(struct several *several, struct watch *watch)
{
    struct waiting *waiting = container_of(several, struct waiting, several);

    if (is_enough(waiting, watch->task->status) &&
        waiter_is_parked(&several->waiter))
        task__wake(&several->waiter, 0);
}

static bool is_over(const struct waiting *waiting, struct task *const tasks[],
                    size_t n)
{
    bool over = !waiting->several.n_left;

    for (size_t i = 0; i < n && !over; i++)
        over = task_done(tasks[i]) && is_enough(waiting, status_of(tasks[i]));
    return over;
}

static int count_done(struct task *const tasks[], size_t n)
{
    int n_done = 0;

    for (size_t i = 0; i < n; i++)
        n_done += task_done(tasks[i]);
    return n_done;
}

static int park(struct waiting *waiting, struct task *self, task_time timeout)
{
    struct waiter *waiter = &waiting->several.waiter;

    waiter_init(waiter, self, &WAITING);
    return task__park_until(waiter,
                            scheduler_deadline(self->scheduler, timeout));
}

int task_wait(struct task *const tasks[], size_t n, enum task_until until,
              task_time timeout)
{
    struct waiting waiting = {.ends_at_first = until == TASK_FIRST_DONE,
                              .ends_at_failure = until == TASK_FIRST_FAILED};
    struct task *self;
    int status = task_enter(&self);

    if (status)
        return status;
    if (!n || (unsigned)until > TASK_FIRST_FAILED)
        return MISUSE(-EINVAL, n ? "it is to end when?" : "there are no tasks");
    waiting.several.ended = one_ended;
    waiting.several.waiter.task = self;
    status = task__several_begin(&waiting.several, self, tasks, n, false);
    if (status)
        return MISUSE(status, several_complaint(status));
    if (timeout > 0 && !is_over(&waiting, tasks, n))
        status = park(&waiting, self, timeout);
    if (status != -ECANCELED)
        status = count_done(tasks, n);
    task__several_end(&waiting.several);
    return status;
}
