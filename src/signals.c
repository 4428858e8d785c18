/*
 * Signals: what was caught, and callbacks for it.
 *
 * What a handler has posted is looked at in the loop's own context: callbacks
 * are queued, and tasks woken.
 */
#include "signals.h"

#include "loop_above.h"

#include <errno.h>
#include <string.h>

static void deliver(struct signals *signals, const siginfo_t *info)
{
    int signo = info->si_signo;

    if (signals->handlers[signo])
        task__repeat_queue(signals->handlers[signo]);
    else if (signo == SIGINT && !signals->n_waits[signo])
        task__signals_interrupt(signals);
    task__signals_wake(signals, info);
}

static bool is_wanted(const struct signals *signals, int signo)
{
    return signals->handlers[signo] || signals->n_waits[signo] ||
           (signo == SIGINT && signals->main && !signals->is_interrupted);
}

/* What nobody wants any more, as the wait for it has ended by another signal,
 * is kept for the next wait. */
static void look(struct post *post)
{
    struct signals *signals = loop_current()->signals;
    siginfo_t info;

    (void)post;
    task__catch_look(signals->receiver);
    for (int signo = 1; signo < NSIG; signo++)
        if (is_wanted(signals, signo) &&
            task__catch_take(signals->receiver, signo, &info))
            deliver(signals, &info);
}

/* Nobody will be told of one that has come before. */
static void forget(struct signals *signals, int signo)
{
    siginfo_t info;

    if (!is_wanted(signals, signo))
        task__catch_take(signals->receiver, signo, &info);
}

static struct signals *make(struct loop *loop)
{
    struct signals *signals = memory_get(&loop->allocator, sizeof *signals);

    if (!signals)
        return NULL;
    memset(signals, 0, sizeof *signals);
    signals->loop = loop;
    signals->receiver = task__catch_open(loop->inbox, look);
    if (!signals->receiver) {
        memory_free(&loop->allocator, signals);
        return NULL;
    }
    return signals;
}

int task__signals_get(struct loop *loop, struct signals **signals)
{
    int error = task__loop_open_inbox(loop);

    if (error)
        return error;
    if (!loop->signals)
        loop->signals = make(loop);
    *signals = loop->signals;
    return *signals ? 0 : -ENOMEM;
}

static void remove_handler(struct signals *signals, int signo)
{
    struct repeated_call *handler = signals->handlers[signo];

    signals->handlers[signo] = NULL;
    task__catch_end(signals->receiver, signo, false);
    forget(signals, signo);
    signals->loop->n_sources--;
    task__repeat_release(handler);
}

/* The tasks are gone, and have not ended their waits. */
void task__signals_destroy(struct loop *loop)
{
    struct signals *signals = loop->signals;

    if (!signals)
        return;
    for (int signo = 1; signo < NSIG; signo++) {
        while (signals->n_waits[signo])
            task__signals_end_wait(signals, signo);
        if (signals->handlers[signo])
            remove_handler(signals, signo);
    }
    task__catch_close(signals->receiver);
    memory_free(&loop->allocator, signals);
    loop->signals = NULL;
}

static int add_handler(struct signals *signals, int signo, loop_fn *fn,
                       void *arg)
{
    struct loop *loop = signals->loop;
    struct repeated_call *handler = pool_get(&loop->record_pool);
    int error;

    if (!handler)
        return -ENOMEM;
    forget(signals, signo);
    task__repeat_init(handler, loop, fn, arg);
    error = task__catch_begin(signals->receiver, signo, false);
    if (error) {
        pool_put(&loop->record_pool, handler);
        return error;
    }
    signals->handlers[signo] = handler;
    loop->n_sources++;
    return 0;
}

/* The signal stays caught meanwhile, and what has come is for the new one. */
static int replace_handler(struct signals *signals, int signo, loop_fn *fn,
                           void *arg)
{
    struct repeated_call *handler = signals->handlers[signo];
    int error = task__catch_begin(signals->receiver, signo, false);

    if (error)
        return error;
    handler->fn = fn;
    handler->arg = arg;
    task__catch_end(signals->receiver, signo, false);
    return 0;
}

static int set_handler(struct loop *loop, int signo, loop_fn *fn, void *arg)
{
    struct signals *signals;
    int error = task__signals_get(loop, &signals);

    if (error)
        return error;
    return (signals->handlers[signo] ? replace_handler
                                     : add_handler)(signals, signo, fn, arg);
}

int loop_add_signal_handler(int signo, loop_fn *fn, void *arg)
{
    struct loop *loop = loop_current();
    int saved_errno = errno;
    int error;

    if (!loop)
        return MISUSE(-EPERM, "no loop runs in this thread");
    if (!fn || !task__catch_can(signo)) {
        errno = saved_errno;
        return MISUSE(-EINVAL, fn ? "no such signal can be handled"
                                  : "the function is NULL");
    }
    error = loop->freed ? -ESHUTDOWN : set_handler(loop, signo, fn, arg);
    errno = saved_errno;
    return error;
}

int loop_remove_signal_handler(int signo)
{
    struct loop *loop = loop_current();
    int saved_errno = errno;

    if (signo < 1 || signo >= NSIG || !loop || !loop->signals ||
        !loop->signals->handlers[signo])
        return -ENOENT;
    remove_handler(loop->signals, signo);
    errno = saved_errno;
    return 0;
}
