/*
 * Faults on guard pages: a stack has overflowed, and its task is named.
 */
#ifndef TASK_SRC_OVERFLOW_H
#define TASK_SRC_OVERFLOW_H

#include "base.h"

struct loop;

/* A loop runs in this thread from now on; does not any more; is not
 * run again; is gone. Locked while the process forks. */
void task__overflow_enter(struct loop *loop);
void task__overflow_leave(struct loop *loop);
void task__overflow_forget(struct loop *loop);
void task__overflow_destroy(struct loop *loop);
void task__overflow_lock(void);
void task__overflow_unlock(void);

#endif
