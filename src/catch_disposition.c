/*
 * Whose the dispositions of signals are: ours, while loops want them; the
 * former ones, which lie beneath.
 */
#include "catch_disposition.h"

#include "handler.h"

#include <errno.h>

/* Who wants a signal, in the whole process. */
struct taken {
    unsigned n;
    unsigned n_once; /* of these: the first one only */
    struct sigaction former;
    bool is_heard; /* the former is the listener's; read by the handler */
};

/* Who hears of it first, and with what handler where no loop wants it. */
static catch_listener *listener;
static signal_handler_fn *listener_handler;

pthread_mutex_t task__catch_mutex = PTHREAD_MUTEX_INITIALIZER;
static struct taken taken[NSIG];

static bool is_default(const struct sigaction *action)
{
    return action->sa_handler == SIG_DFL;
}

static bool is_installed(const struct sigaction *action)
{
    return handler_is(action, task__catch_signal);
}

/* Or was, until the signal came that it was for; the flags stay. */
static bool is_ours(const struct sigaction *action)
{
    return is_installed(action) ||
           ((action->sa_flags & SA_SIGINFO) && is_default(action));
}

static void set_former(struct taken *at, const struct sigaction *action)
{
    bool is_heard = listener && handler_is(action, listener_handler);

    at->former = *action;
    __atomic_store_n(&at->is_heard, is_heard, __ATOMIC_SEQ_CST);
}

static bool is_caught(int signo, struct sigaction *now)
{
    return !sigaction(signo, NULL, now) && is_ours(now);
}

static int install(int signo)
{
    struct sigaction action = {.sa_sigaction = task__catch_signal};

    action.sa_flags = SA_SIGINFO | SA_RESTART | ON_SIGNAL_STACK;
    if (taken[signo].n == taken[signo].n_once &&
        is_default(&taken[signo].former))
        action.sa_flags |= (int)SA_RESETHAND;
    sigfillset(&action.sa_mask);
    return sigaction(signo, &action, NULL) ? -errno : 0;
}

static void count(struct taken *at, bool once, int n)
{
    at->n += (unsigned)n;
    at->n_once += once ? (unsigned)n : 0;
}

/* Somebody else may have set another handler since it was taken; that is then
 * the one to come back. Ours is there, and nobody wants it, if it could not be
 * given back. */
int task__disposition_take(int signo, bool once)
{
    struct taken *at = &taken[signo];
    struct sigaction now;
    int error;

    if (sigaction(signo, NULL, &now))
        return -errno;
    if (!(at->n ? is_ours(&now) : is_installed(&now)))
        set_former(at, &now);
    if (once && !is_default(&at->former))
        return -EBUSY;
    count(at, once, 1);
    error = install(signo);
    if (error)
        count(at, once, -1);
    return error;
}

/* Another handler that was set meanwhile stays; and so does the default effect,
 * when the signal has come that the others wanted once. */
void task__disposition_give_back(int signo, bool once)
{
    struct taken *at = &taken[signo];
    struct sigaction now;

    count(at, once, -1);
    if (!is_caught(signo, &now))
        return;
    if (!at->n)
        sigaction(signo, &at->former, NULL);
    else if (!is_default(&now))
        install(signo);
}

void task__disposition_give_all_back(void)
{
    struct sigaction now;

    for (int signo = 1; signo < NSIG; signo++) {
        if (taken[signo].n && is_caught(signo, &now))
            sigaction(signo, &taken[signo].former, NULL);
        taken[signo].n = taken[signo].n_once = 0;
    }
}

bool task__disposition_is_for_loops(int signo, siginfo_t *info,
                                    void *interrupted)
{
    return !__atomic_load_n(&taken[signo].is_heard, __ATOMIC_SEQ_CST) ||
           listener(signo, info, interrupted);
}

/* What lies beneath. */

int task__catch_beneath(int signo, struct sigaction *action)
{
    int error = 0;

    pthread_mutex_lock(&task__catch_mutex);
    if (sigaction(signo, NULL, action))
        error = -errno;
    else if (taken[signo].n && is_ours(action))
        *action = taken[signo].former;
    pthread_mutex_unlock(&task__catch_mutex);
    return error;
}

/* Nothing is the listener's before its handler is there. */
static int put_beneath(int signo, const struct sigaction *action)
{
    struct taken *at = &taken[signo];
    struct sigaction now;
    struct sigaction former = at->former;
    int error;

    if (!at->n || !is_caught(signo, &now))
        return sigaction(signo, action, NULL) ? -errno : 0;
    at->former = *action;
    error = install(signo);
    set_former(at, error ? &former : action);
    return error;
}

int task__catch_put_beneath(int signo, const struct sigaction *action,
                            catch_listener *hear)
{
    int error;

    pthread_mutex_lock(&task__catch_mutex);
    if (!listener) {
        listener = hear;
        listener_handler = action->sa_sigaction;
    }
    error = put_beneath(signo, action);
    pthread_mutex_unlock(&task__catch_mutex);
    return error;
}
