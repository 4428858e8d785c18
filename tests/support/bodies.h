/*
 * bodies.h: what many tests start, and how they look at it.
 *
 * A body says by its name what it does. It does not look at its argument where
 * nothing else is said, and returns what its last suspending call returned.
 */
#ifndef TASK_TESTS_BODIES_H
#define TASK_TESTS_BODIES_H

#include <stdbool.h>
#include <stddef.h>
#include <task.h>

/* Looks. */

/* The figures of the running loop. */
struct loop_stats stats(void);

/* How many requests to cancel there are to the running task. */
unsigned requests(void);

/* Nothing but the caller's handle, and the pin of a task that runs. */
bool is_left_alone(const struct task *task);

/* Tasks. */

/* A task that has begun to wait; all that is ready runs meanwhile. */
struct task *start(task_fn *fn, void *arg);

/* A future that was completed with this status. */
struct task *done(int status);

/* End the handles of all of these. */
void detach_all(struct task *const tasks[], size_t n);

/* Run a main whose argument is a task of another loop: it has to return 0 and to
 * leave that alone. To be called from a test, not in a loop. */
void run_with_foreign(task_fn *main_fn);

/* Callbacks. */

/* Cancel the argument, a task that has not ended yet. */
void cancel_it(void *arg);

/* Run the main that the argument, a task_fn **, points to: for child.h. */
void run_it(void *arg);

/* Bodies. */

int returns(void *arg); /* the int that the argument points to */
int fails(void *arg);   /* with -EIO */
int says(void *arg);    /* the argument, a string, to the record; returns 0 */
int yields(void *arg);

int sleeps(void *arg);      /* a second */
int sleeps_long(void *arg); /* an hour */
int sleeps_for_ever(void *arg);

/* Sleeps for as many seconds as the argument, an int, has: its status; negative:
 * it fails with that after so many. */
int sleeps_for(void *arg);

int awaits(void *arg); /* the argument */
int awaits_a_future(void *arg);

/* Awaits the argument, and says its own name and what it got. */
int awaits_and_says(void *arg);

/* Is refused, as the argument is a task of another loop. */
int awaits_foreign(void *arg);

int detaches(void *arg); /* the argument */

/* Wait for a request, and swallow it. */
int swallows(void *arg);             /* returns 7 */
int fails_when_cancelled(void *arg); /* with -EIO */

/* Waits for a request, and cleans up for ten turns and a second then. */
int cleans_up(void *arg);

#endif
