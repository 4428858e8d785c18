/*
 * The end of a loop: what is left is cancelled, and run to its end; and who is
 * told of what has none.
 */
#include "loop.h"
#include "loop_above.h"
#include "report.h"

/* Ask all tasks that are left to end; false: none is new. */
static bool ask_to_end(struct loop *loop, bool daemons)
{
    struct task_chain requests = {NULL, NULL};
    struct task *task = NULL;

    while ((task = task__next_live(loop, task))) {
        if (task->ending || (task->daemon && !daemons))
            continue;
        task->ending = true;
        loop->n_ending++;
        task__chain_request(&requests, task);
    }
    if (!requests.first)
        return false;
    task__chain_run(&requests);
    return true;
}

/*
 * End what is left: in rounds, since what cleans up may create tasks, which it
 * may need; daemons last. A round begins as soon as all that were asked in the
 * one before have ended. Those that nothing can wake, and those that are there
 * when the time is up, are dropped.
 */
static void end_tasks(struct loop *loop, task_time limit)
{
    while (loop->n_tasks) {
        int status = 0;

        if (!loop->n_ending)
            ask_to_end(loop, loop->n_tasks == loop->n_daemons);
        loop->stopping = false;
        task__loop_run_batch(loop);
        if (loop->n_tasks && !loop_is_inherited(loop))
            status = task__loop_look(
                loop, loop->n_ending ? limit : task__clock_now(&loop->clock));
        if (loop_is_inherited(loop))
            return;
        if (status && !ask_to_end(loop, false) && !ask_to_end(loop, true)) {
            task__report_deadlock(loop);
            return;
        }
        if (task__clock_now(&loop->clock) >= limit)
            return;
    }
}

/*
 * What other threads have posted so far is run, and they are refused from now
 * on: those that would post for ever do not keep the loop from its end.
 */
static void close_inbox(struct loop *loop)
{
    loop->takes_no_calls = true;
    if (!loop->inbox)
        return;
    task__inbox_close(loop->inbox);
    loop->n_sources -= loop->n_remotes;
    loop->n_remotes = 0;
}

/* Where tasks are left, nothing wakes them, or the time is up. */
static bool has_last_callbacks(const struct loop *loop)
{
    return loop->n_done_callbacks && !loop->n_tasks && !loop_is_inherited(loop);
}

/* The tasks that these create are ended like others. */
static void run_last_calls(struct loop *loop)
{
    close_inbox(loop);
    if (has_last_callbacks(loop))
        task__loop_run_batch(loop);
    while (loop->n_calls && !loop_is_inherited(loop))
        task__loop_run_batch(loop);
}

/* Whoever goes on with every end does not keep the loop from its own: nothing
 * can be made any more that has such callbacks. */
static void run_last_callbacks(struct loop *loop)
{
    loop->freed = true;
    while (has_last_callbacks(loop))
        task__loop_run_batch(loop);
}

void task__loop_shut_down(struct loop *loop)
{
    task_time timeout = loop->options.shutdown_timeout;
    task_time limit = timeout > 0
                          ? clock_after(task__clock_now(&loop->clock), timeout)
                          : TASK_FOREVER;

    end_tasks(loop, limit);
    if (!loop_is_inherited(loop))
        run_last_calls(loop);
    if (!loop_is_inherited(loop) && task__clock_now(&loop->clock) < limit)
        end_tasks(loop, limit);
    if (!loop_is_inherited(loop))
        run_last_callbacks(loop);
}

/* The last calls of the user's functions. Nothing is freed before they have
 * returned, and nothing outside of the process touched after the first: one may
 * fork, and what the child finds is the parent's. */
void task__loop_tell_end(struct loop *loop)
{
    task__servers_stop(loop);    /* what tasks have started at the end */
    task__streams_abandon(loop); /* before a hook may do something to one */
    task__loop_tell_leave(loop);
    task__hooks_destroy(loop);
    task__tell_all(loop);
    task__servers_tell(loop);
    task__processes_tell(loop);
    task__streams_tell(loop);
}
