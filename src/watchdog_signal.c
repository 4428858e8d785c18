/*
 * Which signal that is, while there are watchdogs.
 */
#include "watchdog_signal.h"

#include "catch.h"
#include "handler.h"
#include "watchdog.h"

#include <errno.h>

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static size_t n_watchdogs;
static int signo;

/* Some are refused: Valgrind has one of its own. */
static int take_free_signal(void)
{
    int flags = SA_SIGINFO | SA_RESTART | ON_SIGNAL_STACK;
    struct sigaction ours = {.sa_sigaction = task__watchdog_hear,
                             .sa_flags = flags};
    struct sigaction theirs;

    for (signo = SIGRTMAX; signo >= SIGRTMIN; signo--)
        if (!sigaction(signo, NULL, &theirs) &&
            !(theirs.sa_flags & SA_SIGINFO) && theirs.sa_handler == SIG_DFL &&
            !sigaction(signo, &ours, NULL))
            return 0;
    return -ENOMEM;
}

int task__watchdog_signal_get(void)
{
    int error = 0;

    pthread_mutex_lock(&mutex);
    if (!n_watchdogs)
        error = take_free_signal();
    if (!error && !n_watchdogs++)
        task__catch_leave_alone(signo);
    pthread_mutex_unlock(&mutex);
    return error;
}

static void give_signal_back(void)
{
    struct sigaction action;

    if (!sigaction(signo, NULL, &action) &&
        handler_is(&action, task__watchdog_hear))
        signal(signo, SIG_DFL);
    task__catch_leave_alone(0);
}

void task__watchdog_signal_put(void)
{
    pthread_mutex_lock(&mutex);
    if (!--n_watchdogs)
        give_signal_back();
    pthread_mutex_unlock(&mutex);
}

bool task__watchdog_signal_send(pthread_t thread)
{
    return !pthread_kill(thread, signo);
}

bool task__watchdog_signal_mask(int how)
{
    sigset_t set;
    sigset_t before;

    sigemptyset(&set);
    sigaddset(&set, signo);
    pthread_sigmask(how, &set, &before);
    return sigismember(&before, signo) == 1;
}

void task__watchdog_lock(void)
{
    pthread_mutex_lock(&mutex);
}

void task__watchdog_unlock(void)
{
    pthread_mutex_unlock(&mutex);
}

void task__watchdog_note_fork(void)
{
    if (n_watchdogs)
        give_signal_back();
    n_watchdogs = 0;
    pthread_mutex_unlock(&mutex);
}
