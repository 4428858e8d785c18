/*
 * What a loop has to do with signals.
 */
#ifndef TASK_SRC_SIGNALS_H
#define TASK_SRC_SIGNALS_H

#include "catch.h"
#include "loop.h"
#include "misuse.h"
#include "repeat.h"

#include <task/signal.h>

struct signals {
    struct loop *loop;
    struct receiver *receiver;
    struct repeated_call *handlers[NSIG]; /* the callbacks */
    unsigned n_waits[NSIG];
    struct list waiters; /* tasks that wait */

    /* The first SIGINT cancels it; NULL: no. */
    struct task *main;
    bool is_interrupted; /* it has come */
};

/* Those of the loop, made when first needed; 0, or a negative errno. */
int task__signals_get(struct loop *loop, struct signals **signals);

/* signals_wait.c */
void task__signals_wake(struct signals *signals, const siginfo_t *info);
void task__signals_end_wait(struct signals *signals, int signo);

/* signals_interrupt.c */
void task__signals_interrupt(struct signals *signals);

#endif
