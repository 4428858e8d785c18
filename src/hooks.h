/*
 * What a loop's hooks are told, if there are any.
 */
#ifndef TASK_SRC_HOOKS_H
#define TASK_SRC_HOOKS_H

#include "scheduler.h"

struct loop;
struct loop_hooks;

struct hooks {
    struct loop_hooks *first;
    struct loop_hooks *next; /* to be told, while some are */
    uint64_t n_steps;        /* that were told of */
    bool steps_wanted;       /* some are told of tasks; if so: */
    struct ready_mark looked;
};

void task__hooks_run_begins(struct loop *loop);
void task__hooks_run_ends(struct loop *loop);
void task__hooks_poll_begins(struct loop *loop);
void task__hooks_poll_ends(struct loop *loop);
void task__hooks_look(struct loop *loop); /* at what was made and woken */
void task__hooks_step_begins(struct loop *loop, struct timed_step *step);
void task__hooks_step_ends(struct loop *loop, const struct timed_step *step);

/* All are taken off: the loop ends. */
void task__hooks_destroy(struct loop *loop);

#endif
