/*
 * moment.h: things that happen at one moment, in every order.
 *
 * A caller waits for futures, with a time-out of a second or without. A letter
 * tells what happens a second after it began:
 *
 *     A, B  the first or second future is completed, with 1 or 2
 *     F     the first one is completed with -EIO
 *     X     the caller is cancelled
 *     T     the caller's own time-out, if it has one
 *
 * All of it happens in one look at the timers, before any task runs.
 */
#ifndef TASK_TESTS_MOMENT_H
#define TASK_TESTS_MOMENT_H

#include <task.h>

/*
 * Run the caller, whose argument is an array of the two futures; it ends their
 * handles. It is awaited.
 */
void moment_run(const char *order, task_fn *caller);

#endif
