/*
 * A loop becomes the one that runs in this thread, and is so no more.
 */
#include "loop.h"
#include "loop_above.h"
#include "overflow.h"
#include "trace.h"

#include <errno.h>

/* Why a loop cannot be run; 0: it can. */
static int check_enter(struct loop *loop, struct call_site site)
{
    int error;

    if (!loop)
        return misuse_at(site, -EINVAL, "the loop is NULL");
    if (scheduler_current() && !loop_is_inherited(loop))
        return misuse_at(site, -EBUSY, "a loop runs in this thread");
    error = task__loop_refusal(loop, site, -EBUSY);
    if (!error && loop->in_report) /* between runs */
        error = misuse_at(site, -EBUSY, "the loop's error hook is at work");
    return error;
}

/* This thread runs the loop from now on, which another one ran before. */
static void change_thread(struct loop *loop)
{
    inbox_set_thread(loop->inbox, task__scheduler_thread);
    if (loop->signals)
        task__signals_move(loop);
}

/* Behind those that were noticed in the last run stand what the loop's own
 * thread has called since; what it has posted after that comes later. */
static void begin_calls(struct loop *loop)
{
    loop->calls_joined ^= loop->calls[loop->calls_joined].n_rows > 0;
}

int task__loop_enter(struct loop *loop, struct call_site site)
{
    int error = check_enter(loop, site);

    if (!error && loop->options.stall_timeout > 0 && !loop->watchdog)
        error = task__watchdog_start(loop);
    if (error)
        return error;
    task__loop_know_thread();
    __atomic_store_n(&loop->running, true, __ATOMIC_RELAXED);
    loop->scheduler.errno_location = &errno;
    task__ask_enter(loop->ask);
    task__scheduler_current = &loop->scheduler;
    task__context_note_modes();
    task__overflow_enter(loop);
    loop->measured_at = task__clock_now(&loop->clock);
    loop->measured_at_tick = clock_ticks();
    loop->woke_at = loop->measured_at;
    if (loop->inbox &&
        unlikely(!inbox_is_of_thread(loop->inbox, task__scheduler_thread)))
        change_thread(loop);
    begin_calls(loop);
    loop->scheduler.time = loop->woke_at;
    loop->resumed_at = loop->woke_at;
    if (unlikely(loop->is_tracing))
        task__trace_resume(loop->trace);
    if (unlikely(loop->watchdog))
        task__watchdog_enter(loop->watchdog);
    PROBE1(loop_enters, loop);
    if (unlikely(loop->hooks.first)) {
        task__hooks_run_begins(loop);
        if (loop_is_inherited(loop))
            return -EPERM;
    }
    return 0;
}

void task__loop_tell_leave(struct loop *loop)
{
    if (unlikely(loop->hooks.first))
        task__hooks_run_ends(loop);
    if (unlikely(loop->watchdog) && !loop_is_inherited(loop))
        task__watchdog_leave(loop->watchdog);
}

int task__loop_leave(struct loop *loop, int status)
{
    __atomic_store_n(&loop->running, false, __ATOMIC_RELAXED);
    loop->stopping = false;
    task__loop_tell_leave(loop);
    if (loop_is_inherited(loop))
        return -EPERM;
    PROBE1(loop_leaves, loop);
    scheduler_hurry(&loop->scheduler);
    task__ask_leave(loop->ask);
    task__scheduler_current = NULL;
    task__overflow_leave(loop);
    if (!loop->clock.is_virtual) {
        task_time now = task__clock_now(&loop->clock);

        loop->busy_time += now - loop->woke_at;
        loop_note_steps(loop, now);
    }
    task__stats_publish(loop);
    if (loop->wants_alarm)
        task__loop_set_alarm(loop);
    return status;
}
