/*
 * The dispositions of the signals that loops want, in the whole process.
 *
 * A handler that asks for dumps lies beneath: it is the former one, and while
 * loops have the signal it listens.
 */
#ifndef TASK_SRC_CATCH_DISPOSITION_H
#define TASK_SRC_CATCH_DISPOSITION_H

#include "base.h"

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>

/* Guards the dispositions, and which receivers are in use. */
extern pthread_mutex_t task__catch_mutex;

/* The C handler, in catch.c. */
void task__catch_signal(int signo, siginfo_t *info, void *interrupted);

/* With the mutex locked: as task__catch_begin() and task__catch_end(). */
int task__disposition_take(int signo, bool once);
void task__disposition_give_back(int signo, bool once);

/* The same in a fork's child: all the former ones are back. */
void task__disposition_give_all_back(void);

/*
 * In the handler: hear of a signal before loops do. False: it is the listener's
 * own, which has sent it.
 */
typedef bool catch_listener(int signo, siginfo_t *info, void *interrupted);

/* With the mutex free: what is there where no loop wants the signal; 0, or a
 * negative errno. */
int task__catch_beneath(int signo, struct sigaction *action);

/* Likewise: set it; as long as it is that, the one listener `hear` is called in
 * its stead while loops want the signal. */
int task__catch_put_beneath(int signo, const struct sigaction *action,
                            catch_listener *hear);

/* In the handler: whether loops hear of this one. The listener does first. */
bool task__disposition_is_for_loops(int signo, siginfo_t *info,
                                    void *interrupted);

#endif
