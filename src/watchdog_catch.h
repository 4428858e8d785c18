/*
 * A step that holds its loop: told of by a signal handler while it does, and
 * through the error hook when it is over.
 */
#ifndef TASK_SRC_WATCHDOG_CATCH_H
#define TASK_SRC_WATCHDOG_CATCH_H

#include "say.h"

#include <task/time.h>

struct loop;
struct task;

/* Whose step it was; the task may be gone when that is reported. */
struct caught_step {
    const struct task *task; /* NULL: a callback */
    uint64_t id;
    char name[NAME_SHOWN + 1];
    const char *file;
    int line;
    task_time held; /* until it was caught */
};

/* In the signal handler, whose third argument `context` is: note it, and say
 * where it is. */
void task__watchdog_catch(const struct loop *loop, task_time held,
                          const void *context, struct caught_step *caught);

/* In the loop. */
void task__watchdog_report(struct loop *loop, const struct caught_step *caught);

#endif
