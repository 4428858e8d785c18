/*
 * Driving a loop by hand: turn by turn, beside a poll() of others.
 */
#include "loop.h"
#include "report.h"

#include <errno.h>

void task__loop_set_alarm(struct loop *loop)
{
    task_time next = timers_next(&loop->timers);

    if (loop->scheduler.ready.first ||
        (loop->clock.is_virtual && next != TASK_FOREVER) ||
        !inbox_try_sleep(loop->inbox))
        next = 0;
    next = loop_next_cooling(loop, loop->scheduler.time, next);
    loop->poller->backend->alarm(loop->poller, next);
}

static bool is_alive(const struct loop *loop)
{
    return loop->n_tasks > loop->n_daemons || loop->n_queued ||
           loop->n_done_callbacks || loop->n_due || loop->n_calls ||
           loop->n_sources;
}

int loop_run_turn(struct loop *loop, task_time timeout)
{
    int status = task__loop_enter(loop, site_here(__func__));
    uint64_t switches;

    if (status)
        return status;
    switches = loop->scheduler.switches;
    task__loop_run_batch(loop);
    if (loop->scheduler.switches != switches)
        loop->is_deadlocked = false; /* another one may have begun */
    if (!loop_is_inherited(loop) && !loop->stopping) {
        bool waits = timeout > 0 && is_alive(loop);
        task_time now = task__clock_now(&loop->clock);

        status = task__loop_look(loop, waits ? clock_after(now, timeout) : now);
    }
    if (!is_alive(loop))
        status = 0;
    else if (status)
        task__report_deadlock(loop);
    else
        status = 1;
    return task__loop_leave(loop, status);
}

int loop_fd(struct loop *loop)
{
    int fd;

    if (!loop)
        return MISUSE(-EINVAL, "the loop is NULL");
    if (LOOP_REFUSES(loop))
        return -EPERM;
    fd = loop->poller->backend->fd(loop->poller);
    if (fd >= 0 && !loop->wants_alarm) {
        loop->wants_alarm = true;
        task__loop_set_alarm(loop);
    }
    return fd;
}

task_time loop_next_timeout(const struct loop *loop)
{
    struct timers *timers = loop ? loop->scheduler.timers : NULL;
    task_time next;

    if (!loop || loop_is_inherited(loop))
        return TASK_FOREVER;
    if (loop->scheduler.ready.first ||
        task__scheduler_has_batch(&loop->scheduler) ||
        inbox_has_any(loop->inbox))
        return 0;
    next = timers_next(timers);
    if (next == TASK_FOREVER)
        return TASK_FOREVER;

    task_time now = task__clock_now(&loop->clock);

    return next > now ? next - now : 0;
}
