/*
 * Running a loop until a task has ended, or for ever.
 */
#include "loop.h"
#include "loop_above.h"
#include "report.h"
#include "switch.h"

#include <errno.h>

/* task__loop_run_batch, inline. Hooks are told first what was made and woken
 * while no loop ran, or by what begins a run. */
static ALWAYS_INLINE void run_batch(struct loop *loop)
{
    if (unlikely(loop->hooks.steps_wanted))
        task__hooks_look(loop);
    scheduler_run_batch(&loop->scheduler);
}

void task__loop_run_batch(struct loop *loop)
{
    run_batch(loop);
}

/* Run batches until this task is done (NULL: for ever), or the loop is
 * stopped; 0, -EAGAIN, -EDEADLK or -EPERM. */
static int run_until(struct loop *loop, const struct task *task)
{
    loop->is_deadlocked = false;
    for (;;) {
        run_batch(loop);
        if (loop_is_inherited(loop))
            return -EPERM;
        if (task && task->done)
            return 0;
        if (loop->stopping)
            return -EAGAIN;
        if (task__loop_look(loop, TASK_FOREVER)) {
            task__report_deadlock(loop);
            return -EDEADLK;
        }
    }
}

static int watch_main_end(struct loop *loop, struct task *task)
{
    bool handles_sigint = loop->options.handle_sigint;
    int status;

    if (handles_sigint)
        task__interrupt_begin(loop, task);
    status = run_until(loop, task);
    if (!status) {
        task->was_read = true;
        status = task->status;
    }
    if (loop_is_inherited(loop))
        return -EPERM;
    if (handles_sigint)
        status = task__interrupt_end(loop, task, status);
    task_detach(task);
    return status;
}

/* When main ends, its run ends with the batch. */
static void hurry_home(struct watcher *watcher, struct task *task)
{
    list_remove(&watcher->node);
    scheduler_hurry(task->scheduler);
}

int loop_run_main(struct loop *loop, task_fn *fn, void *arg)
{
    struct watcher end = {.ended = hurry_home};
    int status;

    if (!fn)
        return MISUSE_ABOUT(loop, -EINVAL, "the function is NULL");
    status = task__loop_enter(loop, site_here(__func__));
    if (status)
        return status;

    struct task *task = task__create(loop, fn, arg);

    if (task) {
        list_append(&task->watchers, &end.node);
        status = watch_main_end(loop, task);
    } else {
        status = -ENOMEM;
    }
    list_remove(&end.node);
    return task__loop_leave(loop, status);
}

int loop_run_forever(struct loop *loop)
{
    int status = task__loop_enter(loop, site_here(__func__));

    if (status)
        return status;
    status = run_until(loop, NULL);
    return task__loop_leave(loop, status == -EAGAIN ? 0 : status);
}

void loop_stop(struct loop *loop)
{
    if (!loop || LOOP_REFUSES(loop))
        return;
    loop->stopping = true;
    scheduler_hurry(&loop->scheduler);
}

struct loop *loop_current(void)
{
    struct scheduler *scheduler = scheduler_current();

    return scheduler ? loop_of(scheduler) : NULL;
}

task_time loop_time(void)
{
    struct scheduler *scheduler = scheduler_current();

    return scheduler ? task__clock_now(scheduler->clock)
                     : task__clock_monotonic();
}

void loop_advance(struct loop *loop, task_time by)
{
    if (!loop || !loop->clock.is_virtual || LOOP_REFUSES(loop))
        return;
    loop->clock.now = clock_after(loop->clock.now, by);
    if (loop->clock.now == TASK_FOREVER)
        loop->clock.now--;
    if (!loop->running)
        loop->scheduler.stirred(&loop->scheduler);
}
