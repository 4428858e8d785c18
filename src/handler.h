/*
 * C handlers of signals: whose one is; and calling the one that was there
 * before.
 */
#ifndef TASK_SRC_HANDLER_H
#define TASK_SRC_HANDLER_H

#include <signal.h>
#include <stdbool.h>

typedef void signal_handler_fn(int signo, siginfo_t *info, void *context);

static inline bool handler_is(const struct sigaction *action,
                              signal_handler_fn *fn)
{
    return action->sa_flags & SA_SIGINFO && action->sa_sigaction == fn;
}

/* Call it; false: there is none, but the default effect, or none. */
static inline bool handler_call(const struct sigaction *action, int signo,
                                siginfo_t *info, void *context)
{
    if (action->sa_handler == SIG_DFL || action->sa_handler == SIG_IGN)
        return false;
    if (action->sa_flags & SA_SIGINFO)
        action->sa_sigaction(signo, info, context);
    else
        action->sa_handler(signo);
    return true;
}

#endif
