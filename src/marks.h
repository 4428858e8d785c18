/*
 * How much of their stacks the tasks of each function use.
 */
#ifndef TASK_SRC_MARKS_H
#define TASK_SRC_MARKS_H

#include "base.h"

#include <stddef.h>

struct loop;

/* A task of this function has ended. */
void task__marks_note(struct loop *loop, uintptr_t fn, size_t used,
                      size_t size);

/* What is known of all. */
void task__marks_tell(struct loop *loop);
void task__marks_destroy(struct loop *loop);

#endif
