/*
 * What is done when a thread ends.
 *
 * All of it hangs on one key of pthread_key_create, which is deleted when the
 * library goes: at the process's end, or when the shared object that it is part
 * of is closed. (What a key has called would then be in no memory any more; and
 * of keys there are some thousand.) From then on nothing is done.
 */
#ifndef TASK_SRC_ENDING_H
#define TASK_SRC_ENDING_H

#include "base.h"

#include <stdbool.h>

/* Whose it is: done in this order. A loop that is lost in a job is told of
 * while whoever waits for the job still does. */
enum ending { ENDING_LOOP, ENDING_WORKER, ENDING_SLOTS, N_ENDINGS };

/* Whether there is a key; it is made by the first call. */
bool task__endings_open(void);

/* Have a function called, once, when this thread ends. False: it will not be,
 * and the process goes on. */
bool task__ending_set(enum ending ending, void (*fn)(void));

#endif
