/*
 * The signal that all watchdogs of the process send: a real-time one that
 * nobody had a handler for when the first of them started.
 */
#ifndef TASK_SRC_WATCHDOG_SIGNAL_H
#define TASK_SRC_WATCHDOG_SIGNAL_H

#include "base.h"

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>

/* Its handler, in watchdog.c. */
void task__watchdog_hear(int number, siginfo_t *info, void *context);

/* A watchdog needs it; -ENOMEM: there is none. */
int task__watchdog_signal_get(void);

/* And needs it no more. */
void task__watchdog_signal_put(void);

/* Send it to a thread; false: the system has no room for one more. */
bool task__watchdog_signal_send(pthread_t thread);

/* SIG_BLOCK or SIG_UNBLOCK it in this thread; returns whether it was
 * blocked. */
bool task__watchdog_signal_mask(int how);

#endif
