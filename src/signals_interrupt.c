/*
 * loop_options.handle_sigint: the first SIGINT of a run cancels main, a second
 * one has its default effect. Until the first comes it counts as a source.
 */
#include "loop_above.h"
#include "signals.h"

#include <errno.h>

void task__interrupt_begin(struct loop *loop, struct task *task)
{
    struct signals *signals;
    int saved_errno = errno;

    if (!task__signals_get(loop, &signals) &&
        !task__catch_begin(signals->receiver, SIGINT, true)) {
        signals->main = task;
        signals->is_interrupted = false;
        loop->n_sources++;
    }
    errno = saved_errno;
}

/* A second one is not caught. */
static void let_go(struct signals *signals)
{
    task__catch_end(signals->receiver, SIGINT, true);
    signals->loop->n_sources--;
}

void task__signals_interrupt(struct signals *signals)
{
    if (!signals->main || signals->is_interrupted)
        return;
    signals->is_interrupted = true;
    let_go(signals);
    task__request(signals->main);
}

/* Whether a signal has come that main has not been told of. */
static bool take_untold(struct signals *signals)
{
    siginfo_t info;

    return !signals->handlers[SIGINT] && !signals->n_waits[SIGINT] &&
           task__catch_take(signals->receiver, SIGINT, &info);
}

/* A signal that main has ended before it could be told of is a request too;
 * how many there are of these. A main that goes on hears of it then. */
static unsigned end_interrupts(struct signals *signals)
{
    struct task *main = signals->main;

    signals->main = NULL;
    if (signals->is_interrupted)
        return 0;
    let_go(signals);
    signals->is_interrupted = take_untold(signals);
    if (signals->is_interrupted)
        task__request(main);
    return signals->is_interrupted;
}

int task__interrupt_end(struct loop *loop, struct task *task, int status)
{
    struct signals *signals = loop->signals;
    int saved_errno = errno;
    unsigned requests;

    if (!signals || signals->main != task)
        return status;
    requests = task->cancelling + end_interrupts(signals);
    if (signals->is_interrupted && requests == 1 && task_cancelled(task))
        status = -EINTR;
    errno = saved_errno;
    return status;
}
