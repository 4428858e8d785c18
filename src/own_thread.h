/*
 * Threads of the library's own: signals of the process are for others.
 */
#ifndef TASK_SRC_OWN_THREAD_H
#define TASK_SRC_OWN_THREAD_H

#include <pthread.h>
#include <signal.h>

/* pthread_create(), with all signals blocked there. */
static inline int own_thread(pthread_t *thread, void *(*fn)(void *arg),
                             void *arg)
{
    sigset_t all;
    sigset_t before;
    int error;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    error = pthread_create(thread, NULL, fn, arg);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return error;
}

#endif
