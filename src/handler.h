/*
 * C handlers of signals: whose one is; calling the one that was there before;
 * and not being cancelled.
 */
#ifndef TASK_SRC_HANDLER_H
#define TASK_SRC_HANDLER_H

#include <pthread.h>
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

/* How the thread that a handler runs in may be cancelled. */
struct cancelling {
    int state;
    int type;
};

/*
 * What others wait for is not cut short, where a thread may be cancelled at any
 * time. By its state alone it would be: glibc's handler of a cancel that is on
 * its way looks at the type only.
 */
static inline struct cancelling handler_no_cancel(void)
{
    struct cancelling former;

    pthread_setcanceltype(PTHREAD_CANCEL_DEFERRED, &former.type);
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &former.state);
    return former;
}

/* A cancel that came meanwhile may have its effect now. */
static inline void handler_may_cancel(struct cancelling former)
{
    pthread_setcancelstate(former.state, NULL);
    pthread_setcanceltype(former.type, NULL);
}

#endif
