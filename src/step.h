/*
 * Whether each step of a loop's is watched.
 */
#ifndef TASK_SRC_STEP_H
#define TASK_SRC_STEP_H

#include "base.h"

struct loop;

void task__steps_init(struct loop *loop);

/* Watch the steps after this one, if there is a reason for it. */
void task__steps_watch(struct loop *loop);

#endif
